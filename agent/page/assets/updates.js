// Updates: what is new, how it goes, how the last one ended, and the way back.

import { ask, get } from "./api.js";
import { action, bytes, capital, field, h, moment } from "./dom.js";
import { sendFile } from "./media.js";

/** How often it is looked how it goes, in milliseconds: while something goes on, and while nothing does. */
const OFTEN = 1500;
const SELDOM = 15_000;

const sure = (question) => confirm(question) || "";

/** The panel. It looks by itself for as long as it is open, also while the device restarts. */
export async function updatesPanel({ live }) {
  const isAdmin = live.hello.role === "admin";
  const place = h("div", {});
  const rest = h("div", {});
  let shown = "";
  const draw = (view) => {
    place.replaceChildren(...now(view, isAdmin ? stop : () => false), ...(isAdmin ? offer(view, look) : []), ...(isAdmin ? before(view, look) : []));
    // What somebody is typing must not be drawn over: only what changed is.
    const key = JSON.stringify([view.choices, view.events]);
    if (key !== shown && !rest.contains(document.activeElement)) {
      shown = key;
      rest.replaceChildren(...(isAdmin ? [...choices(view, look), upload(look)] : []), ...history(view));
    }
  };
  let timer = null;
  const look = async () => {
    clearTimeout(timer);
    let wait = OFTEN;
    try {
      const view = await get("update");
      draw(view);
      if (view.doing.what === "rest") wait = SELDOM;
    } catch (error) {
      place.replaceChildren(h("p", { role: "status" }, error.status === 0 ? "The device does not answer: it may be restarting." : error.message));
      if (error.status === 404) return;
    }
    if (place.isConnected || wait === OFTEN) timer = setTimeout(() => place.isConnected && look(), wait);
  };
  draw(await get("update"));
  timer = setTimeout(look, OFTEN);
  return [place, rest];
}

function now(view, stop) {
  const parts = [h("p", {}, "Version ", h("strong", {}, view.version), ` runs, in slot ${view.slot}.`)];
  if (view.problem) parts.push(h("p", { class: "bad", role: "alert" }, `${capital(view.problem)}.`));
  const { doing } = view;
  if (doing.what === "look") parts.push(h("p", { role: "status" }, "Looking what is new…"));
  if (doing.what === "plan") parts.push(h("p", { role: "status" }, "Comparing with what the device has…"));
  if (doing.what === "install") {
    parts.push(h("div", { class: "box" }, h("p", { role: "status" }, `Version ${doing.version} is being written into the other slot. The device works on meanwhile.`),
      h("progress", { max: String(Math.max(doing.total, 1)), value: String(doing.done), "aria-label": "Update" }),
      h("p", { class: "hint" }, `${bytes(doing.done)} of ${bytes(doing.total)} are right; ${bytes(doing.fetched)} fetched, ${bytes(doing.written)} written.`),
      stop("Stop")));
  }
  if (doing.what === "wait") parts.push(h("p", { role: "status" }, `Version ${doing.version} is written, and is tried when the device restarts. `, stop("Do not try it")));
  if (doing.what === "trial") {
    const held = h("ul", { class: "checks" }, doing.checks.map((check) => h("li", { class: check.problem && check.counts && !check["is-pending"] ? "bad" : "" }, check.problem ? `${check["is-pending"] ? "…" : "✗"} ${check.name}: ${check.problem}${check.counts ? "" : " (as before the update: it does not count)"}` : `✓ ${check.name}`)));
    parts.push(h("div", { class: "box" }, h("p", { role: "status" }, `Version ${doing.version} is on trial: ${doing.needed ? `all has been well for ${doing.healthy} of ${doing.needed} seconds. If it does not stay so, the device goes back by itself in ${doing.left} seconds.` : "it has just started."}`), held, stop("Go back now")));
  }
  const { outcome } = view;
  if (outcome && doing.what === "rest") {
    parts.push(h("p", { class: outcome["is-kept"] ? "hint" : "bad" }, outcome["is-kept"] ? `The last update, to version ${outcome.version}, was kept: ${outcome.reason}.` : `The last update, to version ${outcome.version}, was not kept: ${outcome.reason}.`));
  }
  return parts;
}

const stop = (label) => action(label, () => ask("DELETE", "update").then(() => ""));

function offer(view, changed) {
  if (!["rest", "wait"].includes(view.doing.what)) return [];
  const again = view.choices.source && action("Look now", () => ask("POST", "update/look").then(changed));
  if (!view.offer) {
    const words = !view.choices.source ? "No channel is set: say below where updates are published, or install from a file." : view.looked ? `Nothing is newer. Looked ${moment(view.looked)}.` : "It was not looked yet what is new.";
    return [h("p", { class: "hint" }, words), again].filter(Boolean);
  }
  const { offer: one, plan } = view;
  const install = (when) => ask("POST", "update/install", { version: one.version, when }).then(changed);
  const cost = plan?.version === one.version ? `${bytes(plan.fetch)} would be fetched, ${bytes(plan.write)} written.` : `At most ${bytes(one.length)} are fetched: only what differs from what the device has.`;
  return [h("div", { class: "box" }, h("strong", {}, one["is-retreat"] ? `Go to version ${one.version}` : `Version ${one.version} is new`),
    one["is-retreat"] && h("p", { class: "bad" }, "The version that runs was taken back by its makers."),
    one.notes && h("p", {}, one.notes), h("p", { class: "hint" }, `Published ${moment(one.published)}. ${cost}${one["is-due"] ? "" : " Its makers hand it out little by little, and this device's turn is later."}`),
    view["at-night"] === one.version && h("p", { role: "status" }, "It is installed the next night. ", stop("Do not")),
    h("div", { class: "actions" },
      action("Install now", () => sure(`Install version ${one.version}? The device works on while it is written, then restarts once: about a minute without picture and keys.`) && install("now"), { class: "primary" }),
      view["at-night"] !== one.version && action("Install at night", () => install("night")),
      action("Count the bytes", () => ask("POST", "update/plan").then(changed)), again))];
}

