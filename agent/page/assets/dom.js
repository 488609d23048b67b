// Small helpers to make elements. Text is always set as text, never as markup.

/** Makes an element: `h("button", { class: "primary", onclick }, "Save")`. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";
const PATHS = {
  keyboard: "M3 7h18v10H3z M6 10h1 M9 10h1 M12 10h1 M15 10h1 M18 10h.5 M7 14h10",
  command: "M8 4a2 2 0 1 1-2 2v12a2 2 0 1 1 2-2h8a2 2 0 1 1-2 2V6a2 2 0 1 1 2 2H8a2 2 0 0 1-2-2",
  paste: "M8 5H6v15h12V5h-2 M9 3h6v4H9z M9 12h6 M9 16h4",
  disc: "M12 3a9 9 0 1 0 .01 0z M12 10a2 2 0 1 0 .01 0z",
  screen: "M3 5h18v11H3z M9 20h6 M12 16v4",
  people: "M9 11a3 3 0 1 0-.01 0z M3 19c0-4 12-4 12 0 M16 6a2.5 2.5 0 0 1 0 5 M17 14c2.500 .3 4 2 4 5",
  gear: "M12 9a3 3 0 1 0 .01 0z M12 3v3 M12 18v3 M3 12h3 M18 12h3 M5.600 5.600l2.100 2.100 M16.300 16.300l2.100 2.100 M5.600 18.400l2.100-2.100 M16.300 7.700l2.100-2.100",
  network: "M9 3h6v5H9z M3 16h6v5H3z M15 16h6v5h-6z M12 8v4 M6 16v-4h12v4",
  update: "M12 3v11 M7 9.500l5 5 5-5 M4 17v3h16v-3",
  power: "M12 3v8 M7 6.500a7.500 7.500 0 1 0 10 0",
  full: "M4 9V4h5 M15 4h5v5 M20 15v5h-5 M9 20H4v-5",
  mouse: "M8 8a4 4 0 0 1 8 0v8a4 4 0 0 1-8 0z M12 5v5",
  close: "M6 6l12 12 M18 6L6 18",
  camera: "M4 7h4l2-2h4l2 2h4v12H4z M12 10a3.500 3.500 0 1 0 .01 0z",
};

/** Makes one of the icons. It is decoration: the words beside it say what it means. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.append(path);
  return svg;
}

/** Makes a labelled field. */
export function field(label, control, hint) {
  return h("label", { class: "field" }, h("span", {}, label), control, hint && h("small", {}, hint));
}

/** Runs an action of a button: shows that it runs, and what went wrong. */
export function action(label, run, attributes = {}) {
  const note = h("span", { class: "note", role: "status" });
  const button = h("button", { type: "button", ...attributes, onclick: async () => {
    button.disabled = true;
    note.textContent = "";
    note.className = "note";
    try {
      note.textContent = (await run()) ?? "";
    } catch (error) {
      note.textContent = error.message;
      note.className = "note bad";
    }
    button.disabled = false;
  } }, label);
  return h("span", { class: "action" }, button, note);
}

/** Writes a number of bytes for people. */
export function bytes(count) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) {
    count /= 1024;
    unit += 1;
  }
  return `${unit ? count.toFixed(1) : count} ${units[unit]}`;
}

/** Writes a time of the device for people. */
export function moment(seconds) {
  return new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

/** Begins a sentence with what began none. */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
