//! Roots: which keys a device trusts, and how those hand their trust on.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use tough::editor::signed::SignedRole;
use tough::schema::{KeyHolder, RoleKeys, RoleType, Root, Signed};

use crate::run;
use crate::sign::{Key, SignError, Signer, Validity, days_from, sign_error, sources};

/// The specification that is followed.
const SPECIFICATION: &str = "1.0.0";
const ROLES: [RoleType; 4] = [
    RoleType::Root,
    RoleType::Snapshot,
    RoleType::Targets,
    RoleType::Timestamp,
];

/// What a root says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootFacts {
    /// Its version.
    pub version: u64,
    /// The keys that are trusted.
    pub keys: Vec<Key>,
    /// How many of them must sign the next root.
    pub threshold: u64,
    /// Until when it holds, as RFC 3339 has it.
    pub expires: String,
    /// Ids of the keys, of this root or of others, that have signed it. Whether their signatures are right, [`is_whole`] says.
    pub signed: Vec<String>,
}

/// Makes the root for keys that hold all roles; of the root's own, `threshold` must sign. `before` is the root that it follows:
/// signers of both are needed then. Returns the file's text and its version. Signers that are missing can sign it later
/// ([`sign_root`]).
pub fn root(
    signers: &[Arc<dyn Signer>],
    keys: &[Key],
    threshold: u64,
    before: Option<&str>,
    (now, validity): (i64, Validity),
) -> Result<(String, u64), SignError> {
    let before = before.map(parse).transpose()?;
    let version = before
        .as_ref()
        .map_or(1, |before| before.signed.version.get() + 1);
    if threshold > keys.len() as u64 {
        return Err(sign_error(format!(
            "{threshold} of {} keys cannot sign",
            keys.len()
        )));
    }
    let mut all = HashMap::new();
    let mut ids = Vec::new();
    for key in keys {
        let id = key.0.key_id().map_err(sign_error)?;
        all.insert(id.clone(), key.0.clone());
        ids.push(id);
    }
    let nonzero =
        |number: u64| NonZeroU64::new(number).ok_or_else(|| sign_error("zero is no threshold"));
    let mut roles = HashMap::new();
    for role in ROLES {
        let threshold = nonzero(if role == RoleType::Root { threshold } else { 1 })?;
        let keys = RoleKeys {
            keyids: ids.clone(),
            threshold,
            _extra: HashMap::new(),
        };
        roles.insert(role, keys);
    }
    let root = Root {
        spec_version: SPECIFICATION.into(),
        consistent_snapshot: true,
        version: nonzero(version)?,
        expires: days_from(now, validity.root)?,
        keys: all,
        roles,
        _extra: HashMap::new(),
    };
    // Those who were trusted before hand their trust on.
    let before = before.map(|before| before.signed);
    let known = known(signers)?;
    if !holds(before.as_ref().unwrap_or(&root), &known) {
        return Err(nobody());
    }
    let holders = [Some(root.clone()), before].into_iter().flatten();
    Ok((
        signed(&root, holders, &known, signers, Vec::new())?,
        version,
    ))
}

/// Reads a root.
pub fn read_root(text: &str) -> Result<RootFacts, SignError> {
    let root = parse(text)?;
    let holders = root.signed.roles.get(&RoleType::Root);
    let holders = holders.ok_or_else(|| sign_error("the root names nobody for the next root"))?;
    let keys = holders.keyids.iter();
    Ok(RootFacts {
        version: root.signed.version.get(),
        keys: keys
            .filter_map(|id| root.signed.keys.get(id).cloned().map(Key))
            .collect(),
        threshold: holders.threshold.get(),
        expires: root.signed.expires.to_string(),
        signed: root
            .signatures
            .iter()
            .map(|signature| hex::encode(&signature.keyid))
            .collect(),
    })
}

/// Whether enough of those have signed a root who must: its own keys, and those of the root that it follows.
pub fn is_whole(text: &str, before: Option<&str>) -> Result<bool, SignError> {
    let root = parse(text)?;
    let before = before.map(parse).transpose()?;
    let follows = before.is_none_or(|before| {
        before.signed.version.get() + 1 == root.signed.version.get()
            && before.signed.verify_role(&root).is_ok()
    });
    Ok(follows && root.signed.verify_role(&root).is_ok())
}

/// Adds the signatures of these signers, whichever of them the root or the one before it knows.
pub fn sign_root(
    text: &str,
    before: Option<&str>,
    signers: &[Arc<dyn Signer>],
) -> Result<String, SignError> {
    let root = parse(text)?;
    let before = before.map(parse).transpose()?.map(|before| before.signed);
    let holders = [Some(root.signed.clone()), before].into_iter().flatten();
    let known = known(signers)?;
    signed(&root.signed, holders, &known, signers, root.signatures)
}

fn parse(text: &str) -> Result<Signed<Root>, SignError> {
    serde_json::from_str(text).map_err(|error| sign_error(format!("this is no root: {error}")))
}

fn nobody() -> SignError {
    sign_error("none of the keys that are here may sign this root")
}

fn known(signers: &[Arc<dyn Signer>]) -> Result<Vec<Key>, SignError> {
    signers.iter().map(|signer| signer.public()).collect()
}

/// Whether a root trusts one of the keys.
fn holds(root: &Root, known: &[Key]) -> bool {
    let mut keys = root.keys.values();
    keys.any(|key| known.iter().any(|own| own.0 == *key))
}

/// Signs a root as far as the keys of the holders are known here; where none of a holder's is, others sign.
fn signed(
    root: &Root,
    holders: impl Iterator<Item = Root>,
    known: &[Key],
    signers: &[Arc<dyn Signer>],
    there: Vec<tough::schema::Signature>,
) -> Result<String, SignError> {
    let sources = sources(signers)?;
    let random = SystemRandom::new();
    let sign = async {
        let mut all: Option<SignedRole<Root>> = None;
        for holder in holders.filter(|holder| holds(holder, known)) {
            let holder = &KeyHolder::Root(holder);
            let by = SignedRole::new(root.clone(), holder, &sources, &random).await?;
            all = Some(match all {
                None => by,
                Some(all) => all.add_old_signatures(by.signed().signatures.clone())?,
            });
        }
        all.map(|all| all.add_old_signatures(there)).transpose()
    };
    let signed = run(sign)?.map_err(|error: tough::error::Error| sign_error(error))?;
    let signed = signed.ok_or_else(nobody)?;
    Ok(String::from_utf8_lossy(signed.buffer()).into_owned())
}
