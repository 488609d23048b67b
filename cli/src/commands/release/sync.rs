//! `bakelite release sync`

use std::path::Path;
use std::process::ExitCode;

use release::evidence::EvidenceStore;
use release::journal::{Journal, What};
use release::opened::Opened;
use release::template::Template;
use release_automation::sync::{self, Carried};
use release_automation::{Content, Put, Secrets};
use release_stores::StoreError;

use super::Outcome;
use super::context::{journal_root, person, project_of};
use crate::arguments::release::ReleaseArguments;
use crate::command_error::CommandError;
use crate::environment;
use crate::ui::Ui;

pub(super) fn run(arguments: &ReleaseArguments, remote: Option<&str>, ui: &mut Ui) -> Outcome {
    let carried = carry(arguments, remote)?;
    let (came, went) = carry_evidence(arguments)?;
    let mut text = format!(
        "{} files came in, {} went out",
        carried.received, carried.sent
    );
    if came + went > 0 {
        text.push_str(&format!("; of films and logs {came} came, {went} went"));
    }
    ui.answer(
        &text,
        &serde_json::json!({ "received": carried.received, "sent": carried.sent, "evidence-received": came, "evidence-sent": went }),
    );
    Ok(ExitCode::SUCCESS)
}

/// Carries the journal.
pub(super) fn carry(
    arguments: &ReleaseArguments,
    remote: Option<&str>,
) -> Result<Carried, CommandError> {
    let root = journal_root(arguments);
    let remote = match remote {
        Some(remote) => remote.to_owned(),
        None => sync::remote_of(&project_of(&arguments.folder)).map_err(CommandError::Sync)?,
    };
    // A path is meant from here, not from the journal's folder.
    let remote = match Path::new(&remote) {
        path if path.is_dir() => std::path::absolute(path)
            .map_err(CommandError::io("find the repository"))?
            .display()
            .to_string(),
        _ => remote,
    };
    let template =
        Template::load(&arguments.folder.join("template")).map_err(CommandError::Template)?;
    // Only for git's log; a server that carries has no key among the people.
    let name = person(&template, arguments.key.as_deref());
    let name = name.map_or_else(|_nobody| "bakelite".to_owned(), |(name, _)| name);
    sync::sync(&root, &remote, &name, &|| problems(&root)).map_err(CommandError::Sync)
}

/// What is wrong with the journals below a root.
fn problems(root: &Path) -> Vec<String> {
    let runs = match Journal::runs(root) {
        Ok(runs) => runs,
        Err(error) => return vec![error.to_string()],
    };
    let mut problems = Vec::new();
    for version in runs {
        match Opened::open(root, &version) {
            Ok(opened) => {
                let found = opened.verified.problems().iter();
                let bad = found.filter(|problem| !problem.trouble.is_warning());
                problems.extend(bad.map(ToString::to_string));
            }
            Err(error) => problems.push(format!("{version}: {error}")),
        }
    }
    problems
}

/// Carries films and logs over the template's evidence target. Returns how many came and went.
fn carry_evidence(arguments: &ReleaseArguments) -> Result<(usize, usize), CommandError> {
    let template =
        Template::load(&arguments.folder.join("template")).map_err(CommandError::Template)?;
    let Some(target) = &template.release.evidence else {
        return Ok((0, 0));
    };
    let failed = |source| CommandError::Automation {
        step: "carrying films and logs".into(),
        source,
    };
    let stored = |error: StoreError| failed(error.into());
    let look_up = environment::secret;
    let secrets = Secrets::new(&look_up);
    let project = project_of(&arguments.folder);
    let target = &template.release.targets[target];
    let store = release_automation::open_store(target, &project, &secrets).map_err(failed)?;
    let evidence = EvidenceStore::new(&arguments.folder.join("evidence"));
    let root = journal_root(arguments);
    let (mut came, mut went) = (0, 0);
    for version in Journal::runs(&root).map_err(CommandError::io("read the journal"))? {
        let opened = Opened::open(&root, &version).map_err(CommandError::Open)?;
        for event in opened.verified.events() {
            let What::EvidenceAdded { file, .. } = &event.event().what else {
                continue;
            };
            let name = format!("evidence/{}", file.sha256);
            let here = evidence.path(&file.sha256);
            let there = store.digest(&name).map_err(stored)?;
            match (here.exists(), there) {
                (true, None) => {
                    store
                        .put(&name, Content::File(&here), Put::New)
                        .map_err(stored)?;
                    went += 1;
                }
                (false, Some(_)) => {
                    let mut partial = tempfile::NamedTempFile::new()
                        .map_err(CommandError::io("download evidence"))?;
                    store.read_to(&name, &mut partial).map_err(stored)?;
                    evidence
                        .receive(partial.path(), &file.sha256)
                        .map_err(CommandError::io("keep downloaded evidence"))?;
                    came += 1;
                }
                _ => {}
            }
        }
    }
    Ok((came, went))
}
