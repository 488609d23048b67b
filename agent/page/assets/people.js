// Who is here, who may come, and what was done.

import { ask, get } from "./api.js";
import { action, field, h, moment } from "./dom.js";

const ROLES = [["viewer", "looks"], ["operator", "types and inserts media"], ["admin", "sets the device up"]];

const roleChoice = (chosen) => h("select", { "aria-label": "Role" }, ROLES.map(([role, may]) => h("option", { value: role, selected: role === chosen }, `${role}: ${may}`)));

/** Who is here, and who controls. */
export async function peoplePanel({ live }) {
  const here = h("div", { class: "list" });
  const show = () => {
    const { viewers, control } = live.state;
    const own = live.hello.viewer;
    here.replaceChildren(...viewers.map((viewer) => {
      const isHolder = control.holder?.viewer === viewer.id;
      const asks = control.requests.some((request) => request.viewer === viewer.id);
      return h("article", { class: "item" },
        h("strong", {}, viewer.user + (viewer.id === own ? " (you)" : "")),
        h("small", {}, `${viewer.role}${isHolder ? ", controls the machine" : ""}${asks ? ", asks for control" : ""}`),
        asks && control.holder?.viewer === own && h("div", { class: "actions" },
          h("button", { class: "primary", onclick: () => live.send("hand-over", { viewer: viewer.id }) }, "Hand over"),
          h("button", { onclick: () => live.send("refuse", { viewer: viewer.id }) }, "Refuse")));
    }));
  };
  live.addEventListener("state", show);
  show();
  const parts = [h("h3", {}, "Here now"), here, h("h3", {}, "Sessions"), await sessions(live), h("h3", {}, "Tokens for programs"), await tokens()];
  if (live.hello.role === "admin") parts.push(h("h3", {}, "Users"), await users(), h("h3", {}, "What was done"), await log());
  return parts;
}

async function sessions() {
  const list = h("div", { class: "list" });
  const show = async () => {
    const entries = await get("sessions");
    list.replaceChildren(...entries.map((entry) => h("article", { class: "item" },
      h("strong", {}, entry.user + (entry.own ? " (this page)" : "")),
      h("small", {}, `from ${entry.address}, since ${moment(entry.began)}`),
      h("small", {}, entry.agent),
      action("End this session", () => ask("DELETE", `sessions/${entry.id}`).then(show)))));
  };
  await show();
  return list;
}

async function tokens() {
  const list = h("div", { class: "list" });
  const secret = h("output", { class: "secret" });
  const show = async () => {
    const entries = await get("tokens");
    list.replaceChildren(...entries.map((entry) => h("article", { class: "item" },
      h("strong", {}, entry.name), h("small", {}, `${entry.role} of ${entry.user}, until ${moment(entry.expires)}`),
      action("Revoke", () => ask("DELETE", `tokens/${entry.id}`).then(show)))));
    if (!entries.length) list.append(h("p", { class: "empty" }, "None. A token lets a script or a home automation use the device without your password."));
  };
  const name = h("input", { placeholder: "what it is for" });
  const role = roleChoice("operator");
  const days = h("input", { type: "number", min: "1", max: "366", value: "90" });
  const add = async () => {
    const made = await ask("POST", "tokens", { name: name.value, role: role.value, days: Number(days.value) });
    secret.textContent = made.secret;
    await show();
    return "Copy the token now: it is not shown again.";
  };
  await show();
  return h("div", {}, list, h("details", {}, h("summary", {}, "New token"), field("Name", name), field("Role", role), field("Days", days), action("Make the token", add, { class: "primary" }), secret));
}

async function users() {
  const list = h("div", { class: "list" });
  const show = async () => {
    const entries = await get("users");
    list.replaceChildren(...entries.map((user) => {
      const role = roleChoice(user.role);
      role.addEventListener("change", () => ask("PATCH", `users/${user.name}`, { role: role.value }).catch((error) => alert(error.message)).then(show));
      const remove = () => confirm(`Remove ${user.name}? All sessions of this user end.`) && ask("DELETE", `users/${user.name}`).then(show);
      return h("article", { class: "item" }, h("strong", {}, user.name), user["second-factor"] && h("small", {}, "with a second factor"), h("div", { class: "actions" }, role, action("Remove", async () => { await remove(); })));
    }));
  };
  const name = h("input", { autocomplete: "off" });
  const role = roleChoice("operator");
  const password = h("input", { type: "password", autocomplete: "new-password" });
  const add = async () => {
    await ask("POST", "users", { name: name.value, role: role.value, password: password.value });
    await show();
    return `${name.value} may sign in now.`;
  };
  await show();
  return h("div", {}, list, h("details", {}, h("summary", {}, "New user"), field("Name", name), field("Role", role), field("Password", password, "At least 8 characters."), action("Add the user", add, { class: "primary" })));
}

async function log() {
  const entries = await get("audit");
  const rows = entries.slice(0, 200).map((entry) => h("tr", {}, h("td", {}, moment(entry.time)), h("td", {}, entry.user ?? "–"), h("td", {}, entry.action.replaceAll("-", " ") + (entry.subject ? ` ${entry.subject}` : "")), h("td", {}, entry.address ?? "")));
  return h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, ["When", "Who", "What", "From"].map((title) => h("th", {}, title)))), h("tbody", {}, rows)));
}
