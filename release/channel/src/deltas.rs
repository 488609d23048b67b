//! Makes what leads from releases in a channel to a new one.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use content_digest::Sha256Digest;
use ota_bundle::delta::{self, Old};
use ota_bundle::{Bundle, Kind, Segment, Verified};
use update_trust::{Delta, Said};

use crate::channel::{Channel, ChannelError, name_of};
use crate::publish::open;

/// A release, unpacked.
struct Images {
    bundle: Bundle<Verified>,
    root: Vec<u8>,
    boot: Vec<u8>,
}

impl Channel {
    /// Makes them for the newest `count` releases whose bundles are in the channel.
    pub(crate) fn make_deltas(
        &self,
        releases: &[(Sha256Digest, Said)],
        (bundle, id): (&Path, Sha256Digest),
        said: &Said,
        count: usize,
    ) -> Result<Vec<Delta>, ChannelError> {
        let there = self.store.list("bundles")?;
        let mut before: Vec<_> = releases
            .iter()
            .filter(|(_, other)| other.product == said.product && other.root.is_some())
            .filter(|(_, other)| {
                let name = other.bundle.strip_prefix("bundles/");
                name.is_some_and(|name| there.iter().any(|other| other == name))
            })
            .collect();
        before.sort_by_key(|(_, other)| std::cmp::Reverse(other.published));
        before.truncate(count);
        if before.is_empty() {
            return Ok(Vec::new());
        }
        let new = Images::read(bundle, id)?;
        let mut made = Vec::new();
        for (id, other) in before {
            let old = self.images(&other.bundle, *id)?;
            let path = format!("deltas/{}.from-{}.dlt", name_of(said), other.version);
            let mut outcome = None;
            self.put_large(&path, |file| {
                let mut file = std::io::BufWriter::new(file);
                let old = Old::new(&old.root, &old.boot);
                outcome = Some(delta::make(&old, &new.all(), &mut file)?);
                Ok(file.flush()?)
            })?;
            if let (Some((table, length)), Some(from)) = (outcome, other.root) {
                made.push(Delta {
                    from,
                    path,
                    table,
                    length,
                });
            }
        }
        Ok(made)
    }

    /// Unpacks a bundle of the channel; one that is not on this machine is fetched.
    fn images(&self, name: &str, id: Sha256Digest) -> Result<Images, ChannelError> {
        if let Some(path) = self.store.local(name) {
            return Images::read(&path, id);
        }
        let mut file = tempfile::NamedTempFile::new()?;
        self.store.read_to(name, file.as_file_mut())?;
        Images::read(file.path(), id)
    }
}

impl Images {
    /// Unpacks a bundle.
    fn read(path: &Path, id: Sha256Digest) -> Result<Self, ChannelError> {
        let (mut file, bundle) = open(path)?;
        let bundle = bundle.verify(id).map_err(|source| ChannelError::Bundle {
            path: path.to_owned(),
            source,
        })?;
        let mut unpack = |kind: Kind| -> Result<Vec<u8>, ChannelError> {
            let (mut image, mut stored, mut plain) = (Vec::new(), Vec::new(), Vec::new());
            for segment in bundle.segments(kind) {
                stored.resize(segment.stored as usize, 0);
                file.seek(SeekFrom::Start(segment.offset))?;
                file.read_exact(&mut stored)?;
                segment
                    .unpack(&stored, &mut plain)
                    .map_err(std::io::Error::other)?;
                image.extend_from_slice(&plain);
            }
            Ok(image)
        };
        let (root, boot) = (unpack(Kind::Root)?, unpack(Kind::Boot)?);
        Ok(Self { bundle, root, boot })
    }

    /// Returns all images with their segments, as they are counted.
    fn all(&self) -> [(Kind, &[u8], &[Segment]); 2] {
        [
            (Kind::Root, &self.root, self.bundle.segments(Kind::Root)),
            (Kind::Boot, &self.boot, self.bundle.segments(Kind::Boot)),
        ]
    }
}
