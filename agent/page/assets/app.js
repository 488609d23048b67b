// The page: claim, sign in, or the console.

import { Refused, ask, get } from "./api.js";
import { action, field, h, icon } from "./dom.js";
import { Input } from "./input.js";
import { keyboardPanel, pastePanel, shortcutsPanel } from "./keyboard.js";
import { Live } from "./live.js";
import { networkPanel } from "./network.js";
import { mediaPanel } from "./media.js";
import { peoplePanel } from "./people.js";
import { powerPanel } from "./power.js";
import { Screen } from "./screen.js";
import { devicePanel, picturePanel } from "./settings.js";
import { updatesPanel } from "./updates.js";

const PANELS = [
  ["keyboard", "keyboard", "Keyboard", keyboardPanel, true],
  ["shortcuts", "command", "Shortcuts", shortcutsPanel, true],
  ["paste", "paste", "Paste", pastePanel, true],
  ["power", "power", "Power", powerPanel, true],
  ["media", "disc", "Media", mediaPanel, true],
  ["picture", "screen", "Picture", picturePanel, false],
  ["people", "people", "People", peoplePanel, false],
  ["network", "network", "Network", networkPanel, false],
  ["updates", "update", "Updates", updatesPanel, false],
  ["device", "gear", "Device", devicePanel, false],
];

let running = null;

function show(...parts) {
  document.body.replaceChildren(...parts);
}

function card(title, ...parts) {
  show(h("main", { class: "narrow card" }, h("div", { class: "brand" }, h("span", { class: "mark" }), "Bakelite"), h("h1", {}, title), ...parts));
}

function form(submit, label, ...fields) {
  const note = h("p", { class: "note bad", role: "alert" });
  const button = h("button", { class: "primary" }, label);
  return h("form", { onsubmit: async (event) => {
    event.preventDefault();
    button.disabled = true;
    note.textContent = "";
    try {
      await submit();
      await start();
    } catch (error) {
      note.textContent = error.message;
    }
    button.disabled = false;
  } }, fields, button, note);
}

function claim() {
  const code = h("input", { id: "code", autocomplete: "off", autocapitalize: "characters", required: true, placeholder: "XXXX-XXXX-XXXX" });
  const user = h("input", { id: "user", autocomplete: "username", autocapitalize: "none", required: true, value: "admin" });
  const password = h("input", { id: "password", type: "password", autocomplete: "new-password", required: true, minlength: "8" });
  card("This device is new",
    h("p", {}, "Whoever knows its code owns it. The code is on the device's own screen or serial console, and in the file ", h("code", {}, "claim-code.txt"), " of its boot partition."),
    form(() => ask("POST", "claim", { code: code.value, user: user.value, password: password.value }), "Make it mine",
      field("Code of the device", code), field("Your name", user, "Lower-case letters and digits."), field("Password", password, "At least 8 characters. Nobody can tell it to you later.")));
}

function signIn(message) {
  const user = h("input", { id: "user", autocomplete: "username", autocapitalize: "none", required: true });
  const password = h("input", { id: "password", type: "password", autocomplete: "current-password", required: true });
  const code = h("input", { id: "code", inputmode: "numeric", autocomplete: "one-time-code", maxlength: "6" });
  card("Sign in", message && h("p", { class: "bad", role: "alert" }, message),
    form(() => ask("POST", "session", { user: user.value, password: password.value, code: code.value || undefined }), "Sign in",
      field("Name", user), field("Password", password), field("Code of your authenticator", code, "Only if you have set one up.")));
  user.focus();
}

function leave(message) {
  running?.live.close();
  running?.screen.stop();
  running = null;
  signIn(message);
}

