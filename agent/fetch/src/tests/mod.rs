//! Against real servers on the loopback.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use rustls::pki_types::PrivateKeyDer;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::fetcher::{reach, read};
use crate::{FetchError, Fetched, Fetcher, is_allowed};

mod authorized;
mod channel;

#[test]
fn neither_this_device_nor_its_link_is_reached_in_any_disguise() {
    for bad in [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::1",
        "fe80::1",
        "ff02::1",
    ] {
        assert!(!is_allowed(bad.parse().unwrap()), "{bad}");
    }
    for good in [
        "192.168.1.5",
        "198.51.100.7",
        "2001:db8::1",
        "fd00::1",
        "64:ff9b::c633:6407",
    ] {
        assert!(is_allowed(good.parse().unwrap()), "{good}");
    }
}

#[test]
fn only_https_without_a_password_is_read() {
    for bad in [
        "",
        "http://example.org/a.iso",
        "file:///etc/shadow",
        "ftp://example.org/a",
        "https://",
        "https://user:secret@example.org/a.iso",
        "//example.org/a",
    ] {
        assert!(read(bad, false).is_err(), "{bad}");
    }
    assert!(read("https://example.org:8443/a.iso?x=1", false).is_ok());
}

#[tokio::test]
async fn an_address_that_does_not_answer_is_passed_over() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let good = listener.local_addr().unwrap();
    // Nothing listens at the end of the range of ports that nobody is given by chance.
    let bad: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let reached = reach(&[bad, good]).await.unwrap();
    assert_eq!(reached.peer_addr().unwrap(), good);
    assert!(reach(&[bad]).await.is_err() && reach(&[]).await.is_err());
}

/// A server with a certificate of its own for `localhost`. It gives each connection the next answer.
async fn server(answers: Vec<String>) -> (Fetcher, u16) {
    let (fetcher, port, _) = server_that_notes(answers).await;
    (fetcher, port)
}

/// The same, and what it was asked.
async fn server_that_notes(answers: Vec<String>) -> (Fetcher, u16, Arc<Mutex<Vec<String>>>) {
    let mut roots = RootCertStore::empty();
    let (port, asked) = trusted_server(&mut roots, answers).await;
    // The loopback is allowed here, and it resolves to IPv6 first on some machines.
    (Fetcher::new(roots, |_| true), port, asked)
}

async fn trusted_server(
    roots: &mut RootCertStore,
    answers: Vec<String>,
) -> (u16, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&asked);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let certificate = made.cert.der().clone();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for answer in answers {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = [0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            let text = String::from_utf8_lossy(&request[..length]).into_owned();
            notes.lock().unwrap().push(text);
            stream.write_all(answer.as_bytes()).await.unwrap();
            drop(stream.shutdown().await);
        }
    });
    (port, asked)
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn text(fetched: Fetched) -> String {
    let mut content = fetched.content();
    let mut all = Vec::new();
    while let Some(chunk) = content.next().await {
        all.extend(chunk.unwrap());
    }
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn an_image_is_fetched_also_where_the_server_leads_on() {
    let on = "HTTP/1.1 302 Found\r\nLocation: /pool/rescue.iso?v=2\r\nContent-Length: 0\r\n\r\n";
    let (fetcher, port) = server(vec![on.into(), ok("an image")]).await;
    let fetched = fetcher
        .get(&format!("https://localhost:{port}/latest"))
        .await
        .unwrap();
    assert_eq!(
        (fetched.size, fetched.name.as_deref()),
        (8, Some("rescue.iso"))
    );
    assert_eq!(text(fetched).await, "an image");
}

#[tokio::test]
async fn what_is_no_image_is_told() {
    let nowhere = "HTTP/1.1 302 Found\r\nLocation: http://localhost/a\r\nContent-Length: 0\r\n\r\n";
    let sizeless = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    let answers = [nowhere, sizeless, missing].map(str::to_owned);
    let (fetcher, port) = server(answers.into()).await;
    let address = format!("https://localhost:{port}/a.iso");
    assert!(matches!(
        fetcher.get(&address).await,
        Err(FetchError::Address(_))
    ));
    assert!(matches!(
        fetcher.get(&address).await,
        Err(FetchError::Size { .. })
    ));
    assert!(matches!(
        fetcher.get(&address).await,
        Err(FetchError::Status { .. })
    ));
    let address = format!("https://127.0.0.1:{port}/a.iso");
    assert!(
        matches!(fetcher.get(&address).await, Err(FetchError::Connect { .. })),
        "another name"
    );
}

#[tokio::test]
async fn this_device_is_not_asked() {
    let strict = Fetcher::new(RootCertStore::empty(), is_allowed);
    for address in [
        "https://localhost/a",
        "https://127.0.0.1/a",
        "https://[::1]/a",
        "https://0x7f.1/a",
    ] {
        let refused = strict.get(address).await;
        assert!(
            matches!(refused, Err(FetchError::Forbidden { .. })),
            "{address}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_server_that_leads_in_circles_is_left() {
    let on = "HTTP/1.1 307 Temporary Redirect\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n";
    let (fetcher, port) = server(vec![on.to_owned(); 6]).await;
    let led = fetcher.get(&format!("https://localhost:{port}/")).await;
    assert!(matches!(led, Err(FetchError::Redirect { .. })), "{led:?}");
}
