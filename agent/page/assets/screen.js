// The picture, and what is said when there is none.

import { h } from "./dom.js";

/** The stage with the machine's screen. The last picture stays, and input is never blocked. */
export class Screen {
  #image = h("img", { alt: "", class: "picture", draggable: false });
  #words = h("p", { class: "words", role: "status" });
  #live;
  element = h("div", {
    class: "stage", tabindex: "0", role: "application",
    "aria-label": "Screen of the machine. While it has the focus, keys go to the machine.",
  }, this.#image, this.#words);

  constructor(live) {
    this.#live = live;
    live.addEventListener("state", () => this.#show());
    live.addEventListener("lost", () => this.#say("The device does not answer. Trying again…"));
    this.#image.addEventListener("error", () => setTimeout(() => this.start(), 1000));
    this.start();
  }

  start() {
    // Another address each time, or the browser shows the stream that has ended.
    this.#image.src = `/stream?${Date.now()}`;
  }

  stop() {
    this.#image.removeAttribute("src");
  }

  /** Where the picture is on the page, without the bars beside it. */
  box() {
    const outer = this.#image.getBoundingClientRect();
    const { naturalWidth: width, naturalHeight: height } = this.#image;
    if (!width || !height) return outer;
    const scale = Math.min(outer.width / width, outer.height / height);
    const size = { width: width * scale, height: height * scale };
    return { ...size, x: outer.x + (outer.width - size.width) / 2, y: outer.y + (outer.height - size.height) / 2 };
  }

  #show() {
    const { video, "video-sentence": sentence, host } = this.#live.state;
    const isAsleep = host === "suspended";
    this.element.classList.toggle("dim", video.state !== "live");
    if (video.state !== "live" && video.state !== "idle") this.#say(sentence);
    else if (isAsleep) this.#say("The host is asleep: press a key to wake it.");
    else this.#say("");
  }

  #say(text) {
    if (this.#words.textContent !== text) this.#words.textContent = text;
  }
}
