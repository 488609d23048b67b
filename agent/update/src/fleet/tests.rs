//! Answers as hawkBit's documents show them, and such as no server should give.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::*;

const BASE: &str = "https://fleet.example:8080/DEFAULT/controller/v1/4711/";

/// Answers in turn, and keeps what was sent.
#[derive(Default)]
struct Told {
    answers: VecDeque<Option<String>>,
    sent: Vec<(Method, String, Value)>,
}

impl Server for Told {
    fn send(&mut self, method: Method, path: &str, body: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let body = serde_json::from_slice(body).unwrap_or(Value::Null);
        self.sent.push((method, path.into(), body));
        let answer = self
            .answers
            .pop_front()
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(answer.map(String::into_bytes))
    }
}

fn told(answers: &[Option<Value>]) -> Told {
    Told {
        answers: answers
            .iter()
            .map(|answer| answer.as_ref().map(Value::to_string))
            .collect(),
        ..Told::default()
    }
}

fn poll(links: &Value) -> Value {
    json!({ "config": { "polling": { "sleep": "00:01:30" } }, "_links": links })
}

fn href(path: &str) -> Value {
    json!({ "href": format!("{BASE}{path}") })
}

fn deployment(kind: &str, update: &str, window: Option<&str>, names: &[&str]) -> Value {
    let artifacts: Vec<Value> = names
        .iter()
        .map(|name| {
            json!({
                "filename": name, "size": 11,
                "hashes": { "sha1": "2a", "md5": "0d", "sha256": "c5" },
                "_links": {
                    "download": href(&format!("softwaremodules/9/artifacts/{name}")),
                    "download-http": { "href": "http://fleet.example/plain" },
                    "md5sum": href(&format!("softwaremodules/9/artifacts/{name}.MD5SUM")),
                },
            })
        })
        .collect();
    let mut about = json!({ "download": update, "update": update, "chunks": [
        { "part": "os", "version": "1.0.79", "name": "kvm", "artifacts": artifacts, "metadata": [{ "key": "a", "value": "b" }] },
    ] });
    if let Some(window) = window {
        about["maintenanceWindow"] = window.into();
    }
    json!({ "id": "8", kind: about, "actionHistory": { "status": "RUNNING", "messages": [] } })
}

#[test]
fn an_address_says_where_a_device_has_its_place() {
    let place = |source| base(source, "4711");
    assert_eq!(
        place("hawkbit+https://fleet.example:8080").as_deref(),
        Some(BASE)
    );
    assert_eq!(
        place("hawkbit+https://fleet.example:8080/DEFAULT/").as_deref(),
        Some(BASE)
    );
    let other = "https://fleet.example/workshop/controller/v1/4711/";
    assert_eq!(
        place("hawkbit+https://fleet.example/workshop").as_deref(),
        Some(other)
    );
    assert_eq!(place("https://updates.example/stable"), None);
}

#[test]
fn a_device_says_what_it_is_and_takes_an_order() {
    let links = json!({ "configData": href("configData"), "deploymentBase": href("deploymentBase/8?c=-2127183556") });
    let mut server = told(&[
        Some(poll(&links)),
        Some(json!({})),
        Some(deployment(
            "deployment",
            "forced",
            None,
            &["notes.txt", "kvm-1.1.0.upd"],
        )),
    ]);
    let looked = look(&mut server, BASE, &[("version", "1.0.0".into())]).unwrap();
    let order = looked.order.unwrap();
    assert_eq!(looked.sleep, Duration::from_secs(90));
    assert_eq!(
        (order.action.as_str(), order.when, order.length),
        ("8", When::Now, 11)
    );
    assert!(
        order
            .href
            .ends_with("/softwaremodules/9/artifacts/kvm-1.1.0.upd")
    );
    let paths: Vec<&str> = server
        .sent
        .iter()
        .map(|(_, path, _)| path.as_str())
        .collect();
    assert_eq!(paths, ["", "configData", "deploymentBase/8?c=-2127183556"]);
    assert_eq!(
        server.sent[1].2,
        json!({ "mode": "merge", "data": { "version": "1.0.0" } })
    );
}

