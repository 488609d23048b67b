// The picture, and what is said when there is none.

import { h } from "./dom.js";
import { order } from "./transports.js";

/** A way that shows nothing for so long, in milliseconds, while there are pictures does not work here. */
const PATIENCE = 10000;
/** Pause before a way that worked is tried again. */
const AGAIN = 1000;
/** How often the device is told when a picture was shown. */
const TELL = 1000;

/** The stage with the machine's screen. The last picture stays, and input is never blocked. */
export class Screen {
  #words = h("p", { class: "words", role: "status" });
  #live;
  #running = null;
  #untried = [];
  #first = null;
  #format = undefined;
  #worked = false;
  #timer = null;
  #told = 0;
  element = h("div", {
    class: "stage", tabindex: "0", role: "application",
    "aria-label": "Screen of the machine. While it has the focus, keys go to the machine.",
  }, this.#words);

  constructor(live) {
    this.#live = live;
    live.addEventListener("state", () => this.#show());
    live.addEventListener("lost", () => this.#say("The device does not answer. Trying again…"));
    this.start();
  }

  /** Begins with the best way there is. */
  start() {
    this.#untried = [...order(this.#format)];
    [this.#first] = this.#untried;
    this.#next();
  }

  #next() {
    clearTimeout(this.#timer);
    const Way = this.#untried.shift();
    if (!Way) {
      this.#timer = setTimeout(() => this.start(), AGAIN);
      return;
    }
    const before = this.#running;
    const way = new Way();
    this.#running = way;
    this.#worked = false;
    way.addEventListener("shown", ({ detail }) => {
      if (this.#running !== way) return;
      // The picture of before stays until there is a new one.
      if (!this.#worked) this.element.replaceChildren(way.element, this.#words);
      this.#worked = true;
      this.#report(detail);
    });
    way.addEventListener("failed", () => {
      if (this.#running !== way) return;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => (this.#worked ? this.start() : this.#next()), this.#worked ? AGAIN : 0);
    });
    before?.stop();
    if (!before) this.element.replaceChildren(way.element, this.#words);
    way.start();
    this.#watch(way);
  }

  /** Gives a way up that shows nothing although the device has pictures. */
  #watch(way) {
    this.#timer = setTimeout(() => {
      if (this.#running !== way || this.#worked) return;
      if (this.#live.state?.video.state === "live" && this.#untried.length > 0) this.#next();
      else this.#watch(way);
    }, PATIENCE);
  }

  /** Tells the device how long the picture took to get here. */
  #report({ stream, captured }) {
    const now = performance.now();
    if (stream === undefined || now - this.#told < TELL) return;
    this.#told = now;
    this.#live.send("shown", { stream, captured: captured >>> 0 });
  }

  stop() {
    clearTimeout(this.#timer);
    this.#running?.stop();
    this.#running = null;
  }

  /** Returns how pictures come now. */
  get transport() {
    return this.#running?.constructor.name_;
  }

  /** Where the picture is on the page, without the bars beside it. */
  box() {
    const outer = this.element.getBoundingClientRect();
    const [width, height] = this.#running?.size ?? [0, 0];
    if (!width || !height) return outer;
    const scale = Math.min(outer.width / width, outer.height / height);
    const size = { width: width * scale, height: height * scale };
    return { ...size, x: outer.x + (outer.width - size.width) / 2, y: outer.y + (outer.height - size.height) / 2 };
  }

  #show() {
    const { video, "video-sentence": sentence, host } = this.#live.state;
    // What the device captures is known when it runs; then another way may be the best.
    if (video.state === "live" && video.format !== this.#format) {
      this.#format = video.format;
      if (order(video.format)[0] !== this.#first) this.start();
    }
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
