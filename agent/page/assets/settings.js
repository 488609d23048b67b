// How the device shows the picture and what the machine sees of it.

import { ask, get } from "./api.js";
import { action, capital, field, h } from "./dom.js";
import { choose, chosen } from "./transports.js";

const PROFILES = [["full", "Keyboard, both mice and a drive"], ["bios-safe", "Keyboard only, for firmware that is confused by more"], ["mac", "Keyboard, mouse and a drive, for Macs"]];

const sure = (question) => confirm(question) || "";

const options = (pairs, chosen) => pairs.map(([value, text]) => h("option", { value, selected: value === chosen }, text));

const WAYS = [["auto", "the best that works"], ["webrtc", "WebRTC: the shortest delay"], ["websocket", "H.264 over a WebSocket"], ["mjpeg", "JPEG pictures"]];

/** The picture. */
export async function picturePanel({ live, screen }) {
  const video = await get("video");
  const quality = h("input", { type: "range", min: "10", max: "100", value: String(video.quality) });
  const facts = h("dl", {});
  const fact = (name, value) => value && facts.append(h("dt", {}, name), h("dd", {}, value));
  const milliseconds = (leg) => leg && `${(leg.p50 / 1000).toFixed(1)} ms, ${(leg.p95 / 1000).toFixed(1)} ms in 95 of 100`;
  fact("State", video.sentence);
  fact("Device", video.source && `${video.source.card}, ${video.source.bus}`);
  fact("H.264 by", video.encoder && (video.encoder.startsWith("/") ? `the device's own encoder (${video.encoder})` : video.encoder));
  fact("Capture to encoded", milliseconds(video.encoding));
  fact("Capture to sent", milliseconds(video.sending));
  for (const stream of video.streams) fact(`${stream.user}, by ${WAYS.find(([name]) => name === stream.transport)[1].split(":")[0]}`, milliseconds(stream.shown ?? stream.sending));
  const way = h("select", { id: "way", onchange: () => {
    choose(way.value);
    screen.start();
  } }, options(WAYS, chosen()));
  const rate = h("select", {}, options([[1, "1 Mbit/s"], [2, "2 Mbit/s"], [5, "5 Mbit/s"], [10, "10 Mbit/s"], [20, "20 Mbit/s"]].map(([value, text]) => [String(value * 1e6), text]), String(video.bitrate)));
  const save = () => ask("PATCH", "video", { quality: Number(quality.value), bitrate: Number(rate.value) }).then(() => "It counts from the next picture.");
  const parts = [facts, field("How pictures come to this browser", way), live.mayOperate && field("Quality of JPEG pictures", quality, "Dongles that send JPEG themselves are passed on untouched."), live.mayOperate && field("Bits of H.264", rate),
    h("div", { class: "actions" }, live.mayOperate && action("Use these", save, { class: "primary" }),
      h("a", { class: "button", href: "/api/v1/video/snapshot.jpg", download: "screen.jpg" }, "Save a picture"))];
  try {
    const edid = await get("video/edid");
    const preset = h("select", {}, options(edid.presets.map((name) => [name, name]), edid.preferred));
    parts.push(h("h3", {}, "What the machine is told of its screen (EDID)"), h("p", {}, `${edid.maker} ${edid.name ?? ""}, prefers ${edid.preferred}`), field("Preset", preset),
      action("Set it", () => ask("PUT", "video/edid", { preset: preset.value }).then(() => "The machine sees the cable pulled and put in again.")));
  } catch (error) {
    parts.push(h("p", { class: "hint" }, error.message));
  }
  return parts;
}

