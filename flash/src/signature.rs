//! Who may sign what is written. In: files with public keys, and a folder with `SHA256SUMS`. Out: whose signature
//! it is, and the sums, which nobody gets without one.

use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use content_digest::Sha256Digest;
use ssh_key::{HashAlg, PublicKey, SshSig};

/// The sums, and their signatures (`bakelite release` writes the same names).
pub const SUMS: &str = "SHA256SUMS";
/// By an SSH key: `ssh-keygen -Y sign -n file`.
pub const SSH: &str = "SHA256SUMS.sig";
/// By a minisign key.
pub const MINISIGN: &str = "SHA256SUMS.minisig";
/// The namespace of signed files (OpenSSH, PROTOCOL.sshsig, has none; `file` is what people use).
const FILE_NAMESPACE: &str = "file";
/// What a minisign public key begins with: “Ed”, in base64.
const MINISIGN_KEY: &str = "RW";

/// Keys of people who are believed.
#[derive(Debug, Clone, Default)]
pub struct Signers {
    ssh: Vec<(String, PublicKey)>,
    minisign: Vec<(String, minisign::PublicKey)>,
}

/// Nobody who is believed signed it.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of keys has something else.
    #[error("line {line} of {} is no public key: {why}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// There is nothing to check.
    #[error("{} is not signed: there is no {SSH} and no {MINISIGN} beside {SUMS}", .0.display())]
    Unsigned(PathBuf),
    /// It is by somebody else, or for something else.
    #[error("{} is signed, but not by a key that you named, or it was changed: {why}", folder.display())]
    Wrong {
        /// The folder.
        folder: PathBuf,
        /// Which signature, and what is wrong with it.
        why: String,
    },
    /// The sums say nothing of a file.
    #[error("{SUMS} says nothing of {0}")]
    Unlisted(String),
    /// A file is another one.
    #[error("{0} is not the file that was signed")]
    Changed(String),
}

/// Sums that somebody who is believed signed.
#[derive(Debug)]
pub struct SignedSums {
    /// Who.
    pub signer: String,
    sums: BTreeMap<String, Sha256Digest>,
}

impl SignedSums {
    /// Checks that this is what was signed.
    pub fn check(&self, name: &str, found: &Sha256Digest) -> Result<(), SignatureError> {
        match self.sums.get(name) {
            None => Err(SignatureError::Unlisted(name.into())),
            Some(signed) if signed != found => Err(SignatureError::Changed(name.into())),
            Some(_) => Ok(()),
        }
    }
}

