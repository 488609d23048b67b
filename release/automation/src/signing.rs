//! Signatures of the sums: by the SSH key of who publishes, and by a minisign key if the product has one.

use std::io::Cursor;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use minisign::{PublicKey, SecretKey, SecretKeyBox, SignatureBox};
use release::journal::FILE_NAMESPACE;

use crate::error::ActionError;
use crate::job::Job;

/// The sums.
pub(crate) const SUMS: &str = "SHA256SUMS";
/// Their signature by an SSH key (OpenSSH, PROTOCOL.sshsig).
pub(crate) const SSH: &str = "SHA256SUMS.sig";
/// Their signature by a minisign key.
pub(crate) const MINISIGN: &str = "SHA256SUMS.minisig";

const WHY: &str = "release.toml names a minisign key, so sums must be signed with it";

/// Returns the names of the signatures that a release has.
pub(crate) fn names(job: &Job<'_>) -> Vec<&'static str> {
    match job.product().minisign {
        Some(_) => vec![SSH, MINISIGN],
        None => vec![SSH],
    }
}

/// Signs the sums.
pub(crate) fn sign(job: &Job<'_>, name: &str, sums: &[u8]) -> Result<Vec<u8>, ActionError> {
    if name == SSH {
        let signature = job.signer.sign(FILE_NAMESPACE, sums);
        return signature.map(String::into_bytes).map_err(ActionError::Sign);
    }
    let path = job.secrets.need("BAKELITE_MINISIGN_KEY", WHY)?;
    let text =
        fs_err::read_to_string(path.expose()).map_err(ActionError::io("read the minisign key"))?;
    let key = if let Some(password) = job.secrets.find("BAKELITE_MINISIGN_PASSWORD") {
        SecretKeyBox::from_string(&text)
            .and_then(|key| key.into_secret_key(Some(password.expose().to_owned())))
    } else {
        // minisign 0.11 writes no checksum into a key without a password, and the crate wants one. What is signed
        // with it is checked below, against the public key.
        let line = text.lines().nth(1).unwrap_or_default();
        let bytes = BASE64_STANDARD.decode(line).unwrap_or_default();
        SecretKey::from_bytes(&bytes)
    }
    .map_err(ActionError::Minisign)?;
    // What is signed with the comment cannot be given another one.
    let comment = format!(
        "timestamp:{} file:{SUMS} release:{} candidate:sha256:{}",
        job.time.as_second(),
        job.version,
        job.candidate()?.digest
    );
    let untrusted = format!("signature of {} {}", job.product().name, job.version);
    let signature = minisign::sign(
        None,
        &key,
        Cursor::new(sums),
        Some(&comment),
        Some(&untrusted),
    )
    .map_err(ActionError::Minisign)?;
    let signature = signature.into_string().into_bytes();
    match check(job, name, sums, &signature) {
        Ok(()) => Ok(signature),
        Err(why) => Err(ActionError::Refused(format!(
            "the key in BAKELITE_MINISIGN_KEY is not the one of release.toml: {why}"
        ))),
    }
}

/// Checks a signature that was made before, perhaps by somebody else of the team.
pub(crate) fn check(
    job: &Job<'_>,
    name: &str,
    sums: &[u8],
    signature: &[u8],
) -> Result<(), String> {
    let text = String::from_utf8_lossy(signature);
    if name == SSH {
        let signers = job.run.template().signers();
        let holds = |person: &&str| signers.verify(person, FILE_NAMESPACE, sums, &text).is_ok();
        return match signers.names().find(holds) {
            Some(_) => Ok(()),
            None => Err("it is by nobody of the release's people, or for other sums".into()),
        };
    }
    let key = job.product().minisign.as_deref().unwrap_or_default();
    let verify = || {
        let key = PublicKey::from_base64(key)?;
        let signature = SignatureBox::from_string(&text)?;
        minisign::verify(&key, &signature, Cursor::new(sums), true, false, false)
    };
    verify().map_err(|error| error.to_string())
}
