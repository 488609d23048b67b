//! The device in kvmd's words.

use agent_helper::{Drive, Writable};
use agent_input::Pointer;
use agent_video::VideoState;
use serde_json::{Map, Value, json};

use crate::app::{App, lock};
use crate::v1::status::Status;

/// What a client chose for the drive; it is inserted when the client connects the drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Name of the image.
    pub image: String,
    /// As what.
    pub drive: Drive,
    /// Whether the host may write.
    pub writable: Writable,
}

/// `/api/info`.
pub fn info(app: &App) -> Value {
    let status = Status::read(&app.parts.root, app.parts.access.is_claimed());
    let host = app.parts.names.first().cloned().unwrap_or_default();
    json!({
        "auth": { "enabled": true },
        "extras": {},
        "fan": { "monitored": false, "state": null },
        "hw": {
            "health": { "temp": {}, "throttling": null },
            "platform": { "type": "rpi", "base": "Raspberry Pi", "board": "bakelite", "model": "bakelite", "video": "v4l2", "serial": "" },
        },
        "meta": { "server": { "host": host }, "kvm": {} },
        "system": {
            "kvmd": { "version": "4.20" },
            "bakelite": { "version": status.agent_version, "uptime": status.uptime_seconds },
            "streamer": { "app": "bakelite", "version": status.agent_version, "features": {} },
            "kernel": { "system": "Linux", "machine": std::env::consts::ARCH, "release": "", "version": "" },
        },
    })
}

/// `/api/hid`.
pub fn hid(app: &App) -> Value {
    let live = app.live.borrow();
    let is_online = live.host.as_deref() == Some("configured");
    let leds = live.leds.unwrap_or_default();
    let is_absolute = app.parts.input.pointer() == Pointer::Absolute;
    let interval = app.settings.borrow().jiggle_after;
    json!({
        "online": is_online,
        "enabled": true,
        "busy": false,
        "connected": null,
        "jiggler": { "enabled": true, "active": interval > 0, "interval": if interval > 0 { interval } else { 60 } },
        "keyboard": {
            "online": is_online,
            "leds": { "caps": leds.caps, "num": leds.num, "scroll": leds.scroll },
            "outputs": { "active": "", "available": [] },
        },
        "mouse": {
            "online": is_online,
            "absolute": is_absolute,
            "outputs": { "active": if is_absolute { "usb" } else { "usb_rel" }, "available": ["usb", "usb_rel"] },
        },
    })
}

/// `/api/msd`.
pub fn msd(app: &App) -> Value {
    let store = &app.parts.media;
    let free = store.free().unwrap_or(0);
    let mut images = Map::new();
    let mut used = 0;
    for entry in store.list().unwrap_or_default() {
        used += entry.received;
        let image = json!({
            "complete": entry.received == entry.size,
            "in_storage": true,
            "removable": true,
            "size": entry.size,
            "mod_ts": 0,
        });
        images.insert(entry.name.to_string(), image);
    }
    let live = app.live.borrow();
    let has_drive = live.gadget.as_ref().is_some_and(|gadget| gadget.has_drive);
    let chosen = lock(&app.chosen).clone();
    let inserted = live.drive.clone();
    let is_connected = inserted.is_some();
    let shown = inserted.map(|drive| Chosen {
        image: drive.image,
        drive: drive.drive,
        writable: drive.writable,
    });
    let shown = shown.or(chosen);
    let image = shown.as_ref().map(|shown| {
        let known = images
            .get(&shown.image)
            .cloned()
            .unwrap_or_else(|| json!({ "complete": true }));
        merged(known, json!({ "name": shown.image }))
    });
    json!({
        "enabled": true,
        "online": has_drive,
        "busy": false,
        "drive": {
            "image": image,
            "cdrom": shown.as_ref().is_none_or(|shown| shown.drive == Drive::Cd),
            "rw": shown.as_ref().is_some_and(|shown| shown.writable == Writable::ReadWrite),
            "connected": is_connected,
        },
        "storage": {
            "images": images,
            "parts": { "": { "size": free + used, "free": free, "writable": true } },
            "downloading": null,
            "uploading": null,
        },
    })
}

/// `/api/streamer`.
pub fn streamer(app: &App) -> Value {
    let video = &app.parts.video;
    let state = video.state().borrow().clone();
    let quality = video.quality();
    let (width, height) = match &state {
        VideoState::Live { width, height, .. } => (*width, *height),
        _ => (0, 0),
    };
    let running = json!({
        "instance_id": "",
        "encoder": { "type": "CPU", "quality": quality },
        "source": {
            "online": state.is_live(),
            "resolution": { "width": width, "height": height },
            "captured_fps": 0,
            "desired_fps": 0,
        },
        "sinks": { "jpeg": { "has_clients": video.viewers() > 0 } },
        "stream": { "clients": video.viewers(), "clients_stat": {}, "queued_fps": 0 },
    });
    json!({
        "features": { "quality": true, "resolution": false, "h264": false, "zoom": false },
        "limits": { "desired_fps": { "min": 0, "max": 120 } },
        "params": { "quality": quality, "desired_fps": 0 },
        "snapshot": { "saved": null },
        "streamer": if state == VideoState::Idle { Value::Null } else { running },
    })
}

fn merged(mut one: Value, other: Value) -> Value {
    if let (Value::Object(one), Value::Object(other)) = (&mut one, other) {
        one.extend(other);
    }
    one
}
