//! A small signed archive: one suite, one component, packages for two architectures.

use std::collections::BTreeMap;
use std::path::Path;

use content_digest::Sha256Digest;

use crate::bakelite::{answer, tool};
use crate::package::PackageBuilder;

/// A key that signs test archives, in a keyring of its own.
#[derive(Debug)]
pub struct SigningKey {
    home: tempfile::TempDir,
}

impl SigningKey {
    /// Makes a key with GnuPG: the signer is not the program under test.
    pub fn generate() -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let key = Self { home };
        key.gpg(&[
            "--quick-gen-key",
            "--passphrase",
            "",
            "Test archive <test@example.invalid>",
            "ed25519",
            "sign",
            "0",
        ]);
        key
    }

    /// Returns the public key, armoured.
    pub fn public(&self) -> String {
        self.gpg(&["--armor", "--export"])
    }

    /// Returns `text` clear-signed.
    pub fn sign(&self, text: &str) -> String {
        let file = self.home.path().join("text");
        fs_err::write(&file, text).expect("a temporary file");
        self.gpg(&[
            "--output",
            "-",
            "--clear-sign",
            file.to_str().expect("a plain path"),
        ])
    }

    fn gpg(&self, arguments: &[&str]) -> String {
        let home = self.home.path().to_str().expect("a plain path");
        let all: Vec<&str> = ["--quiet", "--batch", "--yes", "--homedir", home]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        answer("gpg", &all)
    }
}

/// What a release says besides its indexes.
#[derive(Debug, Clone)]
pub struct ReleaseFacts {
    /// `Suite` and `Codename`.
    pub suite: String,
    /// `Date`.
    pub date: String,
    /// `Valid-Until`.
    pub valid_until: Option<String>,
}

impl Default for ReleaseFacts {
    fn default() -> Self {
        Self {
            suite: "test".into(),
            date: "Sat, 12 Sep 2026 07:55:41 UTC".into(),
            valid_until: None,
        }
    }
}

/// Files of an archive by path, as a web server would have them.
pub fn archive(
    key: &SigningKey,
    facts: &ReleaseFacts,
    packages: &[PackageBuilder],
) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut indexes: BTreeMap<&str, String> =
        BTreeMap::from([("arm64", String::new()), ("amd64", String::new())]);
    for package in packages {
        let deb = package.build();
        let digest = Sha256Digest::of(&deb);
        let path = format!("pool/{digest}.deb");
        let stanza = format!(
            "{}Filename: {path}\nSize: {}\nSHA256: {digest}\n\n",
            package.control(),
            deb.len()
        );
        for (architecture, index) in &mut indexes {
            if stanza.contains(&format!("Architecture: {architecture}\n"))
                || stanza.contains("Architecture: all\n")
            {
                index.push_str(&stanza);
            }
        }
        files.insert(path, deb);
    }
    let mut sums = String::new();
    for (architecture, index) in indexes {
        let name = format!("main/binary-{architecture}/Packages.xz");
        let packed = xz(index.as_bytes());
        sums.push_str(&format!(
            " {} {} {name}\n",
            Sha256Digest::of(&packed),
            packed.len()
        ));
        files.insert(format!("dists/{}/{name}", facts.suite), packed);
    }
    let valid_until = facts
        .valid_until
        .as_ref()
        .map(|until| format!("Valid-Until: {until}\n"))
        .unwrap_or_default();
    let release = format!(
        "Origin: Test\nSuite: {0}\nCodename: {0}\nDate: {1}\n{valid_until}Architectures: arm64 amd64\nComponents: main\nSHA256:\n{sums}",
        facts.suite, facts.date
    );
    files.insert(
        format!("dists/{}/Release.unsigned", facts.suite),
        release.clone().into_bytes(),
    );
    files.insert(
        format!("dists/{}/InRelease", facts.suite),
        key.sign(&release).into_bytes(),
    );
    files
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("x");
    fs_err::write(&file, bytes).expect("a temporary file");
    let (good, text) = tool("xz", &[file.to_str().expect("a plain path")]);
    assert!(good, "xz: {text}");
    fs_err::read(file.with_extension("xz")).expect("xz wrote it")
}

/// Makes a project with one overlay that has this archive, and a recipe for it.
pub fn project(folder: &Path, key: &SigningKey, packages: &[&str]) -> std::path::PathBuf {
    let put = |path: &str, text: &str| {
        let path = folder.join(path);
        fs_err::create_dir_all(path.parent().expect("below the folder"))
            .expect("a temporary folder");
        fs_err::write(path, text).expect("a temporary file");
    };
    put("overlays/test-distro/keys/test.asc", &key.public());
    put(
        "overlays/test-distro/overlay.toml",
        "schema = 1\ndescription = \"a distribution for tests\"\nkind = \"distro\"\n[[sources]]\narchive = \"test\"\nsuite = \"test\"\ncomponents = [\"main\"]\nkeys = [\"keys/test.asc\"]\n",
    );
    put(
        "overlays/test-board/overlay.toml",
        "schema = 1\ndescription = \"a board for tests\"\nkind = \"board\"\n",
    );
    put(
        "recipes/test.toml",
        &format!(
            "schema = 1\nname = \"test\"\nversion = \"1\"\nboard = \"test-board\"\ndistro = \"test-distro\"\npackages = {packages:?}\n"
        ),
    );
    folder.join("recipes/test.toml")
}