impl Signers {
    /// Reads files of keys: public SSH keys, allowed signers (ssh-keygen(1), "ALLOWED SIGNERS"), minisign keys.
    pub fn load(paths: &[PathBuf]) -> Result<Self, SignatureError> {
        let mut all = Self::default();
        for path in paths {
            let text = fs_err::read_to_string(path).map_err(|source| SignatureError::Read {
                path: path.clone(),
                source,
            })?;
            for (index, line) in text.lines().enumerate() {
                all.add(line.trim()).map_err(|why| SignatureError::NoKey {
                    path: path.clone(),
                    line: index + 1,
                    why,
                })?;
            }
        }
        Ok(all)
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        if line.is_empty() || line.starts_with('#') || line.starts_with("untrusted comment:") {
            return Ok(());
        }
        if line.starts_with(MINISIGN_KEY) && !line.contains(' ') {
            let key = minisign::PublicKey::from_base64(line).map_err(|it| it.to_string())?;
            self.minisign.push((format!("minisign {line}"), key));
            return Ok(());
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_kind = |word: &&str| {
            word.starts_with("ssh-") || word.starts_with("ecdsa-") || word.starts_with("sk-")
        };
        let at = words.iter().position(is_kind);
        let at = at
            .filter(|at| words.len() > at + 1)
            .ok_or("there is none in it")?;
        // Between names and key stand options. One that is not obeyed would be one that is disobeyed.
        for option in words.iter().take(at).skip(1) {
            let namespaces = option.strip_prefix("namespaces=");
            let is_file = |it: &str| {
                it.trim_matches('"')
                    .split(',')
                    .any(|one| one == FILE_NAMESPACE)
            };
            match namespaces.map(is_file) {
                Some(true) => {}
                Some(false) => return Ok(()),
                None => return Err(format!("the option “{option}” is not known here")),
            }
        }
        let key = PublicKey::from_openssh(&words[at..].join(" ")).map_err(|it| it.to_string())?;
        let name = match (at, key.comment().to_string()) {
            (1.., _) => words[0].to_owned(),
            (0, comment) if !comment.is_empty() => comment,
            _ => key.fingerprint(HashAlg::Sha256).to_string(),
        };
        self.ssh.push((name, key));
        Ok(())
    }

    /// Whether nobody is believed.
    pub fn is_empty(&self) -> bool {
        self.ssh.is_empty() && self.minisign.is_empty()
    }

    /// Checks an SSH signature of bytes for a purpose. Returns who signed.
    pub fn verify_ssh(
        &self,
        namespace: &str,
        bytes: &[u8],
        armoured: &str,
    ) -> Result<&str, String> {
        let signature = SshSig::from_pem(armoured).map_err(|error| error.to_string())?;
        let known = self.ssh.iter();
        let mut known = known.filter(|(_, key)| key.key_data() == signature.public_key());
        let other = PublicKey::from(signature.public_key().clone()).fingerprint(HashAlg::Sha256);
        let (name, key) = known.next().ok_or_else(|| format!("it is by {other}"))?;
        key.verify(namespace, bytes, &signature)
            .map_err(|_wrong| format!("the signature of {name} does not fit"))?;
        Ok(name)
    }

    fn verify_minisign(&self, bytes: &[u8], text: &str) -> Result<&str, String> {
        let signature = minisign::SignatureBox::from_string(text);
        let signature = signature.map_err(|error| error.to_string())?;
        let fits = |(_, key): &&(String, minisign::PublicKey)| {
            minisign::verify(key, &signature, Cursor::new(bytes), true, false, false).is_ok()
        };
        let known = self.minisign.iter().find(fits);
        let (name, _) = known.ok_or("no key that you named fits it")?;
        Ok(name)
    }

    /// Reads the sums of a folder, if somebody who is believed signed them.
    pub fn sums(&self, folder: &Path) -> Result<SignedSums, SignatureError> {
        let read = |name: &str| {
            let path = folder.join(name);
            match fs_err::read(&path) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(SignatureError::Read { path, source }),
            }
        };
        let unsigned = || SignatureError::Unsigned(folder.to_owned());
        let bytes = read(SUMS)?.ok_or_else(unsigned)?;
        let mut why = Vec::new();
        for name in [SSH, MINISIGN] {
            let Some(signature) = read(name)? else {
                continue;
            };
            let text = String::from_utf8_lossy(&signature);
            let verified = if name == SSH {
                self.verify_ssh(FILE_NAMESPACE, &bytes, &text)
            } else {
                self.verify_minisign(&bytes, &text)
            };
            match verified {
                Ok(signer) => {
                    let signer = signer.to_owned();
                    let sums = parse(&String::from_utf8_lossy(&bytes));
                    return Ok(SignedSums { signer, sums });
                }
                Err(text) => why.push(format!("{name}: {text}")),
            }
        }
        if why.is_empty() {
            return Err(unsigned());
        }
        Err(SignatureError::Wrong {
            folder: folder.to_owned(),
            why: why.join("; "),
        })
    }
}

