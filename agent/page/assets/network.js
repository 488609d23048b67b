// The device's address: changed without being locked out.

import { ask, get } from "./api.js";
import { action, field, h } from "./dom.js";

/** How often it is looked whether the change was kept, in milliseconds. */
const LOOK = 2000;

/** Interfaces and their addresses. */
export async function networkPanel({ live }) {
  const place = h("div", {});
  await show(place, live);
  return [place];
}

async function show(place, live) {
  const network = await get("network");
  const isAdmin = live.hello.role === "admin";
  const parts = network.outcome ? [h("p", { class: "hint", role: "status" }, `The last change was ${network.outcome}.`)] : [];
  if (network["is-trying"]) parts.push(h("p", { role: "status" }, "A change is being tried…"));
  if (network.pending) parts.push(...trial(place, live, network.pending, isAdmin));
  for (const one of network.interfaces) parts.push(...interfaceParts(place, live, one, isAdmin && !network.pending));
  place.replaceChildren(...parts);
}

function interfaceParts(place, live, one, mayChange) {
  const facts = h("dl", {});
  const fact = (name, value) => value && facts.append(h("dt", {}, name), h("dd", {}, value));
  fact("Network", one["wi-fi"]);
  fact("Address", one.addresses.join(", ") || (one["is-connected"] ? "none yet" : "not connected"));
  fact("Given", one.method === "manual" ? "by hand" : "by the network");
  fact("Router", one.gateway);
  fact("Name servers", one.servers.join(", "));
  fact("Card", one.card);
  const head = h("h3", {}, `${one.kind === "wi-fi" ? "Wi-Fi" : "Cable"} (${one.name})`);
  return [head, facts, mayChange && one.kind === "wi-fi" && networks(place, live, one), mayChange && one["is-connected"] && form(place, live, one)].filter(Boolean);
}

function form(place, live, one) {
  const [address = "", prefix = "24"] = (one.addresses[0] ?? "").split("/");
  const input = (id, value) => h("input", { id: `${one.name}-${id}`, value, autocomplete: "off", inputmode: "decimal" });
  const own = input("address", address);
  const bits = input("prefix", prefix);
  const router = input("gateway", one.gateway ?? "");
  const servers = input("servers", one.servers.join(", "));
  const fields = h("div", { hidden: one.method !== "manual" }, field("Address", own), field("Prefix", bits, "24 is a network mask of 255.255.255.0."), field("Router", router), field("Name servers", servers, "Separated by commas."));
  const method = h("select", { id: `${one.name}-method`, onchange: () => (fields.hidden = method.value !== "manual") },
    h("option", { value: "automatic", selected: one.method !== "manual" }, "by the network (DHCP)"), h("option", { value: "manual", selected: one.method === "manual" }, "by hand"));
  const change = async () => {
    const list = servers.value.split(/[\s,]+/).filter(Boolean);
    const manual = { method: "manual", address: own.value.trim(), prefix: Number(bits.value), gateway: router.value.trim() || null, servers: list };
    const plan = method.value === "manual" ? manual : { method: "automatic" };
    const answer = await ask("PUT", `network/${encodeURIComponent(one.name)}`, { plan });
    follow(place, live, answer);
  };
  return h("details", {}, h("summary", {}, "Change the address"), field("The address is given", method), fields,
    h("p", { class: "hint" }, "The old address stays until you open the device at the new one. If nobody does within two minutes, everything is as before."),
    action("Try it", change, { class: "primary" }));
}

