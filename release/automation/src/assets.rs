//! The files of a release: those of the candidate, their sums, and the signatures of the sums.

use std::fmt::Write as _;
use std::path::PathBuf;

use content_digest::Sha256Digest;

use crate::error::ActionError;
use crate::job::{Job, write_whole};
use crate::signing;

/// A file to be published.
#[derive(Debug)]
pub(crate) struct Asset {
    /// Its name.
    pub(crate) name: String,
    /// Where it lies here.
    pub(crate) path: PathBuf,
    /// Its digest; none for a signature, which differs by who made it.
    pub(crate) sha256: Option<Sha256Digest>,
}

/// What is published together. The sums come last: who sees them sees the rest.
#[derive(Debug)]
pub(crate) struct Assets {
    pub(crate) files: Vec<Asset>,
    pub(crate) sums: Vec<u8>,
}

/// How a file is that was published before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Right,
    Wrong(String),
}

impl Assets {
    /// Returns what is to be published, without making anything.
    pub(crate) fn of(job: &Job<'_>) -> Result<Self, ActionError> {
        let build = job.build()?;
        let mut files: Vec<Asset> = build
            .manifest
            .files
            .iter()
            .map(|file| Asset {
                name: file.name.clone(),
                path: build.folder.join(&file.name),
                sha256: Some(file.sha256),
            })
            .collect();
        files.push(Asset {
            name: "manifest.json".into(),
            path: build.folder.join("manifest.json"),
            sha256: Some(build.digest),
        });
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let mut sums = String::new();
        for file in &files {
            let sha256 = file.sha256.expect("no signature yet");
            writeln!(sums, "{sha256}  {}", file.name).expect("strings take everything");
        }
        let sums = sums.into_bytes();
        let staged = |name: &str, sha256| Asset {
            name: name.to_owned(),
            path: job.staging.join(name),
            sha256,
        };
        files.extend(
            signing::names(job)
                .into_iter()
                .map(|name| staged(name, None)),
        );
        files.push(staged(signing::SUMS, Some(Sha256Digest::of(&sums))));
        Ok(Self { files, sums })
    }

    /// Writes sums and signatures here, unless they are here already.
    pub(crate) fn stage(&self, job: &Job<'_>) -> Result<(), ActionError> {
        write_whole(&job.staging.join(signing::SUMS), &self.sums)?;
        for name in signing::names(job) {
            let path = job.staging.join(name);
            let known = fs_err::read(&path).unwrap_or_default();
            if signing::check(job, name, &self.sums, &known).is_err() {
                write_whole(&path, &signing::sign(job, name, &self.sums)?)?;
            }
        }
        Ok(())
    }

    /// Judges a file that was published before, by its digest, or a signature by what it says.
    pub(crate) fn judge(
        &self,
        job: &Job<'_>,
        asset: &Asset,
        found: Sha256Digest,
        read: impl FnOnce() -> Result<Vec<u8>, ActionError>,
    ) -> Result<Standing, ActionError> {
        let why = match asset.sha256 {
            Some(expected) if expected == found => return Ok(Standing::Right),
            Some(expected) => format!("SHA-256 {found} instead of {expected}"),
            None => match signing::check(job, &asset.name, &self.sums, &read()?) {
                Ok(()) => return Ok(Standing::Right),
                Err(why) => why,
            },
        };
        Ok(Standing::Wrong(format!("{}: {why}", asset.name)))
    }
}
