// The machine's power: its front panel, and the ways to wake it.

import { ask, get } from "./api.js";
import { action, field, h } from "./dom.js";

const sure = (question) => confirm(question) || "";

/** Buttons, lights and waking. */
export async function powerPanel({ live }) {
  return [...frontPanel(live), ...(await channels(live)), h("h3", {}, "Wake by USB"),
    h("p", {}, "A machine that sleeps wakes up by a key, if its firmware allows that."),
    action("Wake the machine", () => ask("POST", "keyboard/wake").then(() => "A key was pressed.")),
    h("h3", {}, "Wake over the network"),
    await machines()];
}

function frontPanel(live) {
  const { "is-wired": isWired, buttons } = live.state.power;
  const [hasPower, hasReset] = [buttons.includes("power"), buttons.includes("reset")];
  const head = h("h3", {}, "Front panel");
  if (!isWired) return [head, h("p", { class: "hint" }, "Nothing is wired to the machine's buttons. GPIO lines are named under ", h("code", {}, "[atx]"), " in the device's settings file.")];
  const lights = h("p", { role: "status" });
  const show = () => {
    const { power, disk } = live.state.power;
    const word = (on) => (on === null ? "not wired" : on ? "on" : "off");
    lights.textContent = `Power light ${word(power)} · disk light ${word(disk)}`;
  };
  live.addEventListener("state", show);
  show();
  const press = (button, kind) => ask("POST", `power/${button}`, { press: kind }).then(() => "Pressed.");
  return [head, lights, h("div", { class: "actions" },
    hasPower && action("Press power", () => press("power", "short"), { class: "primary" }),
    hasReset && action("Press reset", () => sure("Reset the machine? What is not saved there is lost.") && press("reset", "short")),
    hasPower && action("Cut the power", () => sure("Hold the power button until the power is off? What is not saved there is lost.") && press("power", "long")))];
}

/** Lines with names of their own, if there are any. */
async function channels(live) {
  const known = await get("gpio");
  if (!known.length) return [];
  const list = h("div", { class: "list" });
  const show = (all) => list.replaceChildren(...all.map((one) => {
    const path = `gpio/${encodeURIComponent(one.name)}`;
    const again = (request) => request.then(async () => show(await get("gpio")));
    const word = one["is-on"] === null ? "cannot be seen" : one["is-on"] ? "on" : "off";
    return h("article", { class: "item" }, h("strong", {}, one.label), h("small", { role: "status" }, word),
      one.direction === "output" && live.mayOperate && h("div", { class: "actions" },
        action(one["is-on"] ? "Switch off" : "Switch on", () => again(ask("PUT", path, { "is-on": !one["is-on"] }))),
        action("Pulse", () => again(ask("POST", `${path}/pulse`, {})))));
  }));
  show(known);
  return [h("h3", {}, "Lines"), list];
}

async function machines() {
  const list = h("div", { class: "list" });
  const show = async () => {
    const known = await get("wake");
    list.replaceChildren(...known.map(({ name, address }) => h("article", { class: "item" }, h("strong", {}, name), h("small", {}, address),
      h("div", { class: "actions" }, action("Wake", () => ask("POST", `wake/${encodeURIComponent(name)}`).then(() => "The packet was sent.")), action("Remove", () => ask("DELETE", `wake/${encodeURIComponent(name)}`).then(show))))));
    if (!known.length) list.append(h("p", { class: "empty" }, "None. A machine whose network card may wake it needs its address here."));
  };
  const name = h("input", { placeholder: "its name" });
  const address = h("input", { placeholder: "52:54:00:12:34:56", spellcheck: "false" });
  const add = async () => {
    await ask("PUT", "wake", { name: name.value, address: address.value });
    await show();
    return "Added.";
  };
  await show();
  return h("div", {}, list, h("details", {}, h("summary", {}, "New machine"), field("Name", name), field("Address of its network card", address), action("Add the machine", add, { class: "primary" })));
}
