//! `bakelite release run`, `handoff` and `changes`: what programs do for a release.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use content_digest::Sha256Digest;
use release::candidate::{self, CheckedBuild};
use release::changelog::{self, Fragment};
use release::journal::{SshKeygen, What};
use release::run::Run;
use release::template::{Action as Written, Chore, Kind, Step, Template};
use release_automation::{Action, ActionError, AttemptError, Job, Probe, Secrets};

use super::Outcome;
use super::context::{Context, project_of};
use super::show;
use crate::arguments::release::{ReleaseArguments, ReleaseCommand};
use crate::command_error::CommandError;
use crate::environment;
use crate::ui::Ui;

pub(super) fn run(mut context: Context, command: &ReleaseCommand, ui: &mut Ui) -> Outcome {
    let ReleaseCommand::Run {
        step,
        do_it,
        undo,
        reason,
        build,
    } = command
    else {
        unreachable!("called for this command");
    };
    let build = find_build(&context, build.as_deref())?;
    let done = with_action(&context, step, build.as_ref(), |action, step, secrets| {
        let plan = Plan {
            context: &context,
            action,
            step,
            secrets,
        };
        if *undo {
            plan.undo(reason.as_deref().unwrap_or_default(), ui)
        } else if *do_it {
            plan.carry_out(ui)
        } else {
            plan.show(ui)
        }
    })?;
    if done {
        keep_log(&context, step, ui)?;
        context.refresh()?;
        ui.status(&format!("\n{}", show::next_text(&context)));
    }
    Ok(ExitCode::SUCCESS)
}

/// An action with its place.
struct Plan<'a> {
    context: &'a Context,
    action: &'a dyn Action,
    step: &'a Step,
    secrets: &'a Secrets<'a>,
}

impl Plan<'_> {
    fn failed(&self, source: ActionError) -> CommandError {
        CommandError::Automation {
            step: self.step.name.clone(),
            source,
        }
    }

    fn candidate(&self) -> Option<Sha256Digest> {
        self.context
            .run()
            .candidate()
            .map(|candidate| candidate.digest)
    }

    fn is_preparation(&self) -> bool {
        self.step.written.action.as_ref().map(Written::chore) == Some(Chore::Preparation)
    }

    fn show(&self, ui: &mut Ui) -> Result<bool, CommandError> {
        let probe = self.action.probe().map_err(|error| self.failed(error))?;
        let (text, state) = match probe {
            Probe::Satisfied(note) => (format!("it is done already: {note}"), "satisfied"),
            Probe::Conflict(why) => (format!("somebody must look: {why}"), "conflict"),
            Probe::Absent => {
                let lines = self.action.plan().map_err(|error| self.failed(error))?;
                let lines = lines
                    .iter()
                    .fold(String::new(), |text, line| text + line + "\n");
                let more = "\nnothing was done yet; add --do";
                (lines + more, "absent")
            }
        };
        ui.answer(
            &text,
            &serde_json::json!({ "step": self.step.name, "probe": state, "plan": text }),
        );
        Ok(false)
    }

    fn carry_out(&self, ui: &mut Ui) -> Result<bool, CommandError> {
        let note = if self.is_preparation() {
            match self.action.probe().map_err(|error| self.failed(error))? {
                Probe::Satisfied(note) | Probe::Conflict(note) => note,
                Probe::Absent => self
                    .action
                    .run(&mut |text| ui.status(&format!("  {text}")))
                    .map_err(|error| self.failed(error))?,
            }
        } else {
            self.attempt(ui)?
        };
        let candidate = self.candidate();
        ui.answer(
            &format!("{}: {note}", self.step.name),
            &serde_json::json!({ "step": self.step.name, "note": note, "candidate": candidate }),
        );
        Ok(!self.is_preparation())
    }

    fn attempt(&self, ui: &mut Ui) -> Result<String, CommandError> {
        let candidate = self.candidate();
        let is_open = {
            let run = self.context.run();
            let last = run.steps[&self.step.name].attempts.last();
            last.is_some_and(|attempt| attempt.outcome.is_none())
        };
        if !is_open {
            // Whether it may begin is asked before the world is.
            let started = What::AttemptStarted {
                step: self.step.name.clone(),
                candidate,
            };
            self.context.would_count(&started)?;
        }
        release_automation::carry_out(
            self.action,
            &self.step.name,
            candidate,
            is_open,
            self.secrets,
            &mut |what| self.context.record(what).map(drop),
            &mut |text| ui.status(&format!("  {text}")),
        )
        .map_err(|error| match error {
            AttemptError::Action(source) => self.failed(source),
            AttemptError::Conflict(why) => CommandError::Conflict {
                step: self.step.name.clone(),
                why,
            },
            AttemptError::Journal(error) => error,
        })
    }

    fn undo(&self, reason: &str, ui: &mut Ui) -> Result<bool, CommandError> {
        let undone = |note: String| What::StepUndone {
            step: self.step.name.clone(),
            note,
        };
        self.context.would_count(&undone(reason.to_owned()))?;
        let note = self.action.undo().map_err(|error| self.failed(error))?;
        self.context.record(undone(format!("{reason} ({note})")))?;
        ui.answer(
            &note,
            &serde_json::json!({ "step": self.step.name, "undone": note }),
        );
        Ok(true)
    }
}

