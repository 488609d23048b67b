//! Releases of a GitHub repository (REST API, version 2022-11-28): a draft takes the files, they are
//! downloaded and compared, and only then it is published. With immutable releases nothing can be changed
//! after that.

use std::time::Duration;

use content_digest::Sha256Digest;
use reqwest::Method;
use reqwest::blocking::{Body, Client, RequestBuilder, Response};
use serde::Deserialize;
use serde_json::json;

use crate::error::ActionError;
use crate::http;
use crate::job::{Secret, Secrets};

const API: &str = "https://api.github.com";
const TOKEN: &str = "BAKELITE_GITHUB_TOKEN";
const WHY: &str =
    "GitHub wants to know who publishes (a fine-grained token with “contents: write”)";

/// Releases of one repository.
#[derive(Debug)]
pub(crate) struct Github {
    client: Client,
    token: Option<Secret>,
    api: String,
    repository: String,
}

/// A release, as the API tells it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Release {
    pub(crate) id: u64,
    pub(crate) tag_name: String,
    pub(crate) draft: bool,
    pub(crate) html_url: String,
    pub(crate) upload_url: String,
}

/// A file of a release.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ReleaseAsset {
    pub(crate) name: String,
    pub(crate) url: String,
    /// `uploaded`; `starter` is one whose upload never ended.
    pub(crate) state: String,
    pub(crate) browser_download_url: String,
}

impl Github {
    /// For writing: the token must be there.
    pub(crate) fn open(
        repository: &str,
        api: Option<&str>,
        secrets: &Secrets<'_>,
    ) -> Result<Self, ActionError> {
        let token = secrets.need(TOKEN, WHY)?;
        Ok(Self {
            token: Some(token),
            ..Self::anonymous(repository, api)?
        })
    }

    /// As the public sees it.
    pub(crate) fn anonymous(repository: &str, api: Option<&str>) -> Result<Self, ActionError> {
        Ok(Self {
            client: http::client()?,
            token: None,
            api: api.unwrap_or(API).trim_end_matches('/').to_owned(),
            repository: repository.to_owned(),
        })
    }

    fn request(&self, method: Method, address: &str) -> RequestBuilder {
        let request = self
            .client
            .request(method, address)
            .header("Accept", "application/vnd.github+json")
            .header("X-GitHub-Api-Version", "2022-11-28")
            .timeout(Duration::from_mins(1));
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    fn send(what: &str, request: RequestBuilder) -> Result<Response, ActionError> {
        http::good(what, request.send().map_err(ActionError::http(what))?)
    }

    fn releases(&self) -> String {
        format!("{}/repos/{}/releases", self.api, self.repository)
    }

    /// Returns the release with a tag, drafts too. The API finds drafts only in the list.
    pub(crate) fn find(&self, tag: &str) -> Result<Option<Release>, ActionError> {
        let what = format!("list the releases of {}", self.repository);
        let mut found: Vec<Release> = Vec::new();
        for page in 1.. {
            let address = format!("{}?per_page=100&page={page}", self.releases());
            let listed: Vec<Release> = Self::send(&what, self.request(Method::GET, &address))?
                .json()
                .map_err(ActionError::http(what.clone()))?;
            let is_last = listed.len() < 100;
            found.extend(listed.into_iter().filter(|release| release.tag_name == tag));
            if is_last {
                break;
            }
        }
        if found.len() > 1 {
            return Err(ActionError::Refused(format!(
                "{} has {} releases with the tag {tag}: delete those that are not ours",
                self.repository,
                found.len()
            )));
        }
        Ok(found.pop())
    }

    pub(crate) fn draft(&self, tag: &str, title: &str, body: &str) -> Result<Release, ActionError> {
        let what = format!("make a draft of {tag}");
        let value = json!({ "tag_name": tag, "name": title, "body": body, "draft": true });
        let request = self.request(Method::POST, &self.releases()).json(&value);
        Self::send(&what, request)?
            .json()
            .map_err(ActionError::http(what))
    }

    pub(crate) fn assets(&self, release: &Release) -> Result<Vec<ReleaseAsset>, ActionError> {
        let what = format!("list the files of {}", release.tag_name);
        let address = format!("{}/{}/assets?per_page=100", self.releases(), release.id);
        Self::send(&what, self.request(Method::GET, &address))?
            .json()
            .map_err(ActionError::http(what))
    }

    pub(crate) fn upload(
        &self,
        release: &Release,
        name: &str,
        path: &std::path::Path,
    ) -> Result<(), ActionError> {
        let what = format!("upload {name}");
        // A template (RFC 6570): “…/assets{?name,label}”.
        let address = release.upload_url.split('{').next().unwrap_or_default();
        let file = fs_err::File::open(path).map_err(ActionError::read(path))?;
        let length = file.metadata().map_err(ActionError::read(path))?.len();
        let request = self
            .request(Method::POST, address)
            .query(&[("name", name)])
            .header("Content-Type", "application/octet-stream")
            .timeout(Duration::from_hours(1))
            .body(Body::sized(file.into_parts().0, length));
        drop(Self::send(&what, request)?);
        Ok(())
    }

    pub(crate) fn delete(&self, asset: &ReleaseAsset) -> Result<(), ActionError> {
        let what = format!("delete the unfinished {}", asset.name);
        drop(Self::send(&what, self.request(Method::DELETE, &asset.url))?);
        Ok(())
    }

    /// Downloads a file and returns what `read` makes of it.
    pub(crate) fn download<T>(
        &self,
        asset: &ReleaseAsset,
        read: impl FnOnce(&mut dyn std::io::Read) -> Result<T, ActionError>,
    ) -> Result<T, ActionError> {
        let what = format!("download {}", asset.name);
        let request = self
            .client
            .get(&asset.url)
            .header("Accept", "application/octet-stream")
            .header("X-GitHub-Api-Version", "2022-11-28");
        let request = match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        };
        read(&mut Self::send(&what, request)?)
    }

    /// Downloads a file and returns its digest.
    pub(crate) fn digest(&self, asset: &ReleaseAsset) -> Result<Sha256Digest, ActionError> {
        let what = format!("download {}", asset.name);
        let digest = self.download(asset, |reader| http::digest_of(reader, &what))?;
        Ok(digest.0)
    }

    pub(crate) fn publish(&self, release: &Release) -> Result<(), ActionError> {
        let what = format!("publish {}", release.tag_name);
        let address = format!("{}/{}", self.releases(), release.id);
        let request = self
            .request(Method::PATCH, &address)
            .json(&json!({ "draft": false }));
        drop(Self::send(&what, request)?);
        Ok(())
    }
}
