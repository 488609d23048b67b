//! Requests to the public.

use std::io::Read;
use std::time::Duration;

use content_digest::{HashingWriter, Sha256Digest};
use reqwest::blocking::{Client, Response};

use crate::error::ActionError;

/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_mins(1);

/// Makes a client. TLS roots are the host's.
pub(crate) fn client() -> Result<Client, ActionError> {
    // A second installation fails, and then there is a provider already.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder()
        .user_agent(concat!("bakelite/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .timeout(None)
        .tcp_keepalive(PATIENCE)
        .build()
        .map_err(ActionError::http("set up the HTTP client"))
}

/// Returns the answer if it is a good one.
pub(crate) fn good(what: &str, response: Response) -> Result<Response, ActionError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let mut answer = String::new();
    // The beginning says enough, and a server may send for ever.
    drop(response.take(600).read_to_string(&mut answer));
    Err(ActionError::Status {
        what: what.to_owned(),
        status: status.as_u16(),
        answer: answer.trim().to_owned(),
    })
}

/// Fetches a page; none if it is not there. Caches on the way are told not to answer.
pub(crate) fn page(client: &Client, address: &str) -> Result<Option<String>, ActionError> {
    let what = format!("read {address}");
    let response = client
        .get(address)
        .header("Cache-Control", "no-cache")
        .timeout(PATIENCE)
        .send()
        .map_err(ActionError::http(what.clone()))?;
    if matches!(response.status().as_u16(), 404 | 410) {
        return Ok(None);
    }
    let mut text = String::new();
    good(&what, response)?
        .take(16 << 20)
        .read_to_string(&mut text)
        .map_err(ActionError::io(what))?;
    Ok(Some(text))
}

/// Reads a stream to its end. Returns its digest and size.
pub(crate) fn digest_of(
    reader: &mut dyn Read,
    what: &str,
) -> Result<(Sha256Digest, u64), ActionError> {
    let mut writer = HashingWriter::new(std::io::sink());
    std::io::copy(reader, &mut writer).map_err(ActionError::io(what))?;
    let (_, sha256, size) = writer.finish();
    Ok((sha256, size))
}
