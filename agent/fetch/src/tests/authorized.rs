//! A server that wants to know who speaks, and is told things.

use super::*;
use crate::channel::{Answer, Ask, Authorization, Channel};

const MOST: u64 = 100;

fn get(path: &str) -> Ask<'_> {
    Ask {
        path,
        part: None,
        most: MOST,
        etag: None,
    }
}

async fn channel(answers: &[&str]) -> (Channel, Arc<Mutex<Vec<String>>>) {
    let answers = answers.iter().map(|answer| (*answer).to_owned()).collect();
    let (fetcher, port, asked) = server_that_notes(answers).await;
    let address = format!("https://localhost:{port}/DEFAULT/controller/v1/4711/");
    let token = Authorization::new("TargetToken secret".into());
    (
        Channel::authorized(fetcher, &address, token).unwrap(),
        asked,
    )
}

#[tokio::test]
async fn it_hears_who_speaks_and_what_is_said() {
    let gone = "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n";
    let (mut channel, asked) = channel(&[&ok("{}"), &ok("order"), &ok(""), gone]).await;
    for (path, text) in [("", "{}"), ("deploymentBase/8?c=-5", "order")] {
        let answer = channel.ask(&get(path)).await.unwrap();
        assert_eq!(answer, Answer::Bytes(text.into(), None));
    }
    let told = channel.tell("configData", true, "{\"a\":1}", MOST).await;
    assert!(matches!(told, Ok(Answer::Bytes(_, _))), "{told:?}");
    let told = channel
        .tell("deploymentBase/8/feedback", false, "{}", MOST)
        .await;
    assert_eq!(told.unwrap(), Answer::Missing);
    let asked = asked.lock().unwrap();
    let lines: Vec<&str> = asked
        .iter()
        .filter_map(|text| text.lines().next())
        .collect();
    let expected = [
        "GET /DEFAULT/controller/v1/4711 HTTP/1.1",
        "GET /DEFAULT/controller/v1/4711/deploymentBase/8?c=-5 HTTP/1.1",
        "PUT /DEFAULT/controller/v1/4711/configData HTTP/1.1",
        "POST /DEFAULT/controller/v1/4711/deploymentBase/8/feedback HTTP/1.1",
    ];
    assert_eq!(lines, expected);
    assert!(
        asked
            .iter()
            .all(|text| text.contains("authorization: TargetToken secret"))
    );
    assert!(asked[2].contains("content-type: application/json") && asked[2].ends_with("{\"a\":1}"));
}

#[tokio::test]
async fn nobody_else_hears_it() {
    let mut roots = RootCertStore::empty();
    let (other, overheard) = trusted_server(&mut roots, vec![ok("a bundle")]).await;
    let on = format!(
        "HTTP/1.1 302 Found\r\nLocation: https://localhost:{other}/a.upd\r\nContent-Length: 0\r\n\r\n"
    );
    let (port, _) = trusted_server(&mut roots, vec![on.clone(), on]).await;
    let fetcher = Fetcher::new(roots, |_| true);
    let address = format!("https://localhost:{port}/DEFAULT/controller/v1/4711/");
    let token = || Authorization::new("TargetToken secret".into());
    let mut channel = Channel::authorized(fetcher, &address, token()).unwrap();
    let led = channel.ask(&get("softwaremodules/9/artifacts/a.upd")).await;
    assert_eq!(led.unwrap(), Answer::Bytes("a bundle".into(), None));
    let heard = overheard.lock().unwrap().concat();
    assert!(
        heard.starts_with("GET /a.upd ") && !heard.contains("secret"),
        "{heard}"
    );
    // What is told is told to nobody else at all.
    let told = channel.tell("configData", true, "{}", MOST).await;
    assert!(matches!(told, Err(FetchError::Status { .. })), "{told:?}");
    let fetcher = Fetcher::new(RootCertStore::empty(), |_| true);
    let plain = Channel::authorized(
        fetcher,
        "http://localhost/DEFAULT/controller/v1/4711/",
        token(),
    );
    assert!(
        matches!(plain, Err(FetchError::Address(_))),
        "it would go in the clear"
    );
    assert!(!format!("{:?}", token()).contains("secret"));
}

#[tokio::test]
async fn a_wrong_token_and_paths_that_lead_out_are_told() {
    let no = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
    let (mut channel, asked) = channel(&[no]).await;
    let refused = channel.ask(&get("")).await.unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("does not take this device's token"),
        "{refused}"
    );
    for path in [
        "../4712/",
        "/",
        "//elsewhere.example/",
        "https://elsewhere.example/x",
    ] {
        let refused = channel.ask(&get(path)).await;
        assert!(
            matches!(refused, Err(FetchError::Address(_))),
            "{path}: {refused:?}"
        );
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
}
