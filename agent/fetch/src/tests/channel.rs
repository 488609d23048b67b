//! Servers that keep to the rules, and those that do not.

use super::*;
use crate::channel::{Answer, Ask, Channel};
use crate::wire::{self, Remote};

const FILE: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Answers questions on as many connections as come. Each is given the head of the question, and returns what is sent, and
/// whether the connection stays open.
fn serve_with(
    answer: impl Fn(&str) -> (Vec<u8>, bool) + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/stable", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
            std::thread::spawn(move || talk(stream.unwrap(), &*answer, &log));
        }
    });
    (address, asked)
}

fn talk(
    mut stream: std::net::TcpStream,
    answer: &(dyn Fn(&str) -> (Vec<u8>, bool) + Send + Sync),
    log: &Mutex<Vec<String>>,
) {
    use std::io::{Read as _, Write as _};
    log.lock().unwrap().push("connection".into());
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return,
            }
        }
        let head = String::from_utf8(head).unwrap();
        log.lock().unwrap().push(head.clone());
        let (bytes, stays) = answer(&head);
        // A client that has enough goes away.
        if stream.write_all(&bytes).is_err() || !stays {
            return;
        }
    }
}

fn range_of(head: &str) -> Option<(usize, usize)> {
    let line = head
        .lines()
        .find_map(|line| line.strip_prefix("range: bytes="))?;
    let (first, last) = line.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// A server that knows parts and tags.
fn good(head: &str) -> (Vec<u8>, bool) {
    let answer = if head.contains("if-none-match: \"v1\"") {
        b"HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n".to_vec()
    } else if !head.starts_with("GET /stable/file ") {
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone".to_vec()
    } else if let Some((first, last)) = range_of(head) {
        let part = &FILE[first..=last];
        let mut answer = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {first}-{last}/{}\r\nContent-Length: {}\r\n\r\n",
            FILE.len(),
            part.len()
        )
        .into_bytes();
        answer.extend(part);
        answer
    } else {
        whole("ETag: \"v1\"\r\n")
    };
    (answer, true)
}

fn whole(header: &str) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\n{header}Content-Length: {}\r\n\r\n",
        FILE.len()
    )
    .into_bytes();
    answer.extend(FILE);
    answer
}

fn channel(address: &str) -> Channel {
    Channel::new(Fetcher::new(RootCertStore::empty(), |_| true), address).unwrap()
}

fn file<'a>(part: Option<(u64, u32)>) -> Ask<'a> {
    Ask {
        path: "file",
        part,
        most: 100,
        etag: None,
    }
}

