//! Operations: how one is described, and how a table of them becomes a router.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware;
use axum::routing::{MethodFilter, MethodRouter, on};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::app::App;
use crate::guard::{self, Need};

/// One operation: a method on a path.
pub struct Operation {
    /// GET, PUT, POST, PATCH or DELETE.
    pub method: Method,
    /// The path, with `{names}`.
    pub path: &'static str,
    /// Who may.
    pub need: Need,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// What it takes in its body.
    pub takes: Body,
    /// What it answers in its body.
    pub gives: Body,
    /// Names in the query.
    pub query: &'static [&'static str],
    handler: Box<dyn FnOnce(Arc<App>) -> MethodRouter<Arc<App>> + Send>,
}

/// What a body is.
#[derive(Debug)]
pub enum Body {
    /// Nothing.
    Empty,
    /// JSON of a shape.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// Bytes of a media type.
    Bytes(&'static str),
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {:?}", self.method, self.path, self.need)
    }
}

impl Operation {
    /// Describes an operation with its handler.
    pub fn new<H, T>(
        method: Method,
        path: &'static str,
        need: Need,
        summary: &'static str,
        handler: H,
    ) -> Self
    where
        H: Handler<T, Arc<App>> + Send,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("a common method");
        Self {
            method,
            path,
            need,
            summary,
            takes: Body::Empty,
            gives: Body::Empty,
            query: &[],
            handler: Box::new(move |app| {
                let check = middleware::from_fn_with_state((app, need), guard::check);
                on(filter, handler).layer(check)
            }),
        }
    }

    /// Describes an operation for clients of the `PiKVM` kind.
    pub fn for_clients<H, T>(
        method: Method,
        path: &'static str,
        need: Need,
        summary: &'static str,
        handler: H,
    ) -> Self
    where
        H: Handler<T, Arc<App>> + Send,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("a common method");
        let own = Self::new(method, path, need, summary, async || ());
        Self {
            gives: Body::Bytes("application/json"),
            handler: Box::new(move |app| {
                let check = middleware::from_fn_with_state((app, need), guard::check_client);
                on(filter, handler).layer(check)
            }),
            ..own
        }
    }

    /// Says what it takes.
    #[must_use]
    pub fn takes<T: JsonSchema>(mut self) -> Self {
        self.takes = Body::Json(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// Says what it answers.
    #[must_use]
    pub fn gives<T: JsonSchema>(mut self) -> Self {
        self.gives = Body::Json(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// Says that it takes bytes.
    #[must_use]
    pub fn takes_bytes(mut self, media_type: &'static str) -> Self {
        self.takes = Body::Bytes(media_type);
        self
    }

    /// Says that it answers bytes.
    #[must_use]
    pub fn gives_bytes(mut self, media_type: &'static str) -> Self {
        self.gives = Body::Bytes(media_type);
        self
    }

    /// Says what may be in the query.
    #[must_use]
    pub fn query(mut self, names: &'static [&'static str]) -> Self {
        self.query = names;
        self
    }
}

/// Makes the router. What is not in the table is refused.
pub fn router(app: &Arc<App>, table: Vec<Operation>) -> Router {
    let mut router = Router::new();
    for operation in table {
        let handler = (operation.handler)(Arc::clone(app));
        router = router.route(operation.path, handler);
    }
    router
        .fallback(guard::nowhere)
        .method_not_allowed_fallback(guard::nowhere)
        .layer(middleware::from_fn_with_state(
            Arc::clone(app),
            guard::check_host,
        ))
        .layer(middleware::from_fn(guard::harden))
        .with_state(Arc::clone(app))
}
