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

use super::{Content, Put, Store, StoreError, join, media_type};

/// A part of a large file in bytes. S3 takes parts from 5 MiB and 10,000 of them (Amazon S3 user guide,
/// “multipart upload limits”): files up to 160 GiB.
const PART: u64 = 16 << 20;

/// Which store, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// Bucket.
    pub bucket: String,
    /// Address of the store; Amazon's own if absent.
    pub endpoint: Option<String>,
    /// Region; `us-east-1` if absent.
    pub region: Option<String>,
    /// What all names begin with.
    pub prefix: String,
    /// Where people find the files, if anywhere.
    pub address: Option<String>,
}

/// Who writes. It cannot be printed.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// `AWS_ACCESS_KEY_ID`.
    pub key: &'a str,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret: &'a str,
    /// `AWS_SESSION_TOKEN`, if there is one.
    pub token: Option<&'a str>,
}

impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// A bucket, or a part of one.
pub struct S3 {
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
    /// Opens it. Nothing is asked of the store yet.
    pub fn open(settings: Settings, credentials: Credentials<'_>) -> Result<Self, StoreError> {
        drop(rustls::crypto::ring::default_provider().install_default());
        let Settings {
            bucket,
            endpoint,
            region,
            prefix,
            address,
        } = settings;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&bucket)
            .with_region(region.as_deref().unwrap_or("us-east-1"))
            .with_access_key_id(credentials.key)
            .with_secret_access_key(credentials.secret);
        if let Some(token) = credentials.token {
            builder = builder.with_token(token);
        }
        if let Some(endpoint) = endpoint {
            // Plain HTTP is for a store on this machine.
            builder = builder
                .with_allow_http(endpoint.starts_with("http://"))
                .with_endpoint(endpoint);
        }
        let what = || format!("open the bucket {bucket}");
        Ok(Self {
            store: builder.build().map_err(|source| StoreError::Object {
                what: what(),
                source,
            })?,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(StoreError::io(what()))?,
            bucket,
            prefix: prefix.trim_matches('/').to_owned(),
            address,
        })
    }

    /// Waits for an answer on a thread of its own: whoever asks may be within a runtime already.
    fn wait<T: Send>(&self, answer: impl Future<Output = T> + Send) -> T {
        std::thread::scope(|scope| {
            let answer = scope.spawn(|| self.runtime.block_on(answer));
            answer.join().expect("asking does not panic")
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
            attributes: attributes(name, mode),
            ..PutOptions::default()
        };
        let payload = PutPayload::from(bytes);
        self.wait(self.store.put_opts(&self.key(name), payload, options))?;
        Ok(())
    }

    /// Uploads a large file in parts. It is there when the last part is told to be: nobody sees half of it.
    fn parts(&self, name: &str, file: &mut File, mode: Put) -> Result<(), Error> {
        let failed = |source: io::Error| Error::Generic {
            store: "file",
            source: Box::new(source),
        };
        let key = self.key(name);
        let options = PutMultipartOptions {
            attributes: attributes(name, mode),
            ..PutMultipartOptions::default()
        };
        let mut upload = self.wait(self.store.put_multipart_opts(&key, options))?;
        let result = loop {
            let mut part = Vec::new();
            if let Err(error) = Read::by_ref(file).take(PART).read_to_end(&mut part) {
                break Err(failed(error));
            }
            if part.is_empty() {
                break self.wait(upload.complete()).map(drop);
            }
            if let Err(error) = self.wait(upload.put_part(part.into())) {
                break Err(error);
            }
        };
        if result.is_err() {
            // Parts that nobody completes cost money; if this fails too, the store's own rule must.
            drop(self.wait(upload.abort()));
        }
        result
    }
}

/// What is never replaced may be kept for ever; what is, must be asked for each time (RFC 9111, section 5.2.2; RFC 8246).
fn attributes(name: &str, mode: Put) -> Attributes {
    let mut attributes = Attributes::new();
    let keeps = match mode {
        Put::New => "public, max-age=31536000, immutable",
        Put::Replace => "no-cache",
    };
    attributes.insert(Attribute::CacheControl, keeps.into());
    attributes.insert(Attribute::ContentType, media_type(name).into());
    attributes
}

impl Store for S3 {
    fn read_to(&self, name: &str, to: &mut dyn Write) -> Result<bool, StoreError> {
        let what = format!("read {}", self.address(name));
        let key = self.key(name);
        let failed = |source| StoreError::Object {
            what: what.clone(),
            source,
        };
        let found = match self.wait(self.store.head(&key)) {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        let mut at = 0;
        while at < found.size {
            let range = at..(at + PART).min(found.size);
            at = range.end;
            let bytes = self
                .wait(self.store.get_range(&key, range))
                .map_err(failed)?;
            to.write_all(&bytes).map_err(StoreError::io(what.clone()))?;
        }
        Ok(true)
    }

    fn put(&self, name: &str, content: Content<'_>, mode: Put) -> Result<(), StoreError> {
        let what = format!("upload {}", self.address(name));
        let result = match content {
            Content::Bytes(bytes) => self.whole(name, bytes.to_vec(), mode),
            Content::File(path) => {
                let mut file = File::open(path).map_err(StoreError::read(path))?;
                let size = file.metadata().map_err(StoreError::read(path))?.len();
                if size > PART {
                    self.parts(name, &mut file, mode)
                } else {
                    let mut bytes = Vec::new();
                    file.read_to_end(&mut bytes)
                        .map_err(StoreError::read(path))?;
                    self.whole(name, bytes, mode)
                }
            }
        };
        result.map_err(|source| StoreError::Object { what, source })
    }

    fn delete(&self, name: &str) -> Result<(), StoreError> {
        match self.wait(self.store.delete(&self.key(name))) {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(StoreError::Object {
                what: format!("delete {}", self.address(name)),
                source,
            }),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let folder = self.key(folder);
        let listed = self.wait(self.store.list_with_delimiter(Some(&folder)));
        let listed = listed.map_err(|source| StoreError::Object {
            what: format!("list s3://{}/{folder}", self.bucket),
            source,
        })?;
        let names = listed.objects.iter();
        let mut names: Vec<String> = names
            .filter_map(|object| object.location.filename().map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }

    fn modified(&self, name: &str) -> Result<Option<i64>, StoreError> {
        match self.wait(self.store.head(&self.key(name))) {
            Ok(found) => Ok(Some(found.last_modified.timestamp())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(StoreError::Object {
                what: format!("look at {}", self.address(name)),
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
