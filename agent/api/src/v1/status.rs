//! How the device is, read from the kernel each time it is asked.

use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use crate::app::App;

/// Facts that anyone on the network may know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// `ok`, or what is wrong.
    pub health: &'static str,
    /// Version of the agent.
    pub agent_version: &'static str,
    /// Name and version of the image, if the device was made from one.
    pub image: Option<Image>,
    /// Seconds since the device started.
    pub uptime_seconds: u64,
    /// Whether somebody owns the device already.
    pub claimed: bool,
}

/// The image that the device was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize, JsonSchema)]
pub struct Image {
    /// Name of the recipe.
    pub name: String,
    /// Version of the image.
    pub version: String,
}

/// Answers that the agent is there.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Answers how the device is.
pub async fn status(State(app): State<Arc<App>>) -> Json<Status> {
    Json(Status::read(&app.parts.root, app.parts.access.is_claimed()))
}

impl Status {
    /// Reads the status below `root`, which is `/` on a device.
    pub fn read(root: &Path, claimed: bool) -> Self {
        let uptime = fs_err::read_to_string(root.join("proc/uptime")).unwrap_or_default();
        let image = fs_err::read(root.join("usr/lib/bakelite/image.json")).ok();
        Self {
            health: "ok",
            agent_version: env!("CARGO_PKG_VERSION"),
            image: image.and_then(|bytes| serde_json::from_slice(&bytes).ok()),
            uptime_seconds: uptime
                .split('.')
                .next()
                .and_then(|seconds| seconds.parse().ok())
                .unwrap_or(0),
            claimed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_there_and_does_without_the_rest() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Status::read(root.path(), false).uptime_seconds, 0);
        fs_err::create_dir_all(root.path().join("proc")).unwrap();
        fs_err::create_dir_all(root.path().join("usr/lib/bakelite")).unwrap();
        fs_err::write(root.path().join("proc/uptime"), "42.17 80.00\n").unwrap();
        fs_err::write(
            root.path().join("usr/lib/bakelite/image.json"),
            r#"{"name":"kvm","version":"1"}"#,
        )
        .unwrap();
        let status = Status::read(root.path(), true);
        assert_eq!(status.uptime_seconds, 42);
        assert_eq!(status.image.unwrap().name, "kvm");
    }
}
