//! A program of the maker's own. Its output becomes evidence.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{Action, Probe};
use crate::error::ActionError;
use crate::job::Job;

pub(super) struct Program<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) run: &'a [String],
    pub(super) probe: &'a [String],
    pub(super) undo: &'a [String],
}

impl Program<'_> {
    /// Fills in what a program may be told; `bakelite` is this program.
    fn words(&self, words: &[String]) -> Result<Vec<String>, ActionError> {
        let fill = |word: &String| {
            let mut word = self.job.named(word);
            if word.contains("{image}") || word.contains("{build}") {
                let build = self.job.build()?;
                let image = build.manifest.file(artifact_manifest::Role::Image);
                let image = image.map_or(PathBuf::new(), |image| build.folder.join(&image.name));
                word = word.replace("{image}", &image.display().to_string());
                word = word.replace("{build}", &build.folder.display().to_string());
            }
            Ok(word)
        };
        words.iter().map(fill).collect()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the maker's own program, named in their reviewed template"
    )]
    fn command(&self, words: &[String]) -> Result<Command, ActionError> {
        let words = self.words(words)?;
        let Some((program, arguments)) = words.split_first() else {
            return Err(ActionError::Refused("the program has no name".into()));
        };
        let mut command = if program == "bakelite" {
            Command::new(self.job.program)
        } else {
            Command::new(program)
        };
        let candidate = self.job.candidate()?;
        // The repository's root may be where we are.
        if !self.job.project.as_os_str().is_empty() {
            command.current_dir(self.job.project);
        }
        command
            .args(arguments)
            .env("BAKELITE_VERSION", self.job.version)
            .env("BAKELITE_CANDIDATE", candidate.digest.to_string())
            .stdin(Stdio::null());
        Ok(command)
    }

    /// Where the output lies.
    fn log(&self) -> PathBuf {
        self.job.staging.join(format!("{}.log", self.job.step.name))
    }

    fn execute(&self, words: &[String]) -> Result<(), ActionError> {
        let log = self.log();
        fs_err::create_dir_all(&self.job.staging).map_err(ActionError::write(&log))?;
        let file = fs_err::File::create(&log).map_err(ActionError::write(&log))?;
        let file = file.into_parts().0;
        let copy = file.try_clone().map_err(ActionError::write(&log))?;
        let mut command = self.command(words)?;
        let status = command
            .stdout(file)
            .stderr(copy)
            .status()
            .map_err(ActionError::io(format!("start {}", words[0])))?;
        if status.success() {
            return Ok(());
        }
        Err(ActionError::Program {
            program: words[0].clone(),
            status: status.to_string(),
            log: log.display().to_string(),
        })
    }
}

impl Action for Program<'_> {
    fn probe(&self) -> Result<Probe, ActionError> {
        if self.probe.is_empty() {
            return Ok(Probe::Absent);
        }
        let output = self
            .command(self.probe)?
            .output()
            .map_err(ActionError::io(format!("start {}", self.probe[0])))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let said = said.trim().lines().last().unwrap_or_default().to_owned();
        Ok(match output.status.code() {
            Some(0) => Probe::Satisfied(said),
            Some(1) => Probe::Absent,
            _ => Probe::Conflict(format!("{} says: {said}", self.probe[0])),
        })
    }

    fn plan(&self) -> Result<Vec<String>, ActionError> {
        Ok(vec![format!("run {}", self.words(self.run)?.join(" "))])
    }

    fn run(&self, say: &mut dyn FnMut(&str)) -> Result<String, ActionError> {
        say(&self.words(self.run)?.join(" "));
        self.execute(self.run)?;
        let log = fs_err::read_to_string(self.log()).unwrap_or_default();
        let last = log.trim().lines().last().unwrap_or("no output");
        Ok(format!("{} succeeded: {last}", self.run[0]))
    }

    fn undo(&self) -> Result<String, ActionError> {
        if self.undo.is_empty() {
            return Err(ActionError::NoUndo(": its step names no “undo”"));
        }
        self.execute(self.undo)?;
        Ok(format!("{} succeeded", self.undo[0]))
    }

    /// Without a probe, the exit status is all there is.
    fn can_probe(&self) -> bool {
        !self.probe.is_empty()
    }
}
