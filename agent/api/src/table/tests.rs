use std::collections::BTreeSet;
use std::path::Path;

use agent_access::audit::AuditLog;
use agent_access::{Access, Credentials, Secret};
use agent_device::claim::ClaimCode;
use agent_device::identity::Identity;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use tower::ServiceExt as _;

use super::*;
use crate::app::Parts;
use crate::guard::{COOKIE, Peer};

fn no_video() -> agent_video::Video {
    let settings = agent_video::Settings {
        device: Some("/nowhere".into()),
        quality: 80,
        bitrate: 1_000_000,
        threads: 1,
    };
    agent_video::Video::start(settings).unwrap().0
}

fn app(folder: &Path) -> Arc<App> {
    App::new(Parts {
        root: folder.into(),
        state: folder.into(),
        names: vec!["kvm.local".into()],
        access: Access::load(folder).unwrap(),
        audit: AuditLog::new(folder.join("audit.jsonl")),
        claim: ClaimCode::load_or_make(folder).unwrap(),
        identity: Identity::load_or_make(folder, &[]).unwrap(),
        atx: agent_power::Atx::default(),
        channels: agent_power::Channels::default(),
        input: Arc::default(),
        passwords_for_clients: false,
        video: no_video(),
        webrtc: None,
        media: agent_media::Store::open(folder).unwrap(),
        helper: agent_helper::Client::new("/nowhere"),
        updater: "/nowhere".into(),
        places: agent_helper::gadget::Places::default(),
        clock: || 1_800_000_000,
    })
}

/// Returns a device with one user a role, and each one's cookie.
async fn app_with_users(folder: &Path) -> (Arc<App>, Vec<(agent_access::Role, Secret)>) {
    let app = app(folder);
    let given = |name: &str| Credentials {
        name: name.into(),
        password: Secret::new("correct horse"),
        code: None,
        address: "192.0.2.1".parse().unwrap(),
        agent: "test".into(),
    };
    let (access, code) = (&app.parts.access, &app.parts.claim);
    access
        .claim(code, code.for_console(), &given("admin"), app.now())
        .await
        .unwrap();
    let mut cookies = Vec::new();
    for role in agent_access::Role::ALL {
        let name = format!("{role:?}").to_lowercase();
        if role != Admin {
            let password = Secret::new("correct horse");
            access
                .add_user(name.parse().unwrap(), role, password)
                .await
                .unwrap();
        }
        let signed_in = access.sign_in(&given(&name), app.now()).await.unwrap();
        cookies.push((role, signed_in.cookie));
    }
    (app, cookies)
}

fn request(method: &Method, path: &str) -> axum::http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "kvm.local")
        .extension(Peer("192.0.2.9:1".parse().unwrap()))
        .extension(agent_https::HangUp::none())
}

async fn answer(app: &Arc<App>, request: Request<Body>) -> Response {
    router(app).oneshot(request).await.unwrap()
}

fn concrete(path: &str) -> String {
    path.replace("{id}", "0").replace("{name}", "x")
}