/// Reads lines of sha256sum(1). What is none says nothing of any file.
fn parse(text: &str) -> BTreeMap<String, Sha256Digest> {
    let line = |line: &str| {
        let (digest, name) = line.split_once(' ')?;
        let name = name.strip_prefix([' ', '*'])?;
        Some((name.to_owned(), digest.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use ssh_key::LineEnding;
    use ssh_key::private::{Ed25519Keypair, KeypairData, PrivateKey};

    use super::*;

    fn key(seed: u8, name: &str) -> PrivateKey {
        let pair = Ed25519Keypair::from_seed(&[seed; 32]);
        PrivateKey::new(KeypairData::from(pair), name).unwrap()
    }

    fn sign(key: &PrivateKey, namespace: &str, bytes: &[u8]) -> String {
        let signature = key.sign(namespace, HashAlg::Sha512, bytes).unwrap();
        signature.to_pem(LineEnding::LF).unwrap()
    }

    #[test]
    fn only_sums_that_a_known_key_signed_for_this_purpose_count() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs_err::write(folder.path().join(name), text).unwrap();
        let (ada, eve) = (key(1, "ada@maker"), key(2, "eve"));
        put(
            "keys",
            &format!(
                "# of the release\n{}\n",
                ada.public_key().to_openssh().unwrap()
            ),
        );
        let signers = Signers::load(&[folder.path().join("keys")]).unwrap();
        let sums = format!(
            "{}  image\n{} *other\nnonsense\n",
            "ab".repeat(32),
            "cd".repeat(32)
        );
        assert!(matches!(
            signers.sums(folder.path()),
            Err(SignatureError::Unsigned(_))
        ));
        put(SUMS, &sums);
        assert!(matches!(
            signers.sums(folder.path()),
            Err(SignatureError::Unsigned(_))
        ));
        for bad in [
            sign(&eve, "file", sums.as_bytes()),
            sign(&ada, "git", sums.as_bytes()),
            sign(&ada, "file", b"something else"),
            "no signature".into(),
        ] {
            put(SSH, &bad);
            let error = signers.sums(folder.path());
            assert!(
                matches!(error, Err(SignatureError::Wrong { .. })),
                "{error:?}"
            );
        }
        put(SSH, &sign(&ada, "file", sums.as_bytes()));
        let good = signers.sums(folder.path()).unwrap();
        assert_eq!(good.signer, "ada@maker");
        let digest = |text: &str| text.repeat(32).parse().unwrap();
        assert!(good.check("image", &digest("ab")).is_ok());
        assert!(good.check("other", &digest("cd")).is_ok());
        assert!(matches!(
            good.check("image", &digest("cd")),
            Err(SignatureError::Changed(_))
        ));
        assert!(matches!(
            good.check("more", &digest("cd")),
            Err(SignatureError::Unlisted(_))
        ));
    }

    #[test]
    fn a_minisign_key_is_as_good() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs_err::write(folder.path().join(name), text).unwrap();
        let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        put(
            "keys",
            &format!("untrusted comment: of the maker\n{}\n", pair.pk.to_base64()),
        );
        let signers = Signers::load(&[folder.path().join("keys")]).unwrap();
        let sums = format!("{}  image\n", "ab".repeat(32));
        put(SUMS, &sums);
        let signature = minisign::sign(None, &pair.sk, Cursor::new(&sums), None, None).unwrap();
        put(MINISIGN, &signature.to_string());
        assert!(
            signers
                .sums(folder.path())
                .unwrap()
                .signer
                .starts_with("minisign RW")
        );
        put(SUMS, &sums.replace("image", "omage"));
        assert!(signers.sums(folder.path()).is_err());
    }

    #[test]
    fn options_of_allowed_signers_are_obeyed_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        let public = key(1, "x").public_key().to_openssh().unwrap();
        let load = |text: String| {
            fs_err::write(&file, text).unwrap();
            Signers::load(std::slice::from_ref(&file))
        };
        let named = load(format!("ada@maker,bob@maker {public}\n")).unwrap();
        assert_eq!(named.ssh[0].0, "ada@maker,bob@maker");
        assert!(
            !load(format!("ada namespaces=\"git,file\" {public}"))
                .unwrap()
                .is_empty()
        );
        assert!(
            load(format!("ada namespaces=\"git\" {public}"))
                .unwrap()
                .is_empty()
        );
        for bad in [
            format!("ada cert-authority {public}"),
            "ada".into(),
            "ssh-ed25519 x".into(),
        ] {
            assert!(matches!(
                load(bad),
                Err(SignatureError::NoKey { line: 1, .. })
            ));
        }
    }
}