async fn bytes(channel: &mut Channel, part: Option<(u64, u32)>) -> Result<Vec<u8>, FetchError> {
    match channel.ask(&file(part)).await? {
        Answer::Bytes(bytes, _) => Ok(bytes),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn parts_come_over_one_connection_and_what_is_the_same_is_not_sent() {
    let (address, asked) = serve_with(good);
    let mut channel = channel(&address);
    for (offset, length) in [(0_u32, 10_u32), (10, 5), (30, 6), (3, 1)] {
        let part = bytes(&mut channel, Some((offset.into(), length)))
            .await
            .unwrap();
        assert_eq!(part, &FILE[offset as usize..(offset + length) as usize]);
    }
    let answer = channel.ask(&file(None)).await.unwrap();
    let Answer::Bytes(all, Some(etag)) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(all, FILE);
    let again = Ask {
        etag: Some(&etag),
        ..file(None)
    };
    assert_eq!(channel.ask(&again).await.unwrap(), Answer::Same);
    let other = Ask {
        path: "2.root.json",
        ..file(None)
    };
    assert_eq!(channel.ask(&other).await.unwrap(), Answer::Missing);
    let connections = asked
        .lock()
        .unwrap()
        .iter()
        .filter(|line| *line == "connection")
        .count();
    assert_eq!(connections, 1);
}

#[tokio::test]
async fn a_server_that_ignores_ranges_is_read_through_once() {
    let (address, asked) = serve_with(|_| (whole(""), true));
    let mut channel = channel(&address);
    for (offset, length) in [(0_u32, 3_u32), (3, 3), (20, 4), (30, 6)] {
        let part = bytes(&mut channel, Some((offset.into(), length)))
            .await
            .unwrap();
        assert_eq!(part, &FILE[offset as usize..(offset + length) as usize]);
    }
    let questions = |asked: &Mutex<Vec<String>>| {
        asked
            .lock()
            .unwrap()
            .iter()
            .filter(|line| line.starts_with("GET"))
            .count()
    };
    assert_eq!(questions(&asked), 1, "one answer is enough");
    // Back and forth it would have to send all of it each time: not for ever.
    let mut outcome = Ok(Vec::new());
    for _ in 0..10 {
        outcome = bytes(&mut channel, Some((5, 1))).await;
        if outcome.is_err() {
            break;
        }
    }
    assert!(
        matches!(outcome, Err(FetchError::Other { .. })),
        "{outcome:?}"
    );
    assert!(questions(&asked) <= 5);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_made_anew() {
    let (address, asked) = serve_with(|head| (good(head).0, false));
    let mut channel = channel(&address);
    for _ in 0..3 {
        assert_eq!(bytes(&mut channel, Some((1, 2))).await.unwrap(), b"12");
    }
    assert!(asked.lock().unwrap().len() >= 6);
}

#[tokio::test]
async fn answers_that_are_not_what_was_asked_for_are_refused() {
    let part = Some((2, 4));
    for (name, answer) in [
        ("endless", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned() + &"40\r\n0000000000000000000000000000000000000000000000000000000000000000\r\n".repeat(4)),
        ("a sign-in page", "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 4\r\n\r\nhi!!".into()),
        ("compressed", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nhi!!".into()),
        ("cut off", "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nhi!!".into()),
        ("broken", "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".into()),
        ("no HTTP", "SSH-2.0-OpenSSH_10.0\r\n".into()),
    ] {
        let (address, _) = serve_with(move |_| (answer.clone().into_bytes(), false));
        let outcome = channel(&address).ask(&file(None)).await;
        assert!(outcome.is_err(), "{name}: {outcome:?}");
    }
    for (name, answer) in [
        (
            "another part",
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 3-6/36\r\nContent-Length: 4\r\n\r\n3456",
        ),
        (
            "no range",
            "HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\n\r\n2345",
        ),
        (
            "too short",
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-5/36\r\nContent-Length: 2\r\n\r\n23",
        ),
        (
            "too long",
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-5/36\r\nContent-Length: 6\r\n\r\n234567",
        ),
        (
            "beyond",
            "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n",
        ),
    ] {
        let (address, _) = serve_with(move |_| (answer.as_bytes().to_vec(), false));
        let outcome = channel(&address).ask(&file(part)).await;
        assert!(outcome.is_err(), "{name}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_busy_server_says_for_how_long() {
    let busy = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n";
    let (address, _) = serve_with(move |_| (busy.as_bytes().to_vec(), false));
    let outcome = channel(&address).ask(&file(None)).await.unwrap_err();
    assert!(outcome.may_pass());
    assert!(
        matches!(outcome, FetchError::Later { after: Some(after), .. } if after.as_secs() == 120)
    );
}

#[tokio::test]
async fn redirects_are_followed_but_not_away_from_tls_nor_for_ever() {
    let (target, _) = serve_with(good);
    let to = format!("HTTP/1.1 302 Found\r\nLocation: {target}/file\r\nContent-Length: 0\r\n\r\n");
    let (address, _) = serve_with(move |_| (to.clone().into_bytes(), true));
    let mut led = channel(&address);
    assert_eq!(bytes(&mut led, Some((0, 4))).await.unwrap(), b"0123");
    let around = "HTTP/1.1 302 Found\r\nLocation: /stable/file\r\nContent-Length: 0\r\n\r\n";
    let (address, _) = serve_with(move |_| (around.as_bytes().to_vec(), true));
    let outcome = channel(&address).ask(&file(None)).await;
    assert!(matches!(outcome, Err(FetchError::Redirect { .. })));
    // Over TLS, to a server without it.
    let on = format!("HTTP/1.1 302 Found\r\nLocation: {target}/file\r\nContent-Length: 0\r\n\r\n");
    let (fetcher, port) = server(vec![on]).await;
    let mut channel = Channel::new(fetcher, &format!("https://localhost:{port}/stable")).unwrap();
    let outcome = channel.ask(&file(None)).await;
    assert!(
        matches!(outcome, Err(FetchError::Address(_))),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_path_does_not_leave_the_channel() {
    let (address, asked) = serve_with(good);
    let mut channel = channel(&address);
    for path in [
        "../other/file",
        "/etc/passwd",
        "http://127.0.0.1:1/x",
        "//127.0.0.1:1/x",
        "a/../../x",
        "",
        "file?x=1",
        "%2e%2e/x",
        "..%2f..%2fx",
    ] {
        let what = Ask { path, ..file(None) };
        let outcome = channel.ask(&what).await;
        let is_refused = matches!(outcome, Err(FetchError::Address(_)));
        // What is only odd stays in the channel, where there is no such file.
        assert!(
            is_refused || matches!(outcome, Ok(Answer::Missing)),
            "{path}: {outcome:?}"
        );
    }
    let strict = Fetcher::new(RootCertStore::empty(), is_allowed);
    let mut own = Channel::new(strict, &address).unwrap();
    let outcome = own.ask(&file(None)).await;
    assert!(
        matches!(outcome, Err(FetchError::Forbidden { .. })),
        "{outcome:?}"
    );
    let asked = asked.lock().unwrap();
    assert!(
        asked
            .iter()
            .filter(|line| line.starts_with("GET"))
            .all(|line| line.starts_with("GET /stable/")),
        "{asked:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_sends_next_to_nothing_is_left() {
    // Time is the test's own here: what waits is woken at once.
    let (client, server) = tokio::io::duplex(64);
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut reader, mut writer) = tokio::io::split(server);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(reader.read_u8().await.unwrap());
        }
        writer
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            .await
            .unwrap();
        loop {
            tokio::time::sleep(Duration::from_secs(30)).await;
            if writer.write_all(b"x").await.is_err() {
                return;
            }
        }
    });
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(client))
            .await
            .unwrap();
    tokio::spawn(connection);
    let url = url::Url::parse("http://slow.invalid/file").unwrap();
    let response = crate::fetcher::ask(&mut sender, &url, &[]).await.unwrap();
    let begun = tokio::time::Instant::now();
    let outcome = crate::channel::read_all(
        "slow.invalid",
        response.into_body(),
        &Ask {
            most: 100_000,
            ..file(None)
        },
    )
    .await;
    assert!(
        matches!(outcome, Err(FetchError::Connect { .. })),
        "{outcome:?}"
    );
    assert!(begun.elapsed() < Duration::from_mins(2));
}

#[tokio::test]
async fn a_process_without_a_network_asks_over_a_socket() {
    let (address, _) = serve_with(good);
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    far.set_nonblocking(true).unwrap();
    let far = tokio::net::UnixStream::from_std(far).unwrap();
    let fetcher = Fetcher::new(RootCertStore::empty(), |_| true);
    let serving = tokio::spawn(wire::serve(Ok(fetcher), far));
    let asking = tokio::task::spawn_blocking(move || {
        let mut remote = Remote::new(near, &address, None).unwrap();
        let part = remote.ask(&file(Some((2, 3)))).unwrap();
        assert_eq!(part, Answer::Bytes(b"234".to_vec(), None));
        let missing = Ask {
            path: "nothing",
            ..file(None)
        };
        assert_eq!(remote.ask(&missing).unwrap(), Answer::Missing);
        let small = Ask {
            most: 10,
            ..file(None)
        };
        let failed = remote.ask(&small).unwrap_err();
        assert!(
            failed.reason.contains("more than the 10 bytes") && !failed.passes,
            "{failed:?}"
        );
        // It goes on after a failure.
        assert!(
            matches!(remote.ask(&file(None)).unwrap(), Answer::Bytes(bytes, Some(_)) if bytes == FILE)
        );
    });
    asking.await.unwrap();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn whoever_fetches_cannot_make_the_asking_side_take_more() {
    use std::io::{Read as _, Write as _};
    for lie in [
        "{\"answer\":\"bytes\",\"length\":18446744073709551615,\"etag\":null}\n",
        "{\"answer\":\"bytes\",\"length\":101,\"etag\":null}\n",
        "{\"answer\":\"nonsense\"}\n",
        "\n",
    ] {
        let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut remote = Remote::new(near, "https://example.org/", None).unwrap();
        far.write_all(lie.as_bytes()).unwrap();
        assert!(remote.ask(&file(None)).is_err(), "{lie}");
        drop(remote);
        far.read_to_end(&mut Vec::new()).unwrap();
    }
}
