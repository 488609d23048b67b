//! A channel in an S3-compatible store: published there, read by a device, changed by two at once.

use std::path::PathBuf;
use std::process::Output;
use std::sync::{Arc, Mutex};

use agent_update::channel::{Answer, Last, Server, look};
use bakelite_tests::bakelite::{command, text};
use bakelite_tests::slots::bundle_that_says;
use bakelite_tests::store::Moto;
use ota_bundle::Draft;
use update_trust::{Said, Seen};

/// What a device asks, by the store's public address.
#[derive(Debug)]
struct Http(String);

impl Server for Http {
    fn get(&mut self, path: &str, most: u64, etag: Option<&str>) -> std::io::Result<Answer> {
        let client = reqwest::blocking::Client::new();
        let mut request = client.get(format!("{}/{path}", self.0));
        if let Some(etag) = etag {
            request = request.header("if-none-match", etag);
        }
        let answer = request.send().map_err(std::io::Error::other)?;
        match answer.status().as_u16() {
            200 => {
                let etag = answer
                    .headers()
                    .get("etag")
                    .map(|tag| tag.to_str().unwrap().to_owned());
                let bytes = answer.bytes().map_err(std::io::Error::other)?;
                assert!(bytes.len() as u64 <= most);
                Ok(Answer::Bytes(bytes.to_vec(), etag))
            }
            304 => Ok(Answer::Same),
            // A store that lists nothing to strangers says "forbidden" of what is not there.
            403 | 404 => Ok(Answer::Missing),
            status => Err(std::io::Error::other(status.to_string())),
        }
    }
}

struct World {
    folder: tempfile::TempDir,
    store: Moto,
}

impl World {
    fn bundle(&self, version: &str) -> PathBuf {
        let draft = Draft {
            product: "kvm".into(),
            version: version.into(),
            created: 1,
            rollback_index: 0,
            boards: vec!["raspberrypi,4-model-b".into()],
            disk: 1,
            notes: None,
        };
        let path = self.folder.path().join(format!("{version}.upd"));
        fs_err::write(&path, bundle_that_says(draft)).unwrap();
        path
    }

    /// Runs a command on the channel, which stands where `PLACE` does.
    fn run(&self, words: &[&str]) -> Output {
        let endpoint = format!("http://{}", self.store.address);
        let keys = self.folder.path().join("keys");
        let mut all: Vec<&str> = words.to_vec();
        for word in &mut all {
            if *word == "PLACE" {
                *word = "s3://updates/stable";
            }
        }
        all.extend(["--endpoint", &endpoint, "--keys", keys.to_str().unwrap()]);
        command(&all)
            .env("AWS_ACCESS_KEY_ID", "somebody")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .output()
            .unwrap()
    }

    fn does(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", text(&output));
        text(&output)
    }

    fn publish(&self, version: &str) -> Output {
        let bundle = self.bundle(version);
        self.run(&["publish", bundle.to_str().unwrap(), "--to", "PLACE"])
    }

    /// What a device sees.
    fn seen(&self, last: &mut Last) -> Vec<Said> {
        let root = fs_err::read(self.folder.path().join("keys/1.root.json")).unwrap();
        let address = format!("http://{}/updates/stable", self.store.address);
        let server = Arc::new(Mutex::new(Http(address)));
        let trusted = look(&root, &server, &Seen::default(), last, 1_767_225_600).unwrap();
        let mut said: Vec<Said> = trusted.releases().map(|(_, said)| said).collect();
        said.sort_by(|one, other| one.version.cmp(&other.version));
        said
    }
}

#[test]
fn a_channel_in_a_store_is_read_by_devices_and_changed_by_one_at_a_time() {
    let world = World {
        folder: tempfile::tempdir().unwrap(),
        store: Moto::start("updates"),
    };
    // What a maker says of a bucket that devices read.
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::updates/*"}]}"#;
    let client = reqwest::blocking::Client::new();
    let address = format!("http://{}/updates?policy", world.store.address);
    let answer = client.put(address).body(policy).send().unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
    let keys = world.folder.path().join("keys");
    let output = command(&["keys", "init", "--keys", keys.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let said = text(&world.run(&["channel", "show", "PLACE"]));
    assert!(said.contains("is no channel yet"), "{said}");
    for version in ["1.0", "2.0"] {
        let output = world.publish(version);
        assert!(output.status.success(), "{}", text(&output));
    }
    let mut last = Last::default();
    let seen = world.seen(&mut last);
    assert_eq!(seen.len(), 2);
    assert_eq!(
        seen[1].deltas.len(),
        1,
        "made from the bundle that was fetched from the store"
    );
    assert_eq!(world.seen(&mut last).len(), 2, "it is the same");

    // Two at once: each is in, or was told to do it again.
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| world.publish("3.0"));
        let other = world.publish("3.1");
        (one.join().unwrap(), other)
    });
    let mut expected = 2;
    for output in [&one, &other] {
        if output.status.success() {
            expected += 1;
        } else {
            assert!(
                text(output).contains("somebody else changes the channel just now"),
                "{}",
                text(output)
            );
        }
    }
    let versions = world.seen(&mut last).len();
    assert!(
        versions == expected && versions > 2,
        "{versions} of {expected}: {} {}",
        text(&one),
        text(&other)
    );

    // What is taken back is told, and files that nobody needs go.
    world.does(&["channel", "yank", "PLACE", "2.0"]);
    let said = world.does(&["channel", "prune", "PLACE", "--keep", "1"]);
    assert!(said.contains("bundles/kvm-1.0.upd"), "{said}");
    let gone = reqwest::blocking::get(format!(
        "http://{}/updates/stable/bundles/kvm-1.0.upd",
        world.store.address
    ));
    assert!(!gone.unwrap().status().is_success());

    // Somebody is in the midst of it.
    let next = format!(
        "http://{}/updates/stable/metadata/99.targets.json",
        world.store.address
    );
    assert!(
        client
            .put(&next)
            .body("{}")
            .send()
            .unwrap()
            .status()
            .is_success()
    );
    let output = world.publish("4.0");
    assert!(
        text(&output).contains("somebody else changes"),
        "{}",
        text(&output)
    );
}
