// The keyboard on the screen, shortcuts, and pasted text.

import { ask, get } from "./api.js";
import { action, field, h } from "./dom.js";

const ROWS = [
  ["Escape", "F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10", "F11", "F12", "PrintScreen", "ScrollLock", "Pause"],
  ["Backquote", "Digit1", "Digit2", "Digit3", "Digit4", "Digit5", "Digit6", "Digit7", "Digit8", "Digit9", "Digit0", "Minus", "Equal", "Backspace:2", "Insert", "Home", "PageUp"],
  ["Tab:1.5", "KeyQ", "KeyW", "KeyE", "KeyR", "KeyT", "KeyY", "KeyU", "KeyI", "KeyO", "KeyP", "BracketLeft", "BracketRight", "Backslash:1.5", "Delete", "End", "PageDown"],
  ["CapsLock:1.75", "KeyA", "KeyS", "KeyD", "KeyF", "KeyG", "KeyH", "KeyJ", "KeyK", "KeyL", "Semicolon", "Quote", "Enter:2.25", "ArrowUp"],
  ["ShiftLeft:1.25", "IntlBackslash", "KeyZ", "KeyX", "KeyC", "KeyV", "KeyB", "KeyN", "KeyM", "Comma", "Period", "Slash", "ShiftRight:2.75", "ArrowLeft", "ArrowDown", "ArrowRight"],
  ["ControlLeft:1.25", "MetaLeft:1.25", "AltLeft:1.25", "Space:6", "AltRight:1.25", "MetaRight:1.25", "ContextMenu:1.25", "ControlRight:1.25"],
];
const NAMES = {
  Escape: "Esc", PrintScreen: "Print", ScrollLock: "Scroll", Backspace: "⌫", Insert: "Ins", PageUp: "Pg ↑", PageDown: "Pg ↓", Delete: "Del",
  Tab: "Tab", CapsLock: "Caps", Enter: "Enter", ShiftLeft: "Shift", ShiftRight: "Shift", ControlLeft: "Ctrl", ControlRight: "Ctrl",
  AltLeft: "Alt", AltRight: "AltGr", MetaLeft: "Meta", MetaRight: "Meta", ContextMenu: "Menu", Space: "", ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→",
};
const MODIFIERS = /^(Shift|Control|Alt|Meta)/;
const SHORTCUTS = [
  ["Ctrl + Alt + Del", ["ControlLeft", "AltLeft", "Delete"]],
  ["Alt + Tab", ["AltLeft", "Tab"]],
  ["Alt + F4", ["AltLeft", "F4"]],
  ["Meta", ["MetaLeft"]],
  ["Meta + L", ["MetaLeft", "KeyL"]],
  ["Meta + R", ["MetaLeft", "KeyR"]],
  ["Ctrl + Alt + T", ["ControlLeft", "AltLeft", "KeyT"]],
  ["Ctrl + Shift + Esc", ["ControlLeft", "ShiftLeft", "Escape"]],
  ["Ctrl + Alt + F1", ["ControlLeft", "AltLeft", "F1"]],
  ["Ctrl + Alt + F2", ["ControlLeft", "AltLeft", "F2"]],
  ["Print Screen", ["PrintScreen"]],
  ["Alt + Print Screen", ["AltLeft", "PrintScreen"]],
  ["Cmd + Space", ["MetaLeft", "Space"]],
  ["Cmd + Option + Esc", ["MetaLeft", "AltLeft", "Escape"]],
];

const remembered = () => localStorage.getItem("layout") ?? guess();

function guess() {
  const language = navigator.language.toLowerCase();
  const known = { "en-gb": "gb", "pt-br": "br", "de-ch": "ch", "fr-ch": "ch-fr", "fr-ca": "ca", "fr-be": "be", da: "dk", sv: "se", cs: "cz", ja: "jp", el: "gr", et: "ee", nb: "no", sl: "si", uk: "ua", he: "il", en: "us" };
  return known[language] ?? known[language.split("-")[0]] ?? language.split("-")[0];
}

/** Makes the choice of the machine's layout. It is remembered in this browser. */
async function layoutChoice(changed) {
  const layouts = await get("keyboard/layouts");
  const wanted = layouts.some((layout) => layout.name === remembered()) ? remembered() : "us";
  const options = layouts.map(({ name, title }) => h("option", { value: name, selected: name === wanted }, title));
  return h("select", { onchange: (event) => {
    localStorage.setItem("layout", event.target.value);
    changed?.(event.target.value);
  } }, options);
}

