//! How far each disk is, while it is written.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use flash::Device;
use flash::write::{Spread, Stage};
use serde_json::json;

use crate::ui::{Ui, size};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// Shows it until it is over.
pub(super) fn show(
    ui: &mut Ui,
    devices: &[&Device],
    spread: &[Spread<'_>],
    total: Option<u64>,
    is_over: &Receiver<()>,
) {
    let began = Instant::now();
    // The other end is dropped when it is over.
    while let Err(RecvTimeoutError::Timeout) = is_over.recv_timeout(LOOK) {
        let mut lines = Vec::new();
        let mut entries = Vec::new();
        for (device, one) in devices.iter().zip(spread) {
            let written = one.report.written.load(Ordering::Relaxed);
            let read_back = one.report.read_back.load(Ordering::Relaxed);
            let (word, done) = match one.report.stage() {
                Stage::Clear => ("clearing", 0),
                Stage::Write => ("writing", written),
                Stage::Verify => ("reading back", read_back),
                Stage::Finish => ("finishing", read_back.max(written)),
            };
            let share = total.filter(|total| *total > 0);
            let share =
                share.map_or_else(String::new, |total| format!(" {} %", done * 100 / total));
            let alone = if one.report.is_alone() { ", slow" } else { "" };
            let node = device.node.display();
            lines.push(format!("{node} {word}{share}{alone}"));
            entries.push(json!({ "device": device.node, "stage": one.report.stage(), "written": written, "read-back": read_back }));
        }
        // Of the slowest: when it is there, all are.
        let written = spread
            .iter()
            .map(|one| one.report.written.load(Ordering::Relaxed))
            .min();
        let millis = u64::try_from(began.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        let rate = written.unwrap_or(0).saturating_mul(1000) / millis;
        let left = total.zip(written).filter(|_| rate > 0);
        let left = left.map_or_else(String::new, |(total, written)| {
            format!(", {} s left to write", total.saturating_sub(written) / rate)
        });
        let text = format!("{} · {}/s{left}", lines.join(" · "), size(rate));
        ui.progress(&text, &json!({ "event": "flash", "devices": entries }));
    }
}