function before(view, changed) {
  if (view.doing.what !== "rest") return [];
  if (!view.before) {
    const wrote = view.outcome && !view.outcome["is-kept"];
    return wrote ? [h("p", { class: "hint" }, "There is no version to go back to: the last update was written over it.")] : [];
  }
  const back = () => sure(`Go back to version ${view.before}? The device restarts; settings that were changed since are kept.`) && ask("POST", "update/back").then(changed);
  return [h("p", {}, `Version ${view.before} is still in the other slot. `, action("Go back to it", back))];
}

const hour = (minutes) => `${String(Math.floor(minutes / 60) % 24).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`;

function choices(view, changed) {
  const { choices: chosen } = view;
  // The device keeps minutes of the day in UTC; people think in their own time.
  const offset = -new Date().getTimezoneOffset();
  const day = 1440;
  const local = (minutes) => hour((minutes + offset + day) % day);
  const utc = (text) => (Number(text.slice(0, 2)) * 60 + Number(text.slice(3)) - offset + 2 * day) % day;
  const source = h("input", { id: "update-source", type: "url", value: chosen.source ?? "", autocomplete: "off", spellcheck: "false" });
  const token = h("input", { id: "update-token", type: "password", autocomplete: "off", placeholder: view["has-token"] ? "it has one" : "" });
  const isFleet = () => source.value.trim().startsWith("hawkbit+");
  const tokenField = h("div", { hidden: !isFleet() }, field("Token for the fleet server", token, "As the server has it for this device (target token), or “GatewayToken …”. It is shown nowhere again."));
  source.addEventListener("input", () => (tokenField.hidden = !isFleet()));
  const from = h("input", { type: "time", value: local(chosen["night-from"]) });
  const to = h("input", { type: "time", value: local(chosen["night-from"] + chosen["night-minutes"]) });
  const limit = h("input", { type: "number", min: "1", value: chosen["limit-kib"] ?? "" });
  const most = h("input", { type: "number", min: "1", value: chosen["most-mib"] ?? "" });
  const night = h("div", {}, field("Night begins", from), field("Night ends", to), field("Most that one update may fetch by itself, in MiB", most, "Leave it empty for no limit."));
  const automatic = h("select", { id: "update-automatic", onchange: () => (night.hidden = automatic.value === "off") },
    [["off", "nothing, until somebody looks"], ["look", "look once a day, and say what is new"], ["night", "look, and install at night"]].map(([value, text]) => h("option", { value, selected: value === chosen.automatic }, text)));
  night.hidden = chosen.automatic === "off";
  const save = async () => {
    if (isFleet() && token.value) await ask("PUT", "update/token", { token: token.value });
    return saveChoices();
  };
  const saveChoices = () => ask("PUT", "update/choices", {
    source: source.value.trim() || null, automatic: automatic.value, "night-from": utc(from.value), "night-minutes": (utc(to.value) - utc(from.value) + day) % day,
    "limit-kib": Number(limit.value) || null, "most-mib": Number(most.value) || null,
  }).then(changed).then(() => "Saved.");
  return [h("details", { open: !chosen.source }, h("summary", {}, "What the device does by itself"), field("By itself the device does", automatic), night, field("Most that is fetched in a second, in KiB", limit, "Leave it empty for no limit."),
    field("Channel", source, "Where updates are published: the address of a folder on a web server; or “hawkbit+https://…”, a fleet server that gives orders."), tokenField, action("Save", save, { class: "primary" })),
    !view["firmware-helps"] && h("p", { class: "hint" }, "With this kernel, a version whose kernel dies at once is not taken back by itself: its slot must then be changed on the card (docs/updates.md).")].filter(Boolean);
}

function upload(changed) {
  const file = h("input", { type: "file", id: "update-file", accept: ".upd" });
  const progress = h("progress", { max: "1", value: "0", hidden: true, "aria-label": "Upload" });
  const send = async () => {
    const [chosen] = file.files;
    if (!chosen) throw new Error("Choose a file first.");
    if (!confirm(`Install ${chosen.name}? The device restarts when it is written.`)) return "";
    progress.hidden = false;
    await sendFile(chosen, (share) => (progress.value = share));
    progress.hidden = true;
    await ask("POST", "update/install-upload", { name: chosen.name });
    await changed();
    return "It is being installed.";
  };
  return h("details", {}, h("summary", {}, "Install from a file"), field("Update bundle (.upd)", file, "It must be signed by whoever made this device's image. It stays among the images until you delete it."), progress, action("Upload and install", send));
}

function history(view) {
  if (!view.events.length) return [];
  const rows = [...view.events].reverse().map(({ time, text }) => h("li", {}, h("small", {}, moment(time)), ` ${text}`));
  return [h("details", {}, h("summary", {}, "What happened"), h("ul", { class: "events" }, rows))];
}
