//! What is asked of an SSH agent: which keys it holds, and a signature (draft-ietf-sshm-ssh-agent).

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A person may have to touch a token.
const PATIENCE: Duration = Duration::from_mins(2);
/// Longest answer of an agent that is read: a list of some hundred keys.
const LONGEST: u32 = 256 * 1024;

/// Messages of an agent (draft-ietf-sshm-ssh-agent, section 3).
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// Has the agent sign with a key. Ed25519 signs the bytes themselves, so that this is a signature like any other.
pub(crate) fn sign(socket: &Path, blob: &[u8], bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut request = vec![SIGN_REQUEST];
    put(&mut request, blob);
    put(&mut request, bytes);
    request.extend(0_u32.to_be_bytes());
    let answer = ask(socket, &request, SIGN_RESPONSE)?;
    let mut rest = &answer[..];
    let mut signature = take(&mut rest)?;
    if take(&mut signature)? != b"ssh-ed25519" {
        return Err(io::Error::other("the agent signs in another way"));
    }
    Ok(take(&mut signature)?.to_vec())
}

/// Lists the keys that an agent holds, as SSH writes them.
pub(crate) fn keys(socket: &Path) -> io::Result<Vec<Vec<u8>>> {
    let answer = ask(socket, &[REQUEST_IDENTITIES], IDENTITIES_ANSWER)?;
    let (count, mut rest) = answer
        .split_first_chunk()
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut keys = Vec::new();
    for _ in 0..u32::from_be_bytes(*count) {
        keys.push(take(&mut rest)?.to_vec());
        take(&mut rest)?;
    }
    Ok(keys)
}

/// Asks the agent, and returns what follows the kind of its answer.
fn ask(socket: &Path, request: &[u8], expected: u8) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut message = Vec::new();
    put(&mut message, request);
    stream.write_all(&message)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length == 0 || length > LONGEST {
        return Err(io::Error::other(
            "the agent's answer has no sensible length",
        ));
    }
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer)?;
    let kind = answer.remove(0);
    if kind == expected {
        Ok(answer)
    } else {
        Err(io::Error::other(
            "the agent refuses: it does not hold the key, or somebody said no",
        ))
    }
}

/// Writes a string as SSH has it: its length, and its bytes (RFC 4251, section 5).
fn put(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    to.extend(bytes);
}

fn take<'b>(from: &mut &'b [u8]) -> io::Result<&'b [u8]> {
    let short = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let (length, rest) = from.split_first_chunk().ok_or_else(short)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(io::Error::other)?;
    let (bytes, rest) = rest.split_at_checked(length).ok_or_else(short)?;
    *from = rest;
    Ok(bytes)
}
