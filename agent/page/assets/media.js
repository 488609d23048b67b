// Images: upload in parts, insert, eject, delete.

import { Refused, ask, get } from "./api.js";
import { action, bytes, field, h } from "./dom.js";

// Small enough that a broken connection costs little, large enough to be quick.
const PART = 8 * 1024 * 1024;

/** How often it is looked how a fetch goes, in milliseconds. */
const LOOK = 1500;

/** The drive and the images. */
export async function mediaPanel({ live }) {
  const drive = h("div", {});
  const list = h("div", { class: "list" });
  const room = h("p", { class: "hint" });
  const show = async () => {
    const media = await get("media");
    room.textContent = `${bytes(media.free)} are free on the device.`;
    const problems = media.fetches.filter(({ problem }) => problem);
    const isFetched = (image) => media.fetches.some(({ name, problem }) => name === image.name && !problem);
    list.replaceChildren(...problems.map((one) => failed(one, show)), ...media.images.map((image) => row(image, show, isFetched(image))));
    if (media.fetches.length > problems.length) setTimeout(() => list.isConnected && show(), LOOK);
    if (!media.images.length) list.append(h("p", { class: "empty" }, "No images yet. Upload an ISO file or a disk image, then insert it: the machine sees a drive."));
  };
  const showDrive = () => {
    const inserted = live.state?.drive;
    drive.replaceChildren(inserted
      ? h("p", {}, h("strong", {}, inserted.image), ` is in the ${inserted.drive === "cd" ? "CD drive" : "disk drive"}, ${inserted.writable === "read-only" ? "read-only" : "the machine may write"}. `)
      : h("p", { class: "hint" }, "The drive is empty."));
    if (inserted) drive.append(action("Eject", () => ask("DELETE", "drive").then(show), { class: "primary" }));
  };
  live.addEventListener("state", showDrive);
  showDrive();
  await show();
  return [drive, upload(show), fetching(show), h("h3", {}, "Images"), list, room];
}

function failed({ name, problem }, changed) {
  return h("article", { class: "item" }, h("strong", {}, name), h("small", { class: "bad" }, problem),
    h("div", { class: "actions" }, action("All right", () => ask("DELETE", `fetches/${encodeURIComponent(name)}`).then(changed))));
}

function fetching(changed) {
  const address = h("input", { type: "url", id: "image-address", autocomplete: "off" });
  const digest = h("input", { autocomplete: "off", spellcheck: "false" });
  const begin = async () => {
    const image = await ask("POST", "fetches", { address: address.value.trim(), sha256: digest.value.trim() || undefined });
    await changed();
    return `${image.name} is on its way.`;
  };
  return h("details", {}, h("summary", {}, "Fetch from an address"), field("Address", address, "The device fetches it itself, by https."), field("SHA-256, if you know it", digest), action("Fetch", begin, { class: "primary" }));
}

function row(image, changed, isFetched) {
  const isWhole = image.received === image.size;
  const kind = h("select", { "aria-label": "Insert as" }, h("option", { value: "cd", selected: /\.iso$/i.test(image.name) }, "CD"), h("option", { value: "disk", selected: !/\.iso$/i.test(image.name) }, "disk"), h("option", { value: "write" }, "disk, the machine may write"));
  const insert = async () => {
    const drive = kind.value === "cd" ? "cd" : "disk";
    await ask("PUT", "drive", { image: image.name, drive, writable: kind.value === "write" ? "read-write" : "read-only" });
    return "Inserted.";
  };
  const remove = async () => {
    if (!confirm(`Delete ${image.name} from the device?`)) return;
    await ask("DELETE", `media/${encodeURIComponent(image.name)}`);
    await changed();
  };
  const state = isWhole ? `${bytes(image.size)} · SHA-256 ${image.sha256?.slice(0, 16)}…` : `${bytes(image.received)} of ${bytes(image.size)} are here${isFetched ? "" : ": choose the same file to go on"}`;
  return h("article", { class: "item" }, h("strong", {}, image.name), h("small", { title: image.sha256 ?? "" }, state),
    h("div", { class: "actions" }, isWhole && kind, isWhole && action("Insert", insert), isFetched ? action("Stop", () => ask("DELETE", `fetches/${encodeURIComponent(image.name)}`).then(changed)) : action("Delete", remove)));
}

function upload(changed) {
  const file = h("input", { type: "file", id: "image-file" });
  const progress = h("progress", { max: "1", value: "0", hidden: true, "aria-label": "Upload" });
  const send = async () => {
    const [chosen] = file.files;
    if (!chosen) throw new Error("Choose a file first.");
    progress.hidden = false;
    const started = performance.now();
    const begun = await sendFile(chosen, (share) => (progress.value = share));
    progress.hidden = true;
    await changed();
    const seconds = (performance.now() - started) / 1000;
    return `Uploaded and hashed, ${bytes((chosen.size - begun) / Math.max(seconds, 0.001))} a second.`;
  };
  return h("div", { class: "box" }, field("Upload an image", file, "An upload that breaks off goes on where it was."), progress, action("Upload", send, { class: "primary" }));
}

/** Sends a file in parts, from where the device has it. Returns where that was. */
export async function sendFile(chosen, onShare) {
  const begun = await received(chosen);
  let at = begun;
  while (at < chosen.size) {
    at = await part(chosen, at, Math.min(at + PART, chosen.size));
    onShare(at / chosen.size);
  }
  return begun;
}

async function received(chosen) {
  const { images } = await get("media");
  const known = images.find((image) => image.name === chosen.name && image.size === chosen.size && image.received < image.size);
  return known?.received ?? 0;
}

async function part(chosen, at, end) {
  // A connection that breaks is tried again, from where the device is by then.
  for (let attempt = 1; ; attempt += 1) {
    try {
      const response = await fetch(`/api/v1/media/${encodeURIComponent(chosen.name)}`, {
        method: "PUT",
        headers: { "Content-Range": `bytes ${at}-${end - 1}/${chosen.size}`, "Content-Type": "application/octet-stream" },
        body: chosen.slice(at, end),
      });
      const answer = await response.json();
      if (response.ok) return answer.received;
      throw new Refused(response.status, answer);
    } catch (error) {
      if (error instanceof Refused || attempt >= 5) throw error;
      await new Promise((done) => setTimeout(done, 1000 * attempt));
      const now = await received(chosen).catch(() => at);
      if (now >= end) return now;
      at = Math.max(at, now);
    }
  }
}
