//! Places that hold files by name, as a release's template names them.

use std::path::Path;

use release::template::TargetToml;
pub use release_stores::{Content, Put, Store};
use release_stores::{Credentials, Folder, S3, Settings};

use crate::error::ActionError;
use crate::job::{Secret, Secrets};

/// Opens a target that takes files.
pub fn open(
    target: &TargetToml,
    project: &Path,
    secrets: &Secrets<'_>,
) -> Result<Box<dyn Store>, ActionError> {
    match target {
        TargetToml::Folder { folder, address } => Ok(Box::new(Folder {
            folder: project.join(folder),
            address: address.clone(),
        })),
        TargetToml::S3 {
            bucket,
            endpoint,
            region,
            prefix,
            address,
        } => {
            let why = "the store wants to know who writes";
            let key = secrets.need("AWS_ACCESS_KEY_ID", why)?;
            let secret = secrets.need("AWS_SECRET_ACCESS_KEY", why)?;
            let token = secrets.find("AWS_SESSION_TOKEN");
            let settings = Settings {
                bucket: bucket.clone(),
                endpoint: endpoint.clone(),
                region: region.clone(),
                prefix: prefix.clone(),
                address: address.clone(),
            };
            let credentials = Credentials {
                key: key.expose(),
                secret: secret.expose(),
                token: token.as_ref().map(Secret::expose),
            };
            Ok(Box::new(S3::open(settings, credentials)?))
        }
        TargetToml::Github { repository, .. } => Err(ActionError::Refused(format!(
            "{repository} takes releases only; this needs a folder or an S3 store"
        ))),
    }
}