#[test]
fn an_order_says_when() {
    for (kind, update, window, when) in [
        ("deployment", "forced", None, When::Now),
        ("deployment", "forced", Some("available"), When::Now),
        ("deployment", "forced", Some("unavailable"), When::Later),
        ("deployment", "attempt", None, When::Owner),
        ("deployment", "skip", None, When::Later),
        ("confirmation", "forced", None, When::Owner),
    ] {
        let asks_owner = kind == "confirmation";
        let link = if asks_owner {
            "confirmationBase"
        } else {
            "deploymentBase"
        };
        let answer = deployment(kind, update, window, &["a.upd"]);
        let mut server = told(&[Some(poll(&json!({ link: href("x/8") }))), Some(answer)]);
        let order = look(&mut server, BASE, &[]).unwrap().order.unwrap();
        assert_eq!(
            (order.when, order.asks_owner),
            (when, asks_owner),
            "{kind} {update} {window:?}"
        );
    }
}

#[test]
fn an_order_can_be_taken_back() {
    let links = json!({ "cancelAction": href("cancelAction/11"), "deploymentBase": href("deploymentBase/8") });
    let mut server = told(&[
        Some(poll(&links)),
        Some(json!({ "id": "11", "cancelAction": { "stopId": "11" } })),
        Some(json!({})),
        Some(json!({})),
    ]);
    let looked = look(&mut server, BASE, &[]).unwrap();
    assert_eq!(
        (looked.cancelled.as_deref(), looked.order),
        (Some("11"), None)
    );
    answer_cancel(&mut server, "11", None).unwrap();
    answer_cancel(&mut server, "11", Some("it runs already")).unwrap();
    let status = |at: usize| (server.sent[at].1.as_str(), &server.sent[at].2["status"]);
    let (path, said) = status(2);
    assert_eq!(path, "cancelAction/11/feedback");
    assert_eq!(
        (&said["execution"], &said["result"]["finished"]),
        (&json!("closed"), &json!("success"))
    );
    assert_eq!(status(3).1["execution"], "rejected");
}

#[test]
fn the_server_is_told_how_it_goes_and_how_it_ended() {
    let mut server = told(&[Some(json!({})), None, Some(json!({}))]);
    assert!(proceed(&mut server, "8", 3, "it is being written").unwrap());
    assert!(
        !proceed(&mut server, "8", 4, "it is being written").unwrap(),
        "it is gone"
    );
    let ended = Ended {
        is_kept: false,
        reason: "x".repeat(2000),
    };
    close(&mut server, "8", &ended).unwrap();
    assert_eq!(
        server.sent[0].2["status"]["result"]["progress"],
        json!({ "cnt": 3, "of": 10 })
    );
    let (method, path, body) = &server.sent[2];
    assert_eq!(
        (*method, path.as_str()),
        (Method::Post, "deploymentBase/8/feedback")
    );
    assert_eq!(body["status"]["result"]["finished"], "failure");
    assert_eq!(body["status"]["details"][0].as_str().unwrap().len(), 500);
}

#[test]
fn nonsense_is_told_and_leads_nowhere() {
    let order = |names: &[&str]| Some(deployment("deployment", "forced", None, names));
    let mut odd = deployment("deployment", "forced", None, &["a.upd"]);
    odd["id"] = "../../8".into();
    let mut plain = deployment("deployment", "forced", None, &["a.upd"]);
    let artifact = &mut plain["deployment"]["chunks"][0]["artifacts"][0];
    artifact["_links"] = json!({ "download-http": { "href": "http://fleet.example/a.upd" } });
    for (link, answer, why) in [
        (href("deploymentBase/8"), order(&[]), "has 0 update bundles"),
        (
            href("deploymentBase/8"),
            order(&["a.upd", "b.upd"]),
            "has 2 update bundles",
        ),
        (href("deploymentBase/8"), Some(odd), "is no id"),
        (
            href("deploymentBase/8"),
            Some(plain),
            "cannot be fetched by https",
        ),
        (
            json!({ "href": "https://elsewhere.example/x" }),
            None,
            "is not behind",
        ),
    ] {
        let mut server = told(&[Some(poll(&json!({ "deploymentBase": link }))), answer]);
        let error = look(&mut server, BASE, &[]).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let error = look(&mut told(&[None]), BASE, &[]).unwrap_err().to_string();
    assert!(error.contains("does not know this device"), "{error}");
    // Whatever it says, a server is asked neither all the time nor never.
    for (sleep, seconds) in [
        ("00:00:00", 30),
        ("99:00:00", 86_400),
        ("soon", 300),
        ("1:2", 300),
        ("00:00:45:1", 300),
    ] {
        let answer = json!({ "config": { "polling": { "sleep": sleep } } });
        let looked = look(&mut told(&[Some(answer)]), BASE, &[]).unwrap();
        assert_eq!(looked.sleep.as_secs(), seconds, "{sleep}");
    }
}
