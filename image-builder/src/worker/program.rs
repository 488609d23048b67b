//! Runs one program of a tree: the cross compiler, the emulator, a shell.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::{Answer, TaskError, confine};
use crate::sandbox::Confinement;

/// A program to run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    /// What the program sees.
    pub confinement: Confinement,
    /// Program and arguments.
    pub command: Vec<String>,
    /// The whole environment.
    pub environment: BTreeMap<String, String>,
    /// Folder to start in.
    pub folder: PathBuf,
    /// File in the tree that takes its output; the terminal if absent.
    pub log: Option<PathBuf>,
}

impl Run {
    #[expect(clippy::disallowed_methods, reason = "running a program is this task")]
    pub(super) fn work(self) -> Result<Answer, TaskError> {
        confine(&self.confinement)?;
        let (program, arguments) = self.command.split_first().ok_or("no program was given")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(&self.environment)
            .current_dir(&self.folder);
        if let Some(log) = &self.log {
            let file = fs_err::OpenOptions::new()
                .create(true)
                .append(true)
                .open(log)?;
            let second = file.try_clone()?;
            command
                .stdin(Stdio::null())
                .stdout(file.into_parts().0)
                .stderr(second.into_parts().0);
        } else {
            // The worker's own stdin and stdout carry messages; the terminal is still there.
            let terminal = || {
                fs_err::OpenOptions::new()
                    .read(true)
                    .write(true)
                    .open("/dev/tty")
            };
            command
                .stdin(terminal()?.into_parts().0)
                .stdout(terminal()?.into_parts().0)
                .stderr(terminal()?.into_parts().0);
        }
        let status = command
            .status()
            .map_err(|error| format!("cannot start {program}: {error}"))?;
        Ok(Answer {
            exit_code: status.code(),
            ..Answer::default()
        })
    }
}
