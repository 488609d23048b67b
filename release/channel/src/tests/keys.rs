//! Keys that come and go, and where they are.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use super::*;

/// Publishes a version with these keys.
fn publish(folder: &Path, keys: &Keys, version: &str) -> Result<Published, ChannelError> {
    let file = folder.join(format!("{version}.upd"));
    bundle(&file, version, 1);
    Channel::new(&folder.join("stable")).publish(keys, &file, &[], 0, NOW)
}

/// The versions that a device sees which was made with this root, and what it has seen then.
fn seen_by(root: &str, folder: &Path, seen: &Seen) -> Result<(usize, Seen), String> {
    let metadata = Channel::new(&folder.join("stable")).metadata().unwrap();
    let trusted =
        verify(root.as_bytes(), &metadata, seen, NOW).map_err(|error| error.to_string())?;
    Ok((trusted.releases().count(), trusted.seen))
}

#[test]
fn a_key_is_replaced_and_devices_made_before_follow() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("keys");
    let first = Keys::init(&place, NOW).unwrap();
    publish(folder.path(), &first, "1.0").unwrap();
    let (_, seen) = seen_by(first.newest_root(), folder.path(), &Seen::default()).unwrap();

    // Somebody has a copy of the key.
    let stolen = folder.path().join("stolen");
    fs_err::create_dir_all(stolen.join("private")).unwrap();
    for name in ["1.root.json", "private/update.key"] {
        fs_err::copy(place.join(name), stolen.join(name)).unwrap();
    }
    let next = first.rotate(NOW).unwrap();
    assert!(next.is_whole && next.facts.version == 2 && next.facts.keys.len() == 1);
    assert_ne!(next.facts.keys, first.facts().unwrap().keys);
    let keys = Keys::read(&place).unwrap();
    assert!(place.join("private/update.retired").exists());
    publish(folder.path(), &keys, "2.0").unwrap();
    let (count, seen) = seen_by(first.newest_root(), folder.path(), &seen).unwrap();
    assert_eq!(
        count, 2,
        "a device with the first root takes what the second key signs"
    );

    // What the first key signs now, no device takes that has looked since.
    let thief = Keys::read(&stolen).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    publish(elsewhere.path(), &thief, "6.6").unwrap();
    let why = seen_by(first.newest_root(), elsewhere.path(), &seen).unwrap_err();
    assert!(!why.is_empty());
}

#[test]
fn two_of_three_sign_the_root_each_where_their_key_is() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("keys");
    Keys::init(&place, NOW).unwrap();
    // Ben's key is a file in his own copy of the folder; Cleo's too.
    let mut copies = Vec::new();
    for name in ["ben", "cleo"] {
        let next = Keys::read(&place).unwrap().add(None, Some(1), NOW).unwrap();
        assert!(next.is_whole);
        let copy = folder.path().join(name).join("private");
        fs_err::create_dir_all(&copy).unwrap();
        let file = format!("update-{}.key", next.facts.version);
        fs_err::rename(place.join("private").join(&file), copy.join(&file)).unwrap();
        copies.push(folder.path().join(name));
    }
    let keys = Keys::read(&place).unwrap();
    let facts = keys.facts().unwrap();
    assert_eq!(
        (facts.version, facts.keys.len(), facts.threshold),
        (3, 3, 1)
    );
    assert!(matches!(
        keys.add(None, Some(5), NOW),
        Err(KeysError::Sign(_))
    ));

    // From now on two must sign: a root that asks for it needs two already.
    let next = keys.revoke(&facts.keys[2].id(), NOW).unwrap();
    assert!(next.is_whole, "one of three was enough until now");
    let keys = Keys::read(&place).unwrap();
    let next = keys.add(None, Some(2), NOW).unwrap();
    assert!(next.is_whole, "Ann's own two keys");
    let keys = Keys::read(&place).unwrap();
    let file = place.join("private/update-5.key");
    fs_err::rename(&file, copies[1].join("private/update-5.key")).unwrap();
    let next = keys.revoke(&keys.here().unwrap()[0], NOW).unwrap();
    assert!(!next.is_whole, "one of two is not enough");
    assert!(matches!(keys.rotate(NOW), Err(KeysError::Waiting { .. })));
    assert_eq!(Keys::read(&place).unwrap().facts().unwrap().version, 5);

    // It goes from clone to clone. Of the old root's two that is enough with the second, of the new one's with the third.
    let mut from = place.clone();
    for (clone, is_enough) in [(&copies[1], false), (&copies[0], true)] {
        for version in 1..=5 {
            let name = format!("{version}.root.json");
            fs_err::copy(place.join(&name), clone.join(&name)).unwrap();
        }
        fs_err::copy(
            from.join("root.waiting.json"),
            clone.join("root.waiting.json"),
        )
        .unwrap();
        let keys = Keys::read(clone).unwrap();
        let next = keys.sign_waiting().unwrap();
        assert_eq!((next.is_whole, next.facts.version), (is_enough, 6));
        from.clone_from(clone);
    }
    let keys = Keys::read(&from).unwrap();
    assert_eq!(keys.facts().unwrap().version, 6);
    assert!(matches!(keys.sign_waiting(), Err(KeysError::NotWaiting)));
    assert!(!from.join("root.waiting.json").exists());
}