/** USB, one's own password and second factor. */
export async function devicePanel({ live }) {
  const gadget = await get("gadget");
  const parts = [h("h3", {}, "USB")];
  if (gadget.problem) parts.push(h("p", { class: "bad" }, gadget.problem));
  const profile = h("select", {}, options(PROFILES, gadget.profile));
  const jiggle = h("select", {}, options([["0", "never"], ["60", "after a minute"], ["300", "after five minutes"]], String(gadget["jiggle-after"])));
  parts.push(h("p", {}, `The machine: ${gadget.host ?? "no USB controller"}.`), field("What the machine sees", profile),
    h("div", { class: "actions" }, action("Use this profile", () => ask("PATCH", "gadget", { profile: profile.value }).then(() => "The plug was pulled and put in again."), { class: "primary" }),
      action("Pull the plug", () => ask("PATCH", "gadget", { connected: false })), action("Put it in", () => ask("PATCH", "gadget", { connected: true }))),
    field("Move the mouse a little when nobody does", jiggle), action("Save", () => ask("PATCH", "gadget", { "jiggle-after": Number(jiggle.value) }).then(() => "Saved.")));
  const old = h("input", { type: "password", autocomplete: "current-password" });
  const fresh = h("input", { type: "password", autocomplete: "new-password" });
  const change = async () => {
    await ask("PUT", "session/password", { old: old.value, new: fresh.value });
    return "Changed. Your other sessions have ended.";
  };
  parts.push(h("h3", {}, "Your password"), field("Password so far", old), field("New password", fresh, "At least 8 characters."), action("Change it", change), h("h3", {}, "Second factor"), secondFactor(),
    live.hello.role === "admin" && h("h3", {}, "Restart"),
    live.hello.role === "admin" && h("div", { class: "actions" }, action("Restart it", () => sure("Restart the device? Everybody is disconnected for a minute.") && ask("POST", "device/restart").then(() => "It restarts; this page comes back by itself.")),
      action("Switch it off", () => sure("Switch the device off? Somebody has to pull its plug to start it again.") && ask("POST", "device/power-off").then(() => "It switches off."))),
    h("h3", {}, "For programs"), h("p", {}, h("a", { href: "/api/v1/openapi.json" }, "OpenAPI document"), " · ", h("a", { href: "/api/v1/metrics" }, "Measurements for Prometheus")));
  if (!live.mayOperate) parts.splice(0, 7);
  return [...(await deviceFacts(live)), ...parts];
}

/** The device itself: how it is, its name, its log, and the way back to the beginning. */
async function deviceFacts(live) {
  const device = await get("device");
  const facts = h("dl", {});
  const fact = (name, value) => value && facts.append(h("dt", {}, name), h("dd", {}, value));
  const gibibytes = (bytes) => bytes && `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  fact("Board", device.model);
  fact("Temperature", device.temperature && `${device.temperature.toFixed(0)} °C`);
  fact("Memory", device.memory && `${gibibytes(device["memory-free"])} of ${gibibytes(device.memory)} free`);
  fact("Room for images", gibibytes(device["storage-free"]));
  fact("Clock", `${new Date(device.time * 1000).toLocaleString()}${device["is-clock-set"] ? "" : ", not set by a time server"}`);
  fact("Kernel", device.kernel);
  const parts = [h("h3", {}, "This device"), ...device.warnings.map((warning) => h("p", { class: "bad", role: "alert" }, `${capital(warning)}.`)), facts];
  if (live.hello.role !== "admin") return parts;
  const name = h("input", { id: "host-name", value: device["host-name"], autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
  const rename = async () => {
    await ask("PUT", "device/name", { "host-name": name.value.trim() });
    return `The device is now ${name.value.trim()}.local. This page comes back in a moment.`;
  };
  const again = h("input", { id: "reset-name", autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
  const reset = () => ask("POST", "device/factory-reset", { "host-name": again.value.trim() }).then(() => "The device starts as if it were new. Its code is on its console and boot partition.");
  const log = h("pre", { class: "log", tabindex: "0", hidden: true });
  const showLog = async () => {
    log.textContent = await (await fetch("/api/v1/logs?lines=200")).text();
    log.hidden = false;
    log.scrollTop = log.scrollHeight;
  };
  return [...parts, field("Name", name, "Letters, digits and hyphens. The device is reached at NAME.local."), action("Rename", rename),
    h("h3", {}, "Log"), h("p", { class: "hint" }, "Addresses, names, cards and secrets are taken out, so that it can be shown to others."),
    h("div", { class: "actions" }, action("Show the log", showLog), h("a", { class: "button", href: "/api/v1/logs?lines=20000&download=true", download: "device.log" }, "Save the log"),
      h("a", { class: "button quiet", href: "/api/v1/logs?lines=20000&download=true&keep=address,card,name,secret", download: "device.log" }, "Save it with everything")), log,
    h("details", {}, h("summary", {}, "Back to the beginning"), h("p", {}, "All users, images, settings and the network's settings are deleted, and the device gets a new key. There is no way back."), field("Type the device's name", again), action("Delete everything", reset, { class: "danger" }))];
}

function secondFactor() {
  const place = h("div", {});
  const begin = async () => {
    const offer = await ask("POST", "session/second-factor");
    const code = h("input", { inputmode: "numeric", autocomplete: "one-time-code", maxlength: "6" });
    place.replaceChildren(h("p", {}, "Give this key to your authenticator, then type the code that it shows."), h("output", { class: "secret" }, offer.key),
      field("Code", code), action("Switch it on", () => ask("PUT", "session/second-factor", { key: offer.key, code: code.value }).then(() => "From now on, signing in asks for a code."), { class: "primary" }));
  };
  place.append(action("Set up an authenticator", begin));
  return place;
}