/// Builds the action of a step and hands it on.
fn with_action<T>(
    context: &Context,
    name: &str,
    build: Option<&CheckedBuild>,
    work: impl FnOnce(&dyn Action, &Step, &Secrets<'_>) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let run = context.run();
    let step = find_step(&run, name)?;
    let look_up = environment::secret;
    let secrets = Secrets::new(&look_up);
    let failed = |source| CommandError::Automation {
        step: name.to_owned(),
        source,
    };
    with_job(context, &run, step, build, &secrets, |job| {
        let action = release_automation::of_step(job).map_err(failed)?;
        work(&*action, step, &secrets)
    })
}

fn with_job<T>(
    context: &Context,
    run: &Run<'_>,
    step: &Step,
    build: Option<&CheckedBuild>,
    secrets: &Secrets<'_>,
    work: impl FnOnce(&Job<'_>) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let (person, key) = context.person()?;
    let program = environment::program()?;
    let candidate = run.candidate().map(|candidate| candidate.digest);
    let attempts = &run.steps[&step.name].attempts;
    let first = attempts
        .iter()
        .find(|attempt| attempt.candidate == candidate);
    let short = candidate.map_or("none".into(), |digest| digest.short());
    work(&Job {
        run,
        version: &context.opened.version,
        step,
        project: &context.project,
        staging: context
            .folder
            .join("staging")
            .join(format!("{}-{short}", context.opened.version)),
        build,
        secrets,
        signer: &SshKeygen { key },
        person: &person,
        program: &program,
        time: first.map_or(context.now, |attempt| attempt.time),
    })
}

fn find_step<'r>(run: &Run<'r>, name: &str) -> Result<&'r Step, CommandError> {
    let template: &'r Template = run.template();
    template.step(name).ok_or_else(|| CommandError::Usage {
        text: format!(
            "there is no step “{name}”; there are: {}",
            template
                .steps
                .iter()
                .map(|step| step.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        ),
    })
}

/// Remembers where a candidate's files lie on this machine.
pub(super) fn note_build(context: &Context, build: &CheckedBuild) -> Result<(), CommandError> {
    let note = build_note(context, build.digest);
    let folder = std::path::absolute(&build.folder).map_err(CommandError::io("find the build"))?;
    fs_err::create_dir_all(context.folder.join("builds"))
        .and_then(|()| fs_err::write(note, folder.as_os_str().as_encoded_bytes()))
        .map_err(CommandError::io("remember where the build lies"))
}

fn build_note(context: &Context, candidate: Sha256Digest) -> PathBuf {
    context.folder.join("builds").join(candidate.to_string())
}

/// Finds the candidate's files and hashes them again.
fn find_build(
    context: &Context,
    named: Option<&Path>,
) -> Result<Option<CheckedBuild>, CommandError> {
    let folder = if let Some(folder) = named {
        folder.to_owned()
    } else {
        let Some(candidate) = context.run().candidate().map(|candidate| candidate.digest) else {
            return Ok(None);
        };
        match fs_err::read_to_string(build_note(context, candidate)) {
            Ok(folder) if Path::new(&folder).is_dir() => PathBuf::from(folder),
            _ => return Ok(None),
        }
    };
    candidate::check(&folder)
        .map(Some)
        .map_err(CommandError::Candidate)
}

/// Keeps the output of a step's own program as evidence.
fn keep_log(context: &Context, step: &str, ui: &mut Ui) -> Result<(), CommandError> {
    let run = context.run();
    let Some(candidate) = run.candidate() else {
        return Ok(());
    };
    let action = find_step(&run, step)?.written.action.as_ref();
    let log = context
        .folder
        .join("staging")
        .join(format!(
            "{}-{}",
            context.opened.version,
            candidate.digest.short()
        ))
        .join(format!("{step}.log"));
    if !matches!(action, Some(Written::Program { .. })) || !log.exists() {
        return Ok(());
    }
    let file = context
        .evidence
        .add(&log)
        .map_err(CommandError::io("keep the program's output"))?;
    ui.status(&format!(
        "  output kept as evidence {}",
        file.sha256.short()
    ));
    context.record(What::EvidenceAdded {
        step: step.to_owned(),
        candidate: candidate.digest,
        file,
    })?;
    Ok(())
}

/// Makes the bundle for a distributor or a manufacturer.
pub(super) fn hand_over(
    context: &Context,
    step: &str,
    build: Option<&Path>,
    ui: &mut Ui,
) -> Outcome {
    let build = find_build(context, build)?;
    let run = context.run();
    let found = find_step(&run, step)?;
    if found.written.kind != Kind::Handoff {
        return Err(CommandError::Usage {
            text: format!("{step} hands nothing over"),
        });
    }
    let look_up = environment::secret;
    let secrets = Secrets::new(&look_up);
    let folder = context
        .folder
        .join("handoff")
        .join(&context.opened.version)
        .join(step);
    let files = with_job(context, &run, found, build.as_ref(), &secrets, |job| {
        release_automation::bundle(job, &folder).map_err(|source| CommandError::Automation {
            step: step.to_owned(),
            source,
        })
    })?;
    let names = files.iter().filter_map(|file| file.file_name());
    let names: Vec<_> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let text = format!(
        "{}: {}\nsend it, ask for the hash that they compute, and enter it:\n  bakelite release handoff {step} --answer SHA256",
        folder.display(),
        names.join(", ")
    );
    ui.answer(
        &text,
        &serde_json::json!({ "folder": folder, "files": names }),
    );
    Ok(ExitCode::SUCCESS)
}

/// Marks a version that was taken back in the changelog of this machine.
pub(super) fn mark_yanked(context: &Context, ui: &mut Ui) -> Result<(), CommandError> {
    let file = context
        .project
        .join(&context.template().release.product.changelog);
    let Ok(before) = fs_err::read_to_string(&file) else {
        return Ok(());
    };
    let after = changelog::yank(&before, &context.opened.version);
    if after != before {
        fs_err::write(&file, after)
            .map_err(CommandError::io("mark the version in the changelog"))?;
        ui.status(&format!(
            "{}: {} is marked [YANKED]; publish it with the step that publishes the changelog, and take the files away by hand",
            file.display(),
            context.opened.version
        ));
    }
    Ok(())
}

/// Lists the fragments that wait.
pub(super) fn changes(arguments: &ReleaseArguments, ui: &mut Ui) -> Outcome {
    let template =
        Template::load(&arguments.folder.join("template")).map_err(CommandError::Template)?;
    let folder = project_of(&arguments.folder).join(&template.release.product.fragments);
    let fragments =
        changelog::read_folder(&folder, Some(&template)).map_err(CommandError::Template)?;
    let mut text = String::new();
    for fragment in &fragments {
        let first = fragment.text.lines().next().unwrap_or_default();
        writeln!(
            text,
            "{:<10} {}: {first}",
            fragment.kind.title(),
            fragment.name
        )
        .expect("strings take everything");
        if fragment.behaviour_change {
            writeln!(
                text,
                "           {} must see test “{}”",
                fragment.owners.join(", "),
                fragment.test.as_deref().unwrap_or_default()
            )
            .expect("strings take everything");
        }
    }
    if fragments.is_empty() {
        text = format!("no change waits in {}", folder.display());
    }
    let names: Vec<_> = fragments.iter().map(|fragment| &fragment.name).collect();
    ui.answer(
        &text,
        &serde_json::json!({ "changes": names, "facts": Fragment::facts(&fragments), "owners": Fragment::owners(&fragments) }),
    );
    Ok(ExitCode::SUCCESS)
}
