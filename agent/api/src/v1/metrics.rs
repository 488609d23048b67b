//! Measurements for Prometheus (text format 0.0.4).

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};

use crate::app::{App, lock};

/// Answers the measurements.
pub async fn read(State(app): State<Arc<App>>) -> Response {
    let text = text(&app);
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a stream")]
fn text(app: &App) -> String {
    let mut text = String::new();
    let video = &app.parts.video;
    let is_live = video.state().borrow().is_live();
    let live = app.live.borrow();
    let host_is_on = live.host.as_deref() == Some("configured");
    let mut value = |name: &str, kind: &str, help: &str, value: u64| {
        let name = format!("bakelite_{name}");
        // Writing to memory does not fail.
        let _written = write!(
            text,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
        );
    };
    value(
        "video_live",
        "gauge",
        "Whether pictures come.",
        u64::from(is_live),
    );
    value(
        "video_viewers",
        "gauge",
        "How many watch.",
        video.viewers() as u64,
    );
    value(
        "video_pictures_total",
        "counter",
        "Pictures made.",
        video.published(),
    );
    value(
        "video_units_total",
        "counter",
        "Access units of H.264 made.",
        video.units(),
    );
    value(
        "usb_configured",
        "gauge",
        "Whether the host uses the USB gadget.",
        u64::from(host_is_on),
    );
    value(
        "pages",
        "gauge",
        "Pages that are connected.",
        live.viewers.len() as u64,
    );
    for (leg, meter) in [
        ("encoding", &app.meters.encoding),
        ("sending", &app.meters.sending),
    ] {
        let Some(percentiles) = lock(meter).percentiles() else {
            continue;
        };
        let name = format!("bakelite_video_{leg}_seconds");
        let _written = writeln!(
            text,
            "# HELP {name} From capture to the end of {leg}.\n# TYPE {name} summary"
        );
        for (quantile, micros) in [("0.5", percentiles.p50), ("0.95", percentiles.p95)] {
            let seconds = micros as f64 / 1e6;
            let _written = writeln!(text, "{name}{{quantile=\"{quantile}\"}} {seconds}");
        }
    }
    let streams = app.meters.streams.list();
    for leg in ["sent", "shown"] {
        let name = format!("bakelite_stream_{leg}_seconds");
        let _written = writeln!(
            text,
            "# HELP {name} From capture until a viewer's picture was {leg}.\n# TYPE {name} summary"
        );
        for stream in &streams {
            for (quantile, micros) in stream.quantiles(leg) {
                let (labels, seconds) = (stream.labels(), micros as f64 / 1e6);
                let _written =
                    writeln!(text, "{name}{{{labels},quantile=\"{quantile}\"}} {seconds}");
            }
        }
    }
    text
}
