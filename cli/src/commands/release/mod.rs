//! `bakelite release …`: the checklist of a release, on the command line.

mod automate;
mod context;
mod cost;
mod flashed;
mod record;
mod serve;
mod show;
mod sync;

use std::process::ExitCode;

use release::built_in;
use release::template::{Template, lint};

use super::Outcome;
use crate::arguments::release::{ReleaseArguments, ReleaseCommand};
use crate::command_error::{CommandError, FAILED};
use crate::ui::Ui;
use context::Context;

pub(super) fn run(arguments: &ReleaseArguments, ui: &mut Ui) -> Outcome {
    match &arguments.command {
        ReleaseCommand::Init => init(arguments, ui),
        ReleaseCommand::Lint => lint_template(arguments, ui),
        ReleaseCommand::Start { version, kind } => record::start(arguments, version, *kind, ui),
        ReleaseCommand::Status => {
            show::status(&Context::open(arguments)?, ui);
            Ok(ExitCode::SUCCESS)
        }
        ReleaseCommand::Sheet => show::sheet(&Context::open(arguments)?, ui),
        ReleaseCommand::Next => show::next(&Context::open(arguments)?, ui),
        ReleaseCommand::Log => {
            show::log(&Context::open(arguments)?, ui);
            Ok(ExitCode::SUCCESS)
        }
        ReleaseCommand::Verify => show::verify(&Context::open(arguments)?, ui),
        ReleaseCommand::Run { .. } => {
            automate::run(Context::open(arguments)?, &arguments.command, ui)
        }
        ReleaseCommand::Handoff {
            step,
            answer: None,
            build,
            ..
        } => automate::hand_over(&Context::open(arguments)?, step, build.as_deref(), ui),
        ReleaseCommand::Changes => automate::changes(arguments, ui),
        ReleaseCommand::Sync { remote } => sync::run(arguments, remote.as_deref(), ui),
        ReleaseCommand::Cost(cost) => cost::run(arguments, cost, ui),
        ReleaseCommand::Serve {
            listen,
            public,
            sync,
            remote,
        } => serve::run(
            arguments,
            *listen,
            public.as_deref(),
            if *sync {
                serve::Carry::Over(remote.as_deref())
            } else {
                serve::Carry::No
            },
            ui,
        ),
        ReleaseCommand::Invite { name, public } => serve::invite(arguments, name, public, ui),
        ReleaseCommand::Review {
            step,
            approve: false,
            refuse: false,
            ..
        } => {
            show::to_review(&Context::open(arguments)?, step, ui);
            Ok(ExitCode::SUCCESS)
        }
        command => record::record(Context::open(arguments)?, command, ui),
    }
}

/// What lies in the release's folder and does not belong on the product's branch.
const NOT_FOR_GIT: &str = "# The journal is carried on a branch of its own (bakelite release sync).\n\
    /journal/\n/evidence/\n/staging/\n/builds/\n/handoff/\n/server/\n";

fn init(arguments: &ReleaseArguments, ui: &mut Ui) -> Outcome {
    let folder = arguments.folder.join("template");
    built_in::copy_to(&folder).map_err(CommandError::io("copy the template"))?;
    let ignored = arguments.folder.join(".gitignore");
    if !ignored.exists() {
        fs_err::write(&ignored, NOT_FOR_GIT).map_err(CommandError::io("write .gitignore"))?;
    }
    let text = format!(
        "{0}: 25 steps with their playbooks\nnext: name your people in {0}/people.toml, then run “bakelite release lint”",
        folder.display()
    );
    ui.answer(&text, &serde_json::json!({ "template": folder }));
    Ok(ExitCode::SUCCESS)
}

fn lint_template(arguments: &ReleaseArguments, ui: &mut Ui) -> Outcome {
    let folder = arguments.folder.join("template");
    let template = Template::load(&folder).map_err(CommandError::Template)?;
    let findings = lint(&template);
    let minutes: u32 = template.steps.iter().map(|step| step.written.minutes).sum();
    let mut text: Vec<String> = findings.iter().map(ToString::to_string).collect();
    text.push(format!(
        "{} steps, {} h {:02} min of attention a release",
        template.steps.len(),
        minutes / 60,
        minutes % 60
    ));
    let errors = findings
        .iter()
        .filter(|finding| !finding.is_warning)
        .count();
    let value: Vec<_> = findings
        .iter()
        .map(|f| serde_json::json!({ "step": f.step, "text": f.text, "warning": f.is_warning }))
        .collect();
    ui.answer(&text.join("\n"), &value);
    Ok(if errors == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}
