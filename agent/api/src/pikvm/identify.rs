//! Who asks, as `PiKVM`'s clients say it: `X-KVMD-User` and `X-KVMD-Passwd`, Basic, or the cookie
//! `auth_token`. The password is a token of this device.

use std::net::IpAddr;

use agent_access::one_time::DIGITS;
use agent_access::{AccessError, Credentials, Principal, Secret};
use axum::http::{HeaderMap, header};
use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::app::App;
use crate::failure::{Code, Failure};

/// Name of kvmd's cookie.
pub const COOKIE: &str = "auth_token";

/// Finds out who asks. Nothing if no credentials were given; a failure if they are wrong.
pub async fn identify(
    app: &App,
    headers: &HeaderMap,
    address: IpAddr,
) -> Result<Option<Principal>, Failure> {
    if let Some((name, password)) = given(headers) {
        return by_password(app, &name, &password, headers, address)
            .await
            .map(Some);
    }
    let now = app.now();
    let Some(cookie) = crate::guard::cookie_named(headers, COOKIE) else {
        return Ok(None);
    };
    let principal = app.parts.access.by_token(&cookie, now);
    principal.map(Some).ok_or_else(wrong)
}

/// Returns name and password of a request.
fn given(headers: &HeaderMap) -> Option<(String, Secret)> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(name) = text("x-kvmd-user") {
        let password = text("x-kvmd-passwd").unwrap_or_default();
        return Some((name.to_owned(), Secret::new(password)));
    }
    let value = text(header::AUTHORIZATION.as_str())?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let pair = String::from_utf8(bytes).ok()?;
    // A password may have a colon, a name may not (RFC 7617, §2).
    let (name, password) = pair.split_once(':')?;
    Some((name.to_owned(), Secret::new(password)))
}

/// Proves a name and a password, which is a token, or where the settings allow it a user's own, with
/// the one-time code behind it.
pub async fn by_password(
    app: &App,
    name: &str,
    password: &Secret,
    headers: &HeaderMap,
    address: IpAddr,
) -> Result<Principal, Failure> {
    let now = app.now();
    if let Some(principal) = app.parts.access.by_token(password, now)
        && principal.user.to_string() == name
    {
        return Ok(principal);
    }
    if !app.parts.passwords_for_clients {
        return Err(wrong());
    }
    let agent = headers
        .get(header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok());
    let plain = Credentials {
        name: name.to_owned(),
        password: password.clone(),
        code: None,
        address: address.to_canonical(),
        agent: agent.unwrap_or_default().to_owned(),
    };
    let (password, code) = split_code(password.reveal());
    let has_factor = app
        .parts
        .access
        .users()
        .iter()
        .any(|u| u.name.to_string() == name && u.second_factor);
    let credentials = match code.filter(|_| has_factor) {
        Some(code) => Credentials {
            password: Secret::new(password),
            code: Some(code.to_owned()),
            ..plain
        },
        None => plain,
    };
    app.parts
        .access
        .principal_of(&credentials, now)
        .await
        .map_err(|error| match error {
            AccessError::Wrong => wrong(),
            other => other.into(),
        })
}

fn split_code(password: &str) -> (&str, Option<&str>) {
    let parts = password
        .len()
        .checked_sub(DIGITS)
        .and_then(|at| password.split_at_checked(at));
    match parts {
        Some((start, code)) if code.bytes().all(|byte| byte.is_ascii_digit()) => {
            (start, Some(code))
        }
        _ => (password, None),
    }
}

fn wrong() -> Failure {
    let text = "name or password is wrong: the password is a token made on the device's page";
    Failure::new(Code::Wrong, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_are_found_where_clients_put_them() {
        let mut headers = HeaderMap::new();
        assert!(given(&headers).is_none());
        let encoded = BASE64_STANDARD.encode("ann:a:b");
        headers.insert("authorization", format!("Basic {encoded}").parse().unwrap());
        let (name, password) = given(&headers).unwrap();
        assert_eq!((name.as_str(), password.reveal()), ("ann", "a:b"));
        headers.insert("x-kvmd-user", "bob".parse().unwrap());
        headers.insert("x-kvmd-passwd", "c".parse().unwrap());
        assert_eq!(given(&headers).unwrap().0, "bob", "these count first");
    }

    #[test]
    fn a_code_is_the_last_six_digits() {
        assert_eq!(split_code("secret123456"), ("secret", Some("123456")));
        assert_eq!(split_code("secret"), ("secret", None));
        assert_eq!(split_code("é12345"), ("é12345", None));
        assert_eq!(split_code("12"), ("12", None));
    }
}