#[test]
fn the_only_key_is_not_revoked_and_names_must_be_plain() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::init(&folder.path().join("keys"), NOW).unwrap();
    let id = keys.facts().unwrap().keys[0].id();
    assert!(matches!(keys.revoke(&id[..8], NOW), Err(KeysError::Last)));
    for id in ["", "nobody"] {
        assert!(matches!(
            keys.revoke(id, NOW),
            Err(KeysError::Unknown { .. })
        ));
    }
    for public in ["ssh-rsa AAAA", "hello", ""] {
        assert!(
            matches!(
                keys.add(Some(public), None, NOW),
                Err(KeysError::Public { .. })
            ),
            "{public}"
        );
    }
}

/// A program of the machine that the tests run on.
#[expect(
    clippy::disallowed_methods,
    reason = "other people's programs are the judges"
)]
fn program(name: &str) -> Command {
    Command::new(name)
}

/// An SSH agent of OpenSSH with a key that it made. It ends with this.
struct Agent {
    child: Child,
    public: String,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn agent(folder: &Path) -> Agent {
    let socket = folder.join("agent");
    let child = program("ssh-agent")
        .arg("-D")
        .arg("-a")
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let key = folder.join("id");
    let run = |program: &str, words: &[&str]| {
        let mut command = self::program(program);
        command
            .args(words)
            .env("SSH_AUTH_SOCK", &socket)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().unwrap().success()
    };
    assert!(run(
        "ssh-keygen",
        &[
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            "ann@laptop",
            "-f",
            key.to_str().unwrap()
        ]
    ));
    let mut tries = 0;
    while !run("ssh-add", &["-q", key.to_str().unwrap()]) {
        tries += 1;
        assert!(tries < 100, "the agent does not answer");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let public = fs_err::read_to_string(key.with_extension("pub"))
        .unwrap()
        .trim()
        .to_owned();
    fs_err::remove_file(&key).unwrap();
    Agent { child, public }
}

#[test]
fn an_agent_and_a_program_sign_like_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("keys");
    let keys = Keys::init(&place, NOW).unwrap();
    let agent = agent(folder.path());
    let socket = folder.path().join("agent");
    let read = |socket: Option<&Path>| {
        Keys::read(&place)
            .unwrap()
            .with_agent(socket.map(Path::to_owned))
    };
    let list = format!("[[signer]]\npublic = \"{}\"\n", agent.public);
    assert!(keys.add(Some(&agent.public), None, NOW).unwrap().is_whole);
    fs_err::write(place.join("signers.toml"), "[[signer]]\npublic = 1\n").unwrap();
    assert!(read(Some(&socket)).signers().is_err());
    fs_err::write(place.join("signers.toml"), &list).unwrap();
    assert_eq!(read(Some(&socket)).here().unwrap().len(), 2);
    assert_eq!(read(Some(Path::new("/nowhere"))).here().unwrap().len(), 1);

    // The file goes: what is published is signed by the agent.
    fs_err::remove_file(place.join("private/update.key")).unwrap();
    let keys = read(Some(&socket));
    publish(folder.path(), &keys, "1.0").unwrap();
    let count = |root: &str| seen_by(root, folder.path(), &Seen::default()).unwrap().0;
    assert_eq!(count(keys.newest_root()), 1);
    assert!(matches!(keys.rotate(NOW), Err(KeysError::NoFile)));
    let alone = publish(folder.path(), &read(None), "2.0");
    assert!(matches!(
        alone,
        Err(ChannelError::Keys(KeysError::NoSigner { .. }))
    ));

    // A program that has the key of another file, as a token would.
    let token = folder.path().join("token");
    fs_err::write(&token, "#!/bin/sh\nset -e\ncat >\"$0.bytes\"\nopenssl pkeyutl -sign -rawin -inkey \"$0.pem\" -in \"$0.bytes\"\n").unwrap();
    fs_err::set_permissions(&token, std::fs::Permissions::from_mode(0o755)).unwrap();
    let openssl = |words: &[&str]| program("openssl").args(words).output().unwrap().stdout;
    let pem = folder.path().join("token.pem");
    openssl(&[
        "genpkey",
        "-algorithm",
        "ed25519",
        "-out",
        pem.to_str().unwrap(),
    ]);
    let der = openssl(&[
        "pkey",
        "-in",
        pem.to_str().unwrap(),
        "-pubout",
        "-outform",
        "DER",
    ]);
    // The last 32 bytes are the key (RFC 8410).
    let bytes: [u8; 32] = der[der.len() - 32..].try_into().unwrap();
    let public = ssh_key::PublicKey::from(ssh_key::public::Ed25519PublicKey(bytes));
    let public = public.to_openssh().unwrap();
    let list = format!(
        "[[signer]]\npublic = \"{public}\"\ncommand = [\"{}\"]\n",
        token.display()
    );
    assert!(keys.add(Some(&public), None, NOW).unwrap().is_whole);
    fs_err::write(place.join("signers.toml"), list).unwrap();
    let keys = read(None);
    publish(folder.path(), &keys, "2.0").unwrap();
    assert_eq!(count(keys.newest_root()), 2);
}
