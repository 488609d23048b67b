//! OpenPGP clear-signed text (RFC 9580 §7) checked against pinned keys.

use pgp::composed::{CleartextSignedMessage, Deserializable as _, SignedPublicKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::types::{KeyDetails as _, Tag};

/// Larger inputs are refused before they are parsed: a hostile mirror must not fill the memory.
const LARGEST_SIGNED_TEXT: usize = 16 << 20;

/// Public keys that may sign an archive's releases.
#[derive(Debug, Default, Clone)]
pub struct Keyring {
    keys: Vec<SignedPublicKey>,
}

/// Text whose signature was checked. Only [`Keyring::verify`] makes one.
#[derive(Debug)]
pub struct SignedText {
    text: String,
    fingerprint: String,
}

impl SignedText {
    /// Returns the text that was signed, nothing before or after it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the fingerprint of the primary key that vouches for the text.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// A key cannot be used, or a signature does not hold.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// The key file does not parse.
    #[error("the key file is not an ASCII-armoured OpenPGP public key")]
    ReadKey(#[source] pgp::errors::Error),
    /// The signed text does not parse.
    #[error("the file is not OpenPGP clear-signed text")]
    ReadSignedText(#[source] pgp::errors::Error),
    /// There is no signature frame at all.
    #[error("the file is not signed")]
    Unsigned,
    /// The file is larger than any release index.
    #[error("the signed file has {found} bytes; more than {LARGEST_SIGNED_TEXT} are refused")]
    TooLarge {
        /// Size in bytes.
        found: usize,
    },
    /// No pinned key made any of the signatures.
    #[error("none of its signatures is by a pinned key (signed by {}; pinned: {})", signers.join(", "), pinned.join(", "))]
    UnknownSigner {
        /// Issuers named by the signatures.
        signers: Vec<String>,
        /// Fingerprints of the pinned keys.
        pinned: Vec<String>,
    },
    /// A pinned key is named, but the signature is not by it or does not fit the text.
    #[error("the signature by {fingerprint} does not hold: {reason}")]
    Bad {
        /// The key that the signature names.
        fingerprint: String,
        /// Why it does not hold.
        reason: String,
    },
}

impl Keyring {
    /// Adds the keys of an ASCII-armoured file.
    pub fn add_armored(&mut self, armored: &str) -> Result<(), SignatureError> {
        let (keys, _) = SignedPublicKey::from_armor_many(armored.as_bytes())
            .map_err(SignatureError::ReadKey)?;
        for key in keys {
            self.keys.push(key.map_err(SignatureError::ReadKey)?);
        }
        Ok(())
    }

    /// Returns the fingerprints of the primary keys.
    pub fn fingerprints(&self) -> Vec<String> {
        self.keys
            .iter()
            .map(|key| key.primary_key.fingerprint().to_string())
            .collect()
    }

    /// Checks `message` and returns the text under the signature. `now` is in seconds since 1970.
    pub fn verify(&self, message: &[u8], now: i64) -> Result<SignedText, SignatureError> {
        if message.len() > LARGEST_SIGNED_TEXT {
            return Err(SignatureError::TooLarge {
                found: message.len(),
            });
        }
        if !message.starts_with(b"-----BEGIN PGP SIGNED MESSAGE-----") {
            return Err(SignatureError::Unsigned);
        }
        let (message, _) =
            CleartextSignedMessage::from_armor(message).map_err(SignatureError::ReadSignedText)?;
        let signed = message.signed_text();
        let mut failure = None;
        for signature in message.signatures() {
            for key in &self.keys {
                match check(key, signature, signed.as_bytes(), now) {
                    None => {}
                    Some(Ok(())) => {
                        let fingerprint = key.primary_key.fingerprint().to_string();
                        return Ok(SignedText {
                            text: signed.replace("\r\n", "\n"),
                            fingerprint,
                        });
                    }
                    Some(Err(reason)) => {
                        let fingerprint = key.primary_key.fingerprint().to_string();
                        failure = Some(SignatureError::Bad {
                            fingerprint,
                            reason,
                        });
                    }
                }
            }
        }
        Err(failure.unwrap_or_else(|| SignatureError::UnknownSigner {
            signers: message.signatures().iter().flat_map(issuers).collect(),
            pinned: self.fingerprints(),
        }))
    }
}

fn issuers(signature: &Signature) -> Vec<String> {
    let fingerprints = signature
        .issuer_fingerprint()
        .into_iter()
        .map(ToString::to_string);
    let ids = signature
        .issuer_key_id()
        .into_iter()
        .map(ToString::to_string);
    let all: Vec<_> = fingerprints.collect();
    if all.is_empty() { ids.collect() } else { all }
}

/// Returns nothing if `signature` names neither the key nor one of its subkeys.
fn check(
    key: &SignedPublicKey,
    signature: &Signature,
    text: &[u8],
    now: i64,
) -> Option<Result<(), String>> {
    let primary = &key.primary_key;
    let names = |id: &pgp::types::KeyId, fingerprint: &pgp::types::Fingerprint| {
        signature.issuer_fingerprint().contains(&fingerprint)
            || signature.issuer_key_id().contains(&id)
    };
    if names(&primary.legacy_key_id(), &primary.fingerprint()) {
        return Some(usable(key, now).and_then(|()| {
            policy(signature, now)?;
            signature
                .verify(primary, text)
                .map_err(|error| error.to_string())
        }));
    }
    let subkey = key
        .public_subkeys
        .iter()
        .find(|sub| names(&sub.key.legacy_key_id(), &sub.key.fingerprint()))?;
    Some(usable(key, now).and_then(|()| {
        subkey
            .verify_bindings(primary)
            .map_err(|error| error.to_string())?;
        if subkey
            .signatures
            .iter()
            .any(|s| s.typ() == Some(SignatureType::SubkeyRevocation))
        {
            return Err("the signing subkey was revoked".to_owned());
        }
        let binding = subkey
            .signatures
            .iter()
            .max_by_key(|s| s.created().map(pgp::types::Timestamp::as_secs));
        if !binding.is_some_and(|binding| binding.key_flags().sign()) {
            return Err("the subkey may not sign".to_owned());
        }
        if binding.is_some_and(|b| expired(b, subkey.key.created_at().as_secs(), now)) {
            return Err("the signing subkey has expired".to_owned());
        }
        policy(signature, now)?;
        signature
            .verify(&subkey.key, text)
            .map_err(|error| error.to_string())
    }))
}

/// Checks the key's own certifications; those by other keys say nothing that is used here.
fn usable(key: &SignedPublicKey, now: i64) -> Result<(), String> {
    let primary = &key.primary_key;
    let (id, fingerprint) = (primary.legacy_key_id(), primary.fingerprint());
    let own = |s: &&Signature| {
        s.issuer_fingerprint().contains(&&fingerprint) || s.issuer_key_id().contains(&&id)
    };
    if key
        .details
        .revocation_signatures
        .iter()
        .any(|s| s.verify_key(primary).is_ok())
    {
        return Err("the key was revoked".to_owned());
    }
    let mut valid: Vec<&Signature> = Vec::new();
    for user in &key.details.users {
        let holds = |s: &&Signature| {
            s.is_certification()
                && s.verify_certification(primary, Tag::UserId, &user.id)
                    .is_ok()
        };
        valid.extend(user.signatures.iter().filter(own).filter(holds));
    }
    valid.extend(
        key.details
            .direct_signatures
            .iter()
            .filter(own)
            .filter(|s| s.verify_key(primary).is_ok()),
    );
    let newest = valid
        .into_iter()
        .max_by_key(|s| s.created().map(pgp::types::Timestamp::as_secs));
    match newest {
        None => Err("the key does not certify itself".to_owned()),
        Some(s) if expired(s, primary.created_at().as_secs(), now) => {
            Err("the key has expired".to_owned())
        }
        Some(_) => Ok(()),
    }
}

fn expired(binding: &Signature, created: u32, now: i64) -> bool {
    binding.key_expiration_time().is_some_and(|life| {
        life.as_secs() > 0 && i64::from(created) + i64::from(life.as_secs()) < now
    })
}

/// SHA-1 and older hashes can be forged; a signature may carry its own end.
fn policy(signature: &Signature, now: i64) -> Result<(), String> {
    match signature.hash_alg() {
        Some(
            HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512,
        ) => {}
        other => return Err(format!("its hash algorithm {other:?} is too weak")),
    }
    let created = signature
        .created()
        .map_or(0, |time| i64::from(time.as_secs()));
    match signature.signature_expiration_time() {
        Some(life) if life.as_secs() > 0 && created + i64::from(life.as_secs()) < now => {
            Err("the signature has expired".to_owned())
        }
        _ => Ok(()),
    }
}
