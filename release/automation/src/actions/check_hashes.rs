//! Compares the hashes of the public changelog with the public files: nobody's word is believed, both are
//! downloaded as a stranger would.

use std::io::{BufReader, Read, Seek as _};

use content_digest::{HashingReader, Sha256Digest};
use release::changelog::hash_block::{self, Row};
use release::template::TargetToml;

use super::publish_changelog::MARKDOWN;
use super::{Action, Probe};
use crate::error::ActionError;
use crate::github::Github;
use crate::http;
use crate::job::Job;
use crate::stores::{self, Store};

pub(super) struct CheckHashes<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) changelog: &'a str,
    pub(super) files: &'a str,
}

impl CheckHashes<'_> {
    fn rows(&self) -> Result<Vec<Row>, ActionError> {
        let store = stores::open(
            self.job.target(self.changelog),
            self.job.project,
            self.job.secrets,
        )?;
        let text = match store.public(MARKDOWN) {
            Some(address) => http::page(&http::client()?, &address)?,
            None => store
                .read(MARKDOWN)?
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        };
        let rows = hash_block::read(&text.unwrap_or_default(), self.job.version);
        if rows.is_empty() {
            return Err(ActionError::Refused(format!(
                "{} shows no hashes of {}",
                store.address(MARKDOWN),
                self.job.version
            )));
        }
        Ok(rows)
    }

    /// Downloads a file as the public does, and returns its digest and that of the image in it.
    fn download(&self, name: &str) -> Result<(Sha256Digest, Option<Sha256Digest>), ActionError> {
        match self.job.target(self.files) {
            TargetToml::Github {
                repository,
                api,
                tag,
            } => {
                let github = Github::anonymous(repository, api.as_deref())?;
                let release = github.find(&self.job.named(tag))?;
                let assets = match release.filter(|release| !release.draft) {
                    Some(release) => github.assets(&release)?,
                    None => Vec::new(),
                };
                let asset = assets.into_iter().find(|asset| asset.name == name);
                let asset = asset.ok_or_else(|| {
                    ActionError::Refused(format!("{repository} has no public file {name}"))
                })?;
                fetch(&asset.browser_download_url, name)
            }
            target => {
                let store = stores::open(target, self.job.project, self.job.secrets)?;
                let path = format!("{}/{name}", self.job.version);
                match store.public(&path) {
                    Some(address) => fetch(&address, name),
                    None => from_store(&*store, &path, name),
                }
            }
        }
    }

    fn compare(&self) -> Result<Vec<String>, ActionError> {
        let candidate = self.job.candidate()?.image;
        let rows = self.rows()?;
        let mut wrong = Vec::new();
        if !rows.iter().any(|row| row.download == candidate) {
            wrong.push("the changelog does not name the candidate's image".to_owned());
        }
        for row in rows {
            let (download, extracted) = self.download(&row.name)?;
            if download != row.download {
                wrong.push(format!(
                    "{}: the changelog says {}, the public file has {download}",
                    row.name, row.download
                ));
            }
            if extracted != row.extracted {
                let words = |digest: Option<Sha256Digest>| {
                    digest.map_or("nothing".to_owned(), |digest| digest.to_string())
                };
                wrong.push(format!(
                    "{}: the changelog says {} for the extracted image, it has {}",
                    row.name,
                    words(row.extracted),
                    words(extracted)
                ));
            }
        }
        Ok(wrong)
    }
}

fn fetch(address: &str, name: &str) -> Result<(Sha256Digest, Option<Sha256Digest>), ActionError> {
    let what = format!("download {address}");
    let response = http::client()?
        .get(address)
        .send()
        .map_err(ActionError::http(what.clone()))?;
    both(http::good(&what, response)?, name, &what)
}

fn from_store(
    store: &dyn Store,
    path: &str,
    name: &str,
) -> Result<(Sha256Digest, Option<Sha256Digest>), ActionError> {
    let what = format!("read {}", store.address(path));
    let mut file = tempfile::tempfile().map_err(ActionError::io(what.clone()))?;
    if !store.read_to(path, &mut file)? {
        return Err(ActionError::Refused(format!(
            "{} is not there",
            store.address(path)
        )));
    }
    file.rewind().map_err(ActionError::io(what.clone()))?;
    both(file, name, &what)
}

/// Hashes a stream and, as it passes, what is compressed in it.
fn both(
    reader: impl Read,
    name: &str,
    what: &str,
) -> Result<(Sha256Digest, Option<Sha256Digest>), ActionError> {
    let mut outer = HashingReader::new(reader);
    let io = || ActionError::io(what.to_owned());
    let extracted = if name.ends_with(".zst") {
        let mut inner = zstd::Decoder::new(&mut outer).map_err(io())?;
        Some(http::digest_of(&mut inner, what)?.0)
    } else if name.ends_with(".xz") {
        let mut inner = liblzma::bufread::XzDecoder::new_multi_decoder(BufReader::new(&mut outer));
        Some(http::digest_of(&mut inner, what)?.0)
    } else {
        None
    };
    // What follows the compressed data belongs to the file, too.
    std::io::copy(&mut outer, &mut std::io::sink()).map_err(io())?;
    Ok((outer.finish(), extracted))
}

impl Action for CheckHashes<'_> {
    fn probe(&self) -> Result<Probe, ActionError> {
        let wrong = self.compare()?;
        Ok(if wrong.is_empty() {
            Probe::Satisfied("both hashes of every image are those of the public files".into())
        } else {
            Probe::Conflict(wrong.join("; "))
        })
    }

    fn plan(&self) -> Result<Vec<String>, ActionError> {
        let rows = self.rows()?;
        Ok(rows
            .iter()
            .map(|row| format!("download {} and compare", row.name))
            .collect())
    }

    fn run(&self, _say: &mut dyn FnMut(&str)) -> Result<String, ActionError> {
        Ok("compared".into())
    }
}
