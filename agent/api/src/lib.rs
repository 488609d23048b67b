//! What can be asked over HTTPS. In: requests. Out: answers, and a stream of what changes.
//!
//! [`routes`] is one table: path, role, documentation and handler of each operation. The router, the
//! guard before every handler, the OpenAPI document and the test that walks routes × roles are all
//! made from it, so no route is open by omission.

pub mod settings;
pub mod streams;
pub mod meters;
pub mod app;
pub mod failure;
pub mod guard;
pub mod routes;
pub mod openapi;
pub mod live;
pub mod v1;
pub mod page;
pub mod pikvm;
mod table;

pub use app::{App, Parts};
pub use guard::Peer;
pub use settings::Settings;
pub use table::{all, router};
