//! An S3-compatible store.

use std::fs::File;
use std::io::{self, Read, Write};

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, ObjectStore as _, ObjectStoreExt as _, PutMode,
    PutMultipartOptions, PutOptions, PutPayload,
};
use tokio::runtime::Runtime;

use super::{Content, Put, Store, join, media_type};
use crate::error::ActionError;
use crate::job::Secrets;

/// A part of a large file in bytes. S3 takes parts from 5 MiB and 10,000 of them (Amazon S3 user guide,
/// “multipart upload limits”): files up to 160 GiB.
const PART: u64 = 16 << 20;

pub(super) struct S3 {
    store: AmazonS3,
    runtime: Runtime,
    bucket: String,
    prefix: String,
    address: Option<String>,
}

impl std::fmt::Debug for S3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "S3({}/{})", self.bucket, self.prefix)
    }
}

impl S3 {
    pub(super) fn open(
        bucket: &str,
        endpoint: Option<&str>,
        region: Option<&str>,
        prefix: &str,
        address: Option<String>,
        secrets: &Secrets<'_>,
    ) -> Result<Self, ActionError> {
        drop(rustls::crypto::ring::default_provider().install_default());
        let why = "the store wants to know who writes";
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(region.unwrap_or("us-east-1"))
            .with_access_key_id(secrets.need("AWS_ACCESS_KEY_ID", why)?.expose())
            .with_secret_access_key(secrets.need("AWS_SECRET_ACCESS_KEY", why)?.expose());
        if let Some(token) = secrets.find("AWS_SESSION_TOKEN") {
            builder = builder.with_token(token.expose());
        }
        if let Some(endpoint) = endpoint {
            // Plain HTTP is for a store on this machine.
            builder = builder
                .with_endpoint(endpoint)
                .with_allow_http(endpoint.starts_with("http://"));
        }
        let what = || format!("open the bucket {bucket}");
        Ok(Self {
            store: builder.build().map_err(|source| ActionError::Store {
                what: what(),
                source,
            })?,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(ActionError::io(what()))?,
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            address,
        })
    }

    fn key(&self, name: &str) -> Path {
        if self.prefix.is_empty() {
            Path::from(name)
        } else {
            Path::from(format!("{}/{name}", self.prefix))
        }
    }

    fn whole(&self, name: &str, bytes: Vec<u8>, mode: Put) -> Result<(), Error> {
        let options = PutOptions {
            mode: match mode {
                Put::New => PutMode::Create,
                Put::Replace => PutMode::Overwrite,
            },
            attributes: attributes(name),
            ..PutOptions::default()
        };
        let payload = PutPayload::from(bytes);
        self.runtime
            .block_on(self.store.put_opts(&self.key(name), payload, options))?;
        Ok(())
    }

    /// Uploads a large file in parts. It is there when the last part is told to be: nobody sees half of it.
    fn parts(&self, name: &str, file: &mut File) -> Result<(), Error> {
        let failed = |source: io::Error| Error::Generic {
            store: "file",
            source: Box::new(source),
        };
        let key = self.key(name);
        let options = PutMultipartOptions {
            attributes: attributes(name),
            ..PutMultipartOptions::default()
        };
        let mut upload = self
            .runtime
            .block_on(self.store.put_multipart_opts(&key, options))?;
        let result = loop {
            let mut part = Vec::new();
            if let Err(error) = Read::by_ref(file).take(PART).read_to_end(&mut part) {
                break Err(failed(error));
            }
            if part.is_empty() {
                break self.runtime.block_on(upload.complete()).map(drop);
            }
            if let Err(error) = self.runtime.block_on(upload.put_part(part.into())) {
                break Err(error);
            }
        };
        if result.is_err() {
            // Parts that nobody completes cost money; if this fails too, the store's own rule must.
            drop(self.runtime.block_on(upload.abort()));
        }
        result
    }
}

fn attributes(name: &str) -> Attributes {
    let mut attributes = Attributes::new();
    attributes.insert(Attribute::ContentType, media_type(name).into());
    attributes
}

impl Store for S3 {
    fn read_to(&self, name: &str, to: &mut dyn Write) -> Result<bool, ActionError> {
        let what = format!("read {}", self.address(name));
        let key = self.key(name);
        let failed = |source| ActionError::Store {
            what: what.clone(),
            source,
        };
        let found = match self.runtime.block_on(self.store.head(&key)) {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        let mut at = 0;
        while at < found.size {
            let range = at..(at + PART).min(found.size);
            at = range.end;
            let bytes = self
                .runtime
                .block_on(self.store.get_range(&key, range))
                .map_err(failed)?;
            to.write_all(&bytes)
                .map_err(ActionError::io(what.clone()))?;
        }
        Ok(true)
    }

    fn put(&self, name: &str, content: Content<'_>, mode: Put) -> Result<(), ActionError> {
        let what = format!("upload {}", self.address(name));
        let result = match content {
            Content::Bytes(bytes) => self.whole(name, bytes.to_vec(), mode),
            Content::File(path) => {
                let mut file = File::open(path).map_err(ActionError::read(path))?;
                let size = file.metadata().map_err(ActionError::read(path))?.len();
                if size > PART {
                    self.parts(name, &mut file)
                } else {
                    let mut bytes = Vec::new();
                    file.read_to_end(&mut bytes)
                        .map_err(ActionError::read(path))?;
                    self.whole(name, bytes, mode)
                }
            }
        };
        result.map_err(|source| ActionError::Store { what, source })
    }

    fn delete(&self, name: &str) -> Result<(), ActionError> {
        match self.runtime.block_on(self.store.delete(&self.key(name))) {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(ActionError::Store {
                what: format!("delete {}", self.address(name)),
                source,
            }),
        }
    }

    fn address(&self, name: &str) -> String {
        self.public(name)
            .unwrap_or_else(|| format!("s3://{}/{}", self.bucket, self.key(name)))
    }

    fn public(&self, name: &str) -> Option<String> {
        Some(join(self.address.as_deref()?, name))
    }
}