/** Networks in reach, looked for when somebody wants to see them. */
function networks(place, live, one) {
  const path = `network/${encodeURIComponent(one.name)}`;
  const list = h("div", { class: "list" });
  const join = async (network, password) => {
    const plan = { method: "wi-fi", name: network.name, password: password || null, "is-hidden": Boolean(network.isHidden) };
    follow(place, live, await ask("PUT", path, { plan }), network.name);
  };
  const form = (network, ...before) => {
    const password = h("input", { type: "password", autocomplete: "off", "aria-label": `Password of ${network.name ?? "the network"}` });
    const hint = network["is-known"] ? "Leave it empty to use the one that the device knows." : network.isHidden && "Leave it empty if there is none.";
    const needs = network.security !== "open";
    return h("div", { class: "box" }, ...before, needs && field("Password", password, hint),
      action("Join", () => join(network, needs && password.value), { class: "primary" }));
  };
  const item = (network) => {
    const safe = { open: "open: others can listen", enterprise: "needs a name for each user: not supported", wep: "WEP: not supported" }[network.security] ?? "password";
    const words = [`${network.strength} %`, safe, network["is-known"] && "known"].filter(Boolean).join(" · ");
    const actions = h("div", { class: "actions" });
    const row = h("div", { class: "item" }, h("b", {}, network.name), h("small", {}, network["is-joined"] ? `${words} · joined` : words), actions);
    const canJoin = !network["is-joined"] && !["enterprise", "wep"].includes(network.security);
    if (canJoin) actions.append(h("button", { type: "button", onclick: () => actions.replaceChildren(form(network)) }, "Join…"));
    if (network["is-known"]) actions.append(action("Forget", () => ask("DELETE", `${path}/wi-fi/${encodeURIComponent(network.name)}`).then(look)));
    return row;
  };
  const hidden = () => {
    const network = { isHidden: true, name: "" };
    const name = h("input", { autocomplete: "off", oninput: () => (network.name = name.value) });
    return h("details", {}, h("summary", {}, "A network that hides its name"), form(network, field("Name", name)));
  };
  const look = async () => {
    list.replaceChildren(h("p", { class: "hint", role: "status" }, "Looking around…"));
    try {
      const found = await get(`${path}/wi-fi`);
      list.replaceChildren(...found.map(item), ...(found.length ? [] : [h("p", { class: "empty" }, "No network is in reach.")]), hidden());
    } catch (error) {
      list.replaceChildren(h("p", { class: "bad", role: "alert" }, error.message));
    }
  };
  return h("details", { ontoggle: ({ target }) => target === target.closest("details") && target.open && !list.childElementCount && look() },
    h("summary", {}, one["wi-fi"] ? "Join another network" : "Join a network"), list, h("div", { class: "actions" }, h("button", { type: "button", onclick: look }, "Look again")));
}

function trial(place, live, pending, isAdmin) {
  const where = pending.plan.address ?? (pending.plan.name ? `the Wi-Fi network “${pending.plan.name}”` : "an address that the network gives");
  return [h("p", { role: "status" }, `${pending.interface} is trying ${where}; it goes back in ${pending.seconds} seconds unless somebody opens the device there.`),
    isAdmin && action("Go back now", () => ask("DELETE", "network/trial").then(() => show(place, live)))].filter(Boolean);
}

/** Leads to the new address, and tells how it went. */
function follow(place, live, { address, token, seconds }, wiFi) {
  const until = Date.now() + seconds * 1000;
  const words = h("p", { role: "status" });
  const link = h("p", {});
  const goBack = action("Go back now", () => ask("DELETE", "network/trial"));
  const moves = wiFi && h("p", { class: "hint" }, `If this page stops answering, the device has left the network that you reach it by: join “${wiFi}” yourself and open the link.`);
  place.replaceChildren(h("h3", {}, wiFi ? `Joining “${wiFi}”` : "One more step"), link, moves || "", h("p", { class: "hint" }, "Your browser may ask once more whether it may trust the device: its certificate now names the new address as well."), words, goBack);
  const lead = (host) => {
    const port = location.port ? `:${location.port}` : "";
    link.replaceChildren(h("a", { class: "button primary", id: "new-address", target: "_blank", rel: "noopener", href: `${location.protocol}//${host}${port}/#keep=${token}` }, `Open the device at ${host}`));
  };
  if (address) lead(address);
  // By its name the device is found in any network that passes such names on (mDNS).
  if (wiFi) get("device").then((device) => lead(`${device["host-name"]}.local`)).catch(() => {});
  let began = false;
  const tick = async () => {
    if (!place.isConnected) return;
    const left = Math.max(0, Math.round((until - Date.now()) / 1000));
    words.textContent = left > 0 ? `It goes back by itself in ${left} seconds.` : "Looking…";
    const network = await get("network").catch(() => null);
    if (network?.pending) {
      began = true;
      const one = network.interfaces.find(({ name }) => name === network.pending.interface);
      const fresh = one?.addresses.find((entry) => !network.pending.old.includes(entry));
      if (!address && fresh) lead(fresh.split("/")[0]);
      // Who still reaches the device while its radio is in the new network came by another way: that stays.
      if (wiFi && (await ask("POST", "network/keep", { token }).then(() => true, () => false))) {
        await show(place, live);
        return;
      }
    } else if (network?.["is-trying"]) {
      began = true;
    } else if (network && (began || network.outcome?.startsWith("not changed"))) {
      await show(place, live);
      return;
    }
    setTimeout(tick, LOOK);
  };
  tick();
}
