//! Runs maintainer scripts, and keeps what they say.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::database::Entry;

/// Lines of a failed script's output that are shown.
const SHOWN_LINES: usize = 30;

/// A script failed.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// It could not be started.
    #[error("cannot start {script} of package {package}")]
    Start {
        /// The package.
        package: String,
        /// The script.
        script: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It ended with an error.
    #[error("{script} of package {package} failed with {status}; it said:\n{output}")]
    Failed {
        /// The package.
        package: String,
        /// The script with its arguments.
        script: String,
        /// Its exit status.
        status: String,
        /// The end of its output.
        output: String,
    },
    /// Its output could not be kept.
    #[error("cannot keep a script's output")]
    Log(#[source] std::io::Error),
}

/// Runs scripts with a fixed environment.
#[derive(Debug)]
pub struct Scripts {
    environment: BTreeMap<String, String>,
    log: std::path::PathBuf,
    /// Seconds spent, by package and script.
    pub times: Vec<(String, f64)>,
}

impl Scripts {
    /// Prepares the environment: nothing of the host's is in it. `timestamp` is what programs take
    /// for now where they can be told (`SOURCE_DATE_EPOCH`).
    pub fn new(timestamp: i64) -> Self {
        let timestamp = timestamp.to_string();
        let environment = [
            ("DEBIAN_FRONTEND", "noninteractive"),
            ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
            ("LC_ALL", "C.UTF-8"),
            ("PATH", "/.bakelite/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("HOME", "/root"),
            ("SOURCE_DATE_EPOCH", &timestamp),
            // Newer processor features cost time to emulate and give nothing here.
            ("QEMU_CPU", "cortex-a76"),
        ];
        let environment = environment
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        Self {
            environment,
            log: Path::new("/.bakelite/script.log").to_owned(),
            times: Vec::new(),
        }
    }

    /// Keeps the output of programs in another file, for use beside the first runner.
    #[must_use]
    pub fn with_log(self, log: &str) -> Self {
        Self {
            log: log.into(),
            ..self
        }
    }

    /// Sets a variable of the scripts' environment.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// Runs a maintainer script if the package has it.
    pub(super) fn maintainer(
        &mut self,
        entry: &Entry,
        script: &str,
        arguments: &[&str],
    ) -> Result<(), ScriptError> {
        let path = entry.info_path(script);
        if !path.exists() {
            return Ok(());
        }
        let own = [
            ("DPKG_MAINTSCRIPT_PACKAGE", entry.name.as_str()),
            ("DPKG_MAINTSCRIPT_ARCH", entry.architecture.as_str()),
            ("DPKG_MAINTSCRIPT_NAME", script),
            ("DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT", "1"),
            ("DPKG_MAINTSCRIPT_DEBUG", "0"),
            ("DPKG_RUNNING_VERSION", "1.22.21"),
            ("DPKG_ADMINDIR", super::database::ADMIN),
            ("DPKG_ROOT", ""),
            ("DPKG_FORCE", "security-mac,downgrade"),
        ];
        let started = std::time::Instant::now();
        self.run(&path, arguments, &own, &entry.name, script)?;
        self.times.push((
            format!("{} {script}", entry.name),
            started.elapsed().as_secs_f64(),
        ));
        Ok(())
    }

    /// Runs any program of the tree.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that runs programs of the tree"
    )]
    pub fn run(
        &self,
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
        package: &str,
        script: &str,
    ) -> Result<(), ScriptError> {
        let log = fs_err::File::create(&self.log).map_err(ScriptError::Log)?;
        let second = log.try_clone().map_err(ScriptError::Log)?;
        let status = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(&self.environment)
            .envs(environment.iter().copied())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.into_parts().0)
            .stderr(second.into_parts().0)
            .status()
            .map_err(|source| ScriptError::Start {
                package: package.to_owned(),
                script: script.to_owned(),
                source,
            })?;
        if status.success() {
            return Ok(());
        }
        let mut text = Vec::new();
        fs_err::File::open(&self.log)
            .and_then(|mut file| file.read_to_end(&mut text))
            .map_err(ScriptError::Log)?;
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
        Err(ScriptError::Failed {
            package: package.to_owned(),
            script: format!("{script} {}", arguments.join(" "))
                .trim()
                .to_owned(),
            status: status.to_string(),
            output: shown
                .iter()
                .map(|line| format!("    {line}"))
                .collect::<Vec<_>>()
                .join("\n"),
        })
    }
}
