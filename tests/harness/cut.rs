//! A proxy that ends a program at one of its requests: before the server sees it, or when the server has done
//! what it asks and nobody hears of it.

use std::process::Child;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::bakelite::tool;
use crate::serve::on_loopback;

/// When the program is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The server never sees the request.
    Before,
    /// The server did it; the answer is lost.
    After,
}

#[derive(Debug, Default)]
struct Plan {
    seen: usize,
    cut: Option<(usize, When, u32)>,
}

/// The proxy.
#[derive(Debug, Clone)]
pub struct Cut {
    plan: Arc<Mutex<Plan>>,
    /// Where it listens, without a scheme.
    pub address: String,
}

impl Cut {
    /// Stands before a server, named without a scheme.
    pub fn before(server: &str) -> Self {
        Self::with(server, None)
    }

    /// Stands before a store as the public reads it: the server believes that it knows who asks.
    pub fn public(server: &str) -> Self {
        let known = "AWS4-HMAC-SHA256 Credential=test/20261201/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
        Self::with(server, Some(known))
    }

    fn with(server: &str, authorization: Option<&'static str>) -> Self {
        let plan = Arc::new(Mutex::new(Plan::default()));
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client");
        let state = (plan.clone(), server.to_owned(), client, authorization);
        let router = Router::new().fallback(forward).with_state(state);
        Self {
            plan,
            address: on_loopback(router),
        }
    }

    /// Lets everything through, and counts from nothing.
    pub fn open(&self) {
        *self.plan.lock().expect("no thread panicked") = Plan::default();
    }

    /// Ends the program at its request number `at`, counted from 1.
    pub fn cut(&self, child: &Child, at: usize, when: When) {
        *self.plan.lock().expect("no thread panicked") = Plan {
            seen: 0,
            cut: Some((at, when, child.id())),
        };
    }

    /// Returns how many requests came.
    pub fn seen(&self) -> usize {
        self.plan.lock().expect("no thread panicked").seen
    }
}

type Shared = (
    Arc<Mutex<Plan>>,
    String,
    reqwest::Client,
    Option<&'static str>,
);

async fn forward(
    State((plan, server, client, known)): State<Shared>,
    request: Request,
) -> Response {
    let cut = {
        let mut plan = plan.lock().expect("no thread panicked");
        plan.seen += 1;
        plan.cut.filter(|(at, _, _)| *at == plan.seen)
    };
    if let Some((_, When::Before, child)) = cut {
        return end(child);
    }
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let body = to_bytes(body, usize::MAX).await.expect("a whole request");
    let mut headers = parts.headers;
    headers.remove(header::TRANSFER_ENCODING);
    headers.remove(header::CONTENT_LENGTH);
    if let Some(known) = known {
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static(known));
    }
    let answer = client
        .request(parts.method, format!("http://{server}{path}"))
        .headers(headers)
        .body(body)
        .send()
        .await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    };
    if let Some((_, When::After, child)) = cut {
        drop(answer.bytes().await);
        return end(child);
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    response.headers_mut().remove(header::TRANSFER_ENCODING);
    *response.body_mut() = Body::from(answer.bytes().await.expect("a whole answer"));
    response
}

fn end(child: u32) -> Response {
    let (is_gone, said) = tool("kill", &["-9", &child.to_string()]);
    assert!(is_gone, "{said}");
    StatusCode::GATEWAY_TIMEOUT.into_response()
}