/** The keyboard on the screen. Modifiers stay down until another key was pressed. */
export async function keyboardPanel(console_) {
  const { input, live } = console_;
  const sticky = new Set();
  const board = h("div", { class: "board" });
  const draw = async (name) => {
    const { keys } = await get(`keyboard/layouts/${name}`);
    board.replaceChildren(...ROWS.map((row) => h("div", { class: "row" }, row.map((place) => key(place, keys)))));
    lights();
  };
  const key = (place, keys) => {
    const [code, width] = place.split(":");
    const [plain, shifted] = keys[code] ?? [];
    const isLetter = plain && shifted && plain.toUpperCase() === shifted;
    const label = NAMES[code] ?? (isLetter ? shifted : plain ?? code);
    const button = h("button", { type: "button", "data-code": code, "aria-label": NAMES[code] === "" ? "Space" : label, "data-width": width }, h("b", {}, label));
    if (!isLetter && shifted && !NAMES[code]) button.prepend(h("i", {}, shifted));
    button.style.flexGrow = width ?? "1";
    button.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      if (MODIFIERS.test(code)) toggle(code, button);
      else input.press(code, true);
    });
    const up = () => {
      if (MODIFIERS.test(code)) return;
      input.press(code, false);
      for (const held of sticky) input.press(held, false);
      sticky.clear();
      for (const pressed of board.querySelectorAll("[aria-pressed=true]")) pressed.setAttribute("aria-pressed", "false");
    };
    button.addEventListener("pointerup", up);
    button.addEventListener("pointercancel", up);
    button.addEventListener("click", (event) => {
      // From a keyboard or a screen reader there is a click without a pointer.
      if (event.detail !== 0) return;
      if (MODIFIERS.test(code)) toggle(code, button);
      else {
        input.press(code, true);
        up();
      }
    });
    return button;
  };
  const toggle = (code, button) => {
    const down = !sticky.has(code);
    if (down) sticky.add(code);
    else sticky.delete(code);
    input.press(code, down);
    button.setAttribute("aria-pressed", String(down));
  };
  const lights = () => {
    const { leds } = live.state ?? {};
    for (const [code, on] of [["CapsLock", leds?.caps], ["ScrollLock", leds?.scroll]]) {
      board.querySelector(`[data-code=${code}]`)?.classList.toggle("lit", Boolean(on));
    }
  };
  live.addEventListener("state", lights);
  const choice = await layoutChoice(draw);
  await draw(choice.value);
  return [field("Labels as on the machine's layout", choice), board];
}

/** Shortcuts that this computer would keep to itself. */
export async function shortcutsPanel() {
  const send = (keys) => () => ask("POST", "keyboard/shortcut", { keys });
  return [
    h("div", { class: "grid" }, SHORTCUTS.map(([label, keys]) => action(label, send(keys)))),
  ];
}

/** Text that is typed. */
export async function pastePanel({ live }) {
  const text = h("textarea", { rows: "7", spellcheck: "false", placeholder: "Text to type on the machine" });
  const choice = await layoutChoice();
  const pause = h("select", {}, h("option", { value: "0" }, "as fast as the machine takes it"), h("option", { value: "20" }, "20 ms between keys"), h("option", { value: "100" }, "100 ms between keys"));
  const found = h("ul", { class: "findings" });
  const progress = h("progress", { max: "1", value: "0", hidden: true });
  const show = (answer) => {
    found.replaceChildren(...answer.cannot.map((one) => h("li", {}, `“${one.character}” cannot be typed on this layout (line ${one.line}, column ${one.column}${one.count > 1 ? `, ${one.count} times` : ""})`)));
  };
  const request = (dry) => ask("POST", "keyboard/paste", { text: text.value, layout: choice.value, pause: Number(pause.value), "dry-run": dry });
  const type = async () => {
    const answer = await request(false);
    show(answer);
    if (!answer.started) throw new Error("Nothing was typed: take out what the layout has no key for, or choose another layout.");
    return `Typing ${answer.strokes} strokes.`;
  };
  const check = async () => {
    const answer = await request(true);
    show(answer);
    return answer.cannot.length ? "" : `All of it can be typed, in ${answer.strokes} strokes.`;
  };
  live.addEventListener("state", () => {
    const paste = live.state.paste;
    progress.hidden = !paste || paste.ended !== null;
    if (paste) {
      progress.max = Math.max(paste.of, 1);
      progress.value = paste.typed;
    }
  });
  return [
    text, field("Layout that the machine is set to", choice), field("Speed", pause), found, progress,
    h("div", { class: "actions" }, action("Type it", type, { class: "primary" }), action("Check first", check), action("Stop typing", () => ask("DELETE", "keyboard/paste"))),
  ];
}
