//! A channel and those who would like to be it.

use std::collections::BTreeMap;
use std::path::Path;

use content_digest::Sha256Digest;
use update_trust::{FileSigner, NewKey, Release, Signer, Validity, release, root};

use super::*;

const NOW: i64 = 1_767_225_600;
const DAY: i64 = 86_400;

/// Files in memory, with tags.
#[derive(Debug, Default)]
struct Memory {
    files: BTreeMap<String, String>,
    fetched: usize,
    fails: bool,
}

impl Server for Memory {
    fn get(&mut self, path: &str, most: u64, etag: Option<&str>) -> std::io::Result<Answer> {
        if self.fails {
            return Err(std::io::Error::other("no way there"));
        }
        assert_eq!(most, MOST_FILE);
        let Some(text) = self.files.get(path) else {
            return Ok(Answer::Missing);
        };
        let own = Sha256Digest::of(text).to_string();
        if etag == Some(&own) {
            return Ok(Answer::Same);
        }
        self.fetched += 1;
        Ok(Answer::Bytes(text.clone().into_bytes(), Some(own)))
    }
}

struct World {
    root: String,
    signer: Arc<dyn Signer>,
    server: Arc<Mutex<Memory>>,
    seen: Seen,
    last: Last,
    _folder: tempfile::TempDir,
}

fn key(folder: &Path, name: &str) -> Arc<dyn Signer> {
    let path = folder.join(name);
    fs_err::write(&path, NewKey::make().unwrap().reveal()).unwrap();
    Arc::new(FileSigner { path })
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let signer = key(folder.path(), "key");
        let public = [signer.public().unwrap()];
        let signers = [Arc::clone(&signer)];
        let (root, _) = root(&signers, &public, 1, None, (NOW, Validity::default())).unwrap();
        Self {
            root,
            signer,
            server: Arc::default(),
            seen: Seen::default(),
            last: Last::default(),
            _folder: folder,
        }
    }

    fn signed(&self, version: u64, at: i64) -> Metadata {
        let releases = [Release {
            name: format!("kvm-{version}"),
            digest: Sha256Digest::of(version.to_string()),
            length: 1,
            said: serde_json::Map::new(),
        }];
        let signers = [Arc::clone(&self.signer)];
        let roots = [(1, self.root.clone())];
        release(
            &signers,
            &roots,
            &releases,
            version,
            (at, Validity::default()),
        )
        .unwrap()
    }

    fn serve(&self, metadata: &Metadata) {
        let files = metadata.iter();
        lock(&self.server).files = files
            .map(|(name, text)| (path(name), text.to_owned()))
            .collect();
    }

    fn look(&mut self, now: i64) -> Result<Trusted, LookError> {
        let root = self.root.as_bytes();
        let trusted = look(root, &self.server, &self.seen, &mut self.last, now)?;
        self.seen = trusted.seen.clone();
        Ok(trusted)
    }

    fn fetched(&self) -> usize {
        std::mem::take(&mut lock(&self.server).fetched)
    }
}

#[test]
fn what_is_the_same_costs_one_question_and_is_checked_again() {
    let mut world = World::new();
    assert!(matches!(world.look(NOW), Err(LookError::NoChannel)));
    world.serve(&world.signed(1, NOW));
    assert!(world.look(NOW).unwrap().digest("kvm-1").is_some());
    assert_eq!(world.fetched(), 3, "timestamp, snapshot and targets");
    assert!(world.look(NOW + DAY).unwrap().digest("kvm-1").is_some());
    assert_eq!(world.fetched(), 0);
    // A server that says for ever that nothing is new.
    let error = world.look(NOW + 31 * DAY).unwrap_err();
    assert!(
        matches!(&error, LookError::Expired { days: 1, .. }),
        "{error}"
    );
    world.serve(&world.signed(2, NOW + 31 * DAY));
    assert!(
        world
            .look(NOW + 31 * DAY)
            .unwrap()
            .digest("kvm-2")
            .is_some()
    );
    // A clock of 1970 refuses nothing; one ten years ahead finds everything old, and does no lasting harm.
    assert!(world.look(0).is_ok());
    assert!(matches!(
        world.look(NOW + 3650 * DAY),
        Err(LookError::Expired { .. })
    ));
    assert!(world.look(NOW + 32 * DAY).is_ok());
}

#[test]
fn older_metadata_and_pieces_of_several_are_refused() {
    let mut world = World::new();
    let (first, second) = (world.signed(1, NOW), world.signed(2, NOW));
    world.serve(&second);
    world.look(NOW).unwrap();
    world.serve(&first);
    assert!(
        matches!(world.look(NOW), Err(LookError::Trust(_))),
        "rollback"
    );
    // The newest timestamp with older files under the names that it leads to.
    let mut mixed = second.clone();
    for role in ["snapshot", "targets"] {
        mixed.insert(
            format!("2.{role}.json"),
            first.get(&format!("1.{role}.json")).unwrap(),
        );
    }
    let mut fresh = World::new();
    fresh.root.clone_from(&world.root);
    fresh.serve(&mixed);
    assert!(
        matches!(fresh.look(NOW), Err(LookError::Trust(_))),
        "mix and match"
    );
    fresh.serve(&World::new().signed(9, NOW));
    assert!(
        matches!(fresh.look(NOW), Err(LookError::Trust(_))),
        "another key"
    );
    // What was refused leaves no trace.
    assert_eq!(
        (fresh.last.etag.clone(), fresh.seen.clone()),
        (None, Seen::default())
    );
    fresh.serve(&second);
    assert!(fresh.look(NOW).is_ok());
}

#[test]
fn a_server_that_fails_is_told_as_that() {
    let mut world = World::new();
    world.serve(&world.signed(1, NOW));
    lock(&world.server).fails = true;
    assert!(matches!(world.look(NOW), Err(LookError::Reach(_))));
    lock(&world.server).fails = false;
    lock(&world.server).files.remove("metadata/1.targets.json");
    assert!(matches!(world.look(NOW), Err(LookError::Trust(_))));
    lock(&world.server).files.insert(
        "metadata/timestamp.json".into(),
        "<html>Welcome to our hotel</html>".into(),
    );
    assert!(matches!(world.look(NOW), Err(LookError::Trust(_))));
}
