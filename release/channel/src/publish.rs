//! Adds a bundle to a channel.

use std::io::Read as _;
use std::path::Path;

use content_digest::Sha256Digest;
use ota_bundle::{Bundle, BundleError, HEAD_LENGTH, Head, Manifest, Unverified};
use update_trust::{Held, Said, Step, Wave};

use crate::channel::{Channel, ChannelError, name_of};
use crate::keys::Keys;

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its manifest.
    pub manifest: Manifest,
    /// Digest of the manifest.
    pub id: Sha256Digest,
    /// Version of the metadata.
    pub version: u64,
    /// Where the bundle is.
    pub bundle: String,
}

impl Channel {
    /// Signs a bundle and adds it, with what makes it out of the newest `deltas` releases before it; devices take it by themselves
    /// by and by if there are `steps`, and else at once. Published again, its wave begins anew if there are steps, and else only
    /// the signatures do. `now` is in seconds since 1970.
    pub fn publish(
        &self,
        keys: &Keys,
        bundle: &Path,
        steps: &[Step],
        deltas: usize,
        now: i64,
    ) -> Result<Published, ChannelError> {
        let (manifest, id, length) = read(bundle)?;
        let before = self.contents(keys, now)?;
        let mut releases = before
            .as_ref()
            .map_or_else(Vec::new, |before| before.releases.clone());
        let there = releases.iter_mut().find(|(_, said)| {
            (&said.product, &said.version) == (&manifest.product, &manifest.version)
        });
        match there {
            Some((digest, _)) if *digest != id => {
                return Err(ChannelError::Other {
                    version: manifest.version,
                });
            }
            Some((_, said)) if !steps.is_empty() => said.wave = wave(steps, id, now),
            Some(_) => {}
            None => {
                let mut said = said_of(&manifest, (bundle, length), steps, id, now)?;
                // Two in one second, or by a clock that went back: the order is that of publishing all the same.
                let newest = releases.iter().map(|(_, other)| other.published).max();
                let after = newest.map_or(0, |newest| newest + 1);
                said.published = said.published.max(after);
                said.deltas = self.make_deltas(&releases, (bundle, id), &said, deltas)?;
                releases.push((id, said));
            }
        }
        let (signed, version) = self.sign(keys, before.as_ref(), &releases, now)?;
        let target = format!("bundles/{}-{}.upd", manifest.product, manifest.version);
        self.put_large(&target, |copy| {
            let mut from = fs_err::File::open(bundle)?;
            Ok(ota_bundle::with_trust(&mut from, &signed.to_bytes(), copy)?)
        })?;
        self.show(&signed)?;
        Ok(Published {
            manifest,
            id,
            version,
            bundle: self.store.address(&target),
        })
    }
}

fn said_of(
    manifest: &Manifest,
    (bundle, manifest_length): (&Path, u64),
    steps: &[Step],
    id: Sha256Digest,
    now: i64,
) -> Result<Said, ChannelError> {
    let published = u64::try_from(now).unwrap_or(0);
    let mut said = Said {
        product: manifest.product.clone(),
        version: manifest.version.clone(),
        created: manifest.created,
        published,
        rollback_index: manifest.rollback_index,
        bundle: String::new(),
        length: fs_err::metadata(bundle)?.len(),
        manifest_length,
        root: manifest
            .images
            .iter()
            .find_map(|image| Some(image.verity.as_ref()?.root)),
        notes: manifest.notes.clone(),
        wave: wave(steps, id, now),
        deltas: Vec::new(),
        held: Held::No,
    };
    said.bundle = format!("bundles/{}.upd", name_of(&said));
    Ok(said)
}

/// Returns the wave that begins now, if there are steps.
fn wave(steps: &[Step], id: Sha256Digest, now: i64) -> Option<Wave> {
    (!steps.is_empty()).then(|| Wave {
        // Nobody knows it before the release is built, and it is the same wherever that is published.
        salt: id.to_string(),
        start: u64::try_from(now).unwrap_or(0),
        steps: steps.to_vec(),
        paused: None,
    })
}

/// Opens a bundle, and reads what lies before its segments.
pub(crate) fn open(path: &Path) -> Result<(fs_err::File, Bundle<Unverified>), ChannelError> {
    let bad = |source| ChannelError::Bundle {
        path: path.to_owned(),
        source,
    };
    let mut file = fs_err::File::open(path)?;
    let mut bytes = vec![0; HEAD_LENGTH];
    file.read_exact(&mut bytes)?;
    let head = Head::from_bytes(bytes.first_chunk().expect("a head")).map_err(bad)?;
    std::io::Read::by_ref(&mut file)
        .take(head.metadata() - HEAD_LENGTH as u64)
        .read_to_end(&mut bytes)?;
    Ok((file, Bundle::read(&bytes).map_err(bad)?))
}

/// Reads a bundle's manifest, its digest and its length. Whoever publishes it vouches for it.
fn read(path: &Path) -> Result<(Manifest, Sha256Digest, u64), ChannelError> {
    let bad = |source| ChannelError::Bundle {
        path: path.to_owned(),
        source,
    };
    let (file, bundle) = open(path)?;
    let (id, length) = (
        Sha256Digest::of(bundle.manifest_bytes()),
        bundle.manifest_bytes().len() as u64,
    );
    let there = file.metadata()?.len();
    if there != bundle.length() {
        return Err(bad(BundleError::TooShort {
            found: there,
            needed: bundle.length(),
        }));
    }
    let verified = bundle.verify(id).map_err(bad)?;
    Ok((verified.manifest().clone(), id, length))
}
