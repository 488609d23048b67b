//! Small web servers on loopback, one a thread. They end with the test's process.

use axum::Router;

use crate::hawkbit::{Fleet, PLACES, Reply};

/// Serves a router on a free port of 127.0.0.1. Returns `127.0.0.1:PORT`.
pub fn on_loopback(router: Router) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = listener.local_addr().expect("bound").to_string();
    listener.set_nonblocking(true).expect("a plain socket");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a plain socket");
            axum::serve(listener, router)
                .await
                .expect("it serves until the end");
        });
    });
    address
}

/// Returns a port that was free just now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    listener.local_addr().expect("bound").port()
}

/// Waits until something listens on a port of 127.0.0.1; the program that should is asked by `is_alive`.
pub fn wait_for(port: u16, mut is_alive: impl FnMut() -> bool) {
    for _ in 0..600 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return;
        }
        assert!(is_alive(), "the server on port {port} ended");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("nothing listens on port {port} after a minute");
}

/// Makes a client as a stranger's program is: it says its name, and follows to other addresses or not.
pub fn client(follows: bool) -> reqwest::blocking::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    let policy = if follows {
        reqwest::redirect::Policy::default()
    } else {
        reqwest::redirect::Policy::none()
    };
    let builder = reqwest::blocking::Client::builder()
        .user_agent("stranger")
        .redirect(policy);
    builder.build().expect("a client")
}

/// A folder over HTTPS, as a static web server has it: parts of files (RFC 9110, section 14), tags, and nothing else. Its
/// certificate is for the host's address as the emulated machine sees it.
#[derive(Debug)]
pub struct Static {
    /// Port on 127.0.0.1.
    pub port: u16,
    /// The certificate, PEM.
    pub certificate: String,
    /// Bytes of bodies that were sent.
    pub sent: std::sync::Arc<std::sync::atomic::AtomicU64>,
    /// Connections are ended after so many bytes more; for networks that fail.
    pub fails_after: std::sync::Arc<std::sync::atomic::AtomicU64>,
    /// A fleet server at the same port, whose orders are about files of the folder.
    pub fleet: std::sync::Arc<Fleet>,
}

/// The host, as a machine of QEMU's own network sees it.
pub const HOST: &str = "10.0.2.2";

/// Serves a folder.
pub fn folder_over_tls(folder: std::path::PathBuf) -> Static {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;
    let made = rcgen::generate_simple_self_signed([HOST.to_owned(), "127.0.0.1".to_owned()])
        .expect("a certificate");
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der())
        .expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a certificate with its key");
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let server = Static {
        port: listener.local_addr().expect("bound").port(),
        certificate: made.cert.pem(),
        sent: Arc::default(),
        fails_after: Arc::new(AtomicU64::new(u64::MAX)),
        fleet: Arc::default(),
    };
    let (sent, fails_after) = (Arc::clone(&server.sent), Arc::clone(&server.fails_after));
    let fleet = Arc::clone(&server.fleet);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (config, folder) = (Arc::clone(&config), folder.clone());
            let (sent, fails_after) = (Arc::clone(&sent), Arc::clone(&fails_after));
            let fleet = Arc::clone(&fleet);
            std::thread::spawn(move || {
                let connection =
                    rustls::ServerConnection::new(config).expect("a good configuration");
                let stream = rustls::StreamOwned::new(connection, stream.expect("a connection"));
                // A client that goes away has what it wanted.
                drop(answer_files(stream, &folder, &fleet, &sent, &fails_after));
            });
        }
    });
    server
}

fn answer_files(
    mut stream: impl std::io::Read + std::io::Write,
    folder: &std::path::Path,
    fleet: &Fleet,
    sent: &std::sync::atomic::AtomicU64,
    fails_after: &std::sync::atomic::AtomicU64,
) -> std::io::Result<()> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    use std::sync::atomic::Ordering;
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default();
        let mut path = path.trim_start_matches('/').to_owned();
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (key, value) = line.split_once(": ")?;
                key.eq_ignore_ascii_case(name).then(|| value.to_owned())
            })
        };
        let header_or_empty = |name: &str| header(name).unwrap_or_default();
        if let Some(place) = path.strip_prefix(PLACES) {
            let length = header_or_empty("content-length").parse().unwrap_or(0);
            let mut body = String::new();
            (&mut stream).take(length).read_to_string(&mut body)?;
            let (method, who) = (
                head.split(' ').next().unwrap_or_default(),
                header_or_empty("authorization"),
            );
            match fleet.answer(method, &header_or_empty("host"), place, &who, &body) {
                Reply::File(file) => path = file,
                Reply::Json(status, value) => {
                    let text = value.to_string();
                    let length = text.len();
                    write!(
                        stream,
                        "HTTP/1.1 {status} .\r\nContent-Type: application/hal+json\r\nContent-Length: {length}\r\n\r\n{text}"
                    )?;
                    stream.flush()?;
                    continue;
                }
            }
        }
        let is_plain = path.split('/').all(|part| !part.starts_with('.'));
        let Some(mut file) = is_plain
            .then(|| std::fs::File::open(folder.join(&path)).ok())
            .flatten()
        else {
            write!(
                stream,
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
            )?;
            continue;
        };
        let found = file.metadata()?;
        let changed = found
            .modified()?
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        let (length, tag) = (
            found.len(),
            format!("\"{:x}-{:x}\"", found.len(), changed.as_nanos()),
        );
        if header("if-none-match").as_deref() == Some(&tag) {
            write!(stream, "HTTP/1.1 304 Not Modified\r\nETag: {tag}\r\n\r\n")?;
            continue;
        }
        let range = header("range").and_then(|range| {
            let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
            Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?))
        });
        let (first, last) = range.unwrap_or((0, length - 1));
        let count = last - first + 1;
        if range.is_some() {
            write!(
                stream,
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {first}-{last}/{length}\r\n"
            )?;
        } else {
            write!(stream, "HTTP/1.1 200 OK\r\n")?;
        }
        write!(stream, "ETag: {tag}\r\nContent-Length: {count}\r\n\r\n")?;
        file.seek(SeekFrom::Start(first))?;
        let may = fails_after.load(Ordering::Relaxed);
        let copied = std::io::copy(&mut file.take(count.min(may)), &mut stream)?;
        sent.fetch_add(copied, Ordering::Relaxed);
        if may != u64::MAX {
            fails_after.fetch_sub(copied, Ordering::Relaxed);
        }
        stream.flush()?;
        if copied < count {
            return Err(std::io::ErrorKind::ConnectionAborted.into());
        }
    }
}