#[tokio::test]
async fn every_route_asks_every_role_and_nobody_gets_more_than_the_table_says() {
    let folder = tempfile::tempdir().unwrap();
    let (app, cookies) = app_with_users(folder.path()).await;
    for operation in all() {
        let path = concrete(operation.path);
        let plain = request(&operation.method, &path)
            .body(Body::empty())
            .unwrap();
        let status = answer(&app, plain).await.status();
        let is_refused = status == StatusCode::UNAUTHORIZED;
        // Signing in without a body is a bad request, not a refusal.
        assert_eq!(
            is_refused,
            operation.need != Public,
            "{operation:?} for nobody: {status}"
        );
        for (role, cookie) in &cookies {
            // What would end the session comes last, on a device of its own.
            if operation.path == "/api/v1/session" && operation.method == DELETE {
                continue;
            }
            let own = request(&operation.method, &path)
                .header(header::COOKIE, format!("{COOKIE}={}", cookie.reveal()))
                .header(header::ORIGIN, "https://kvm.local")
                .body(Body::empty())
                .unwrap();
            let status = answer(&app, own).await.status();
            let may = match operation.need {
                Public => true,
                Role(needed) => *role >= needed,
            };
            assert_eq!(
                status != StatusCode::FORBIDDEN,
                may,
                "{operation:?} for {role:?}: {status}"
            );
            assert_ne!(
                status,
                StatusCode::UNAUTHORIZED,
                "{operation:?} for {role:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_not_in_the_table_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (app, cookies) = app_with_users(folder.path()).await;
    for (method, path) in [
        (GET, "/api/v1/nothing"),
        (GET, "/healthz/"),
        (GET, "/api/v1/status/../users"),
        (GET, "/%2e%2e/etc/passwd"),
        (DELETE, "/api/v1/status"),
        (POST, "/healthz"),
        (Method::from_bytes(b"PROPFIND").unwrap(), "/"),
    ] {
        let plain = request(&method, path).body(Body::empty()).unwrap();
        let status = answer(&app, plain).await.status();
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}");
        let signed_in = request(&method, path)
            .header(
                header::COOKIE,
                format!("{COOKIE}={}", cookies[2].1.reveal()),
            )
            .body(Body::empty())
            .unwrap();
        let status = answer(&app, signed_in).await.status();
        assert_eq!(status, StatusCode::NOT_FOUND, "{method} {path}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_can_neither_change_anything_nor_open_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let (app, cookies) = app_with_users(folder.path()).await;
    let cookie = format!("{COOKIE}={}", cookies[2].1.reveal());
    let ask = async |method: Method, path: &str, origin: Option<&str>, upgrade: bool| {
        let mut builder = request(&method, path).header(header::COOKIE, &cookie);
        if let Some(origin) = origin {
            builder = builder.header(header::ORIGIN, origin);
        }
        if upgrade {
            builder = builder.header(header::UPGRADE, "websocket");
        }
        answer(&app, builder.body(Body::empty()).unwrap())
            .await
            .status()
    };
    let forbidden = StatusCode::FORBIDDEN;
    let (own, other) = (Some("https://kvm.local"), Some("https://evil.example"));
    for origin in [
        None,
        other,
        Some("null"),
        Some("http://kvm.local"),
        Some("https://kvm.local:8443"),
    ] {
        assert_eq!(
            ask(POST, "/api/v1/keyboard/wake", origin, false).await,
            forbidden,
            "{origin:?}"
        );
        assert_eq!(
            ask(GET, "/api/v1/live", origin, true).await,
            forbidden,
            "{origin:?}"
        );
    }
    assert_ne!(
        ask(POST, "/api/v1/keyboard/wake", own, false).await,
        forbidden
    );
    assert_eq!(ask(GET, "/api/v1/users", None, false).await, StatusCode::OK);
    assert_eq!(ask(GET, "/api/v1/users", other, false).await, forbidden);
}

#[tokio::test]
async fn a_token_needs_no_origin_and_a_foreign_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (app, cookies) = app_with_users(folder.path()).await;
    let admin = app
        .parts
        .access
        .by_cookie(&cookies[2].1, app.now())
        .unwrap();
    let made = app
        .parts
        .access
        .add_token(&admin, "t", Operator, app.now(), 60);
    let token = made.unwrap().1;
    let ask = async |host: &str| {
        let request = Request::builder()
            .method(POST)
            .uri("/api/v1/keyboard/wake")
            .header(header::HOST, host)
            .header(header::AUTHORIZATION, format!("Bearer {}", token.reveal()))
            .extension(Peer("192.0.2.9:1".parse().unwrap()))
            .body(Body::empty())
            .unwrap();
        answer(&app, request).await.status()
    };
    for host in [
        "kvm.local",
        "KVM.local:8443",
        "192.0.2.7",
        "[2001:db8::1]:443",
        "localhost",
    ] {
        assert_eq!(ask(host).await, StatusCode::OK, "{host}");
    }
    for host in [
        "evil.example",
        "kvm.local.evil.example",
        "",
        "192.0.2.7.evil.example",
    ] {
        assert_eq!(ask(host).await, StatusCode::BAD_REQUEST, "{host}");
    }
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let folder = tempfile::tempdir().unwrap();
    let app = app(folder.path());
    for path in [
        "/",
        "/assets/app.js",
        "/healthz",
        "/unknown",
        "/api/v1/users",
    ] {
        let asked = request(&GET, path).body(Body::empty()).unwrap();
        let answer = answer(&app, asked).await;
        assert_eq!(answer.headers()[header::X_FRAME_OPTIONS], "DENY", "{path}");
        let csp = &answer.headers()[header::CONTENT_SECURITY_POLICY];
        assert!(
            csp.to_str().unwrap().starts_with("default-src 'none'"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_cookie_is_one_that_only_this_host_gets() {
    let folder = tempfile::tempdir().unwrap();
    let app = app(folder.path());
    let code = app.parts.claim.for_console().to_owned();
    let body = format!(r#"{{"code":"{code}","user":"ann","password":"correct horse"}}"#);
    let claim = request(&POST, "/api/v1/claim")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .unwrap();
    let answer = answer(&app, claim).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
    for part in [
        "__Host-",
        "; Path=/",
        "; Secure",
        "; HttpOnly",
        "; SameSite=Strict",
    ] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    let log = app.parts.audit.last(1).unwrap();
    assert_eq!(log[0].user.as_deref(), Some("ann"));
}

#[test]
fn the_document_has_every_operation_and_every_shape_it_names() {
    let document = openapi::document(&all());
    let mut ids = BTreeSet::new();
    for operation in all() {
        let method = operation.method.as_str().to_lowercase();
        let entry = &document["paths"][operation.path][method.as_str()];
        assert!(entry["summary"].is_string(), "{operation:?}");
        assert!(ids.insert(entry["operationId"].as_str().unwrap().to_owned()));
    }
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(
            document["components"]["schemas"][name].is_object(),
            "{name}"
        );
    }
}