function console_() {
  const live = new Live();
  const screen = new Screen(live);
  const input = new Input(live, screen.element, () => screen.box());
  running = { live, screen, input };
  const panel = h("aside", { class: "panel", hidden: true, "aria-live": "polite" });
  const tools = h("nav", { class: "tools", "aria-label": "Tools" });
  const status = h("p", { class: "status" });
  const control = h("div", { class: "control" });
  const body = h("div", { class: "console" }, h("header", { class: "top" }, h("div", { class: "brand" }, h("span", { class: "mark" }), h("span", {}, location.hostname)), status, control), screen.element, panel, tools);

  let open = null;
  const toggle = async (name, label, make) => {
    const wasOpen = open === name;
    open = wasOpen ? null : name;
    panel.hidden = wasOpen;
    panel.className = `panel ${name}`;
    for (const button of tools.querySelectorAll("[data-panel]")) button.setAttribute("aria-expanded", String(button.dataset.panel === open));
    if (wasOpen) {
      screen.element.focus();
      return;
    }
    const close = h("button", { class: "quiet", "aria-label": "Close", onclick: () => toggle(name, label, make) }, icon("close"));
    const head = h("div", { class: "head" }, h("h2", {}, label), close);
    panel.replaceChildren(head, h("p", { class: "hint" }, "One moment…"));
    try {
      const parts = await make(running);
      if (open === name) panel.replaceChildren(head, ...parts.filter(Boolean));
    } catch (error) {
      if (open === name) panel.replaceChildren(head, h("p", { class: "bad" }, error.message));
    }
  };
  const button = (name, picture, label, onclick) => h("button", { type: "button", title: label, "data-panel": name, onclick }, icon(picture), h("span", {}, label));
  const draw = () => {
    tools.replaceChildren(
      ...PANELS.filter(([, , , , operates]) => !operates || live.mayOperate).map(([name, picture, label, make]) => button(name, picture, label, () => toggle(name, label, make))),
      button(null, "mouse", "Capture mouse", () => captureMouse(input, screen, tools)),
      button(null, "full", "Full screen", () => fullScreen(screen)),
    );
    for (const one of tools.querySelectorAll("[data-panel=null]")) delete one.dataset.panel;
  };
  let drawn = false;
  live.addEventListener("state", () => {
    if (!drawn) draw();
    drawn = true;
    status.textContent = sentence(live.state);
    control.replaceChildren(...whoControls(live));
  });
  live.addEventListener("revoked", () => leave("Your session was ended."));
  live.addEventListener("refused", ({ detail }) => {
    if (detail.error === "busy") status.textContent = detail.message;
  });
  show(body);
  screen.element.focus();
}

function sentence(state) {
  const hosts = { configured: "USB connected", suspended: "The host is asleep", "not attached": "USB not connected", null: "No USB controller" };
  const usb = hosts[state.host] ?? `USB ${state.host}`;
  const picture = state.video.state === "live" ? state["video-sentence"] : "no picture";
  return [usb, picture, state.leds?.caps && "Caps Lock", state.drive && `${state.drive.image} inserted`, state["audit-fails"] && "the audit log cannot be written: is the disk full?"].filter(Boolean).join(" · ");
}

function whoControls(live) {
  const { holder, requests } = live.state.control;
  const own = live.hello?.viewer;
  const sign = h("button", { class: "quiet", onclick: () => ask("DELETE", "session").then(() => leave()) }, "Sign out");
  const asked = requests.find((request) => request.viewer !== own);
  if (holder?.viewer === own && asked) {
    return [h("span", { class: "chip ask" }, `${asked.user} asks for control`), h("button", { class: "primary", onclick: () => live.send("hand-over", { viewer: asked.viewer }) }, "Hand over"), h("button", { class: "quiet", onclick: () => live.send("refuse", { viewer: asked.viewer }) }, "Refuse"), sign];
  }
  if (!live.mayOperate) return [h("span", { class: "chip" }, holder ? `${holder.user} controls` : "You look"), sign];
  if (!holder) return [h("span", { class: "chip" }, "Nobody controls: click the picture"), sign];
  if (holder.viewer === own) return [h("span", { class: "chip own" }, "You control"), sign];
  const waits = requests.some((request) => request.viewer === own);
  const parts = [h("span", { class: "chip" }, `${holder.user} controls`), h("button", { class: "primary", disabled: waits, onclick: () => live.send("request-control") }, waits ? "Asked…" : "Ask for control")];
  if (live.hello?.role === "admin") parts.push(h("button", { class: "quiet", onclick: () => live.send("seize-control") }, "Take it"));
  return [...parts, sign];
}

function captureMouse(input, screen, tools) {
  input.relative = !input.relative;
  // A tablet has no pointer to lock: fingers then move the mouse as on a touch pad.
  if (input.relative) screen.element.requestPointerLock?.()?.catch?.(() => {});
  else document.exitPointerLock?.();
  tools.querySelector("[title='Capture mouse']").setAttribute("aria-pressed", String(input.relative));
  screen.element.focus();
}

async function fullScreen(screen) {
  await screen.element.requestFullscreen();
  // Escape and the like then go to the machine; holding Escape leaves.
  await navigator.keyboard?.lock?.();
  screen.element.focus();
}

/** Somebody came by the link of a change of the address: that shows that the new one works. */
async function keepAddress(token) {
  history.replaceState(null, "", "/");
  try {
    await ask("POST", "network/keep", { token });
    card("This address works", h("p", {}, `From now on the device is at ${location.hostname}. Keep a bookmark of it.`), action("Go on", start, { class: "primary" }));
  } catch (error) {
    card("The address was not kept", h("p", { class: "bad", role: "alert" }, error.message), action("Go on", start, { class: "primary" }));
  }
}

async function start() {
  const keep = location.hash.match(/^#keep=([0-9a-f]+)$/);
  if (keep) return keepAddress(keep[1]);
  const status = await get("status");
  if (!status.claimed) return claim();
  try {
    await get("session");
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return signIn();
    throw error;
  }
  return console_();
}

window.addEventListener("signed-out", () => running && leave("Your session was ended."));
start().catch((error) => card("The device does not answer", h("p", { class: "bad" }, error.message), action("Try again", start, { class: "primary" })));
