// Keys and mouse of this page become keys and mouse of the machine.

import { Touch } from "./touch.js";

const HEARTBEAT = 200;
const FULL = 0x7fff;

/** Listens on the stage, and forwards while it has the focus. */
export class Input {
  #live;
  #stage;
  #picture;
  #held = new Set();
  #buttons = new Set();
  #place = null;
  #motion = { x: 0, y: 0 };
  #wheel = { x: 0, y: 0 };
  #frame = 0;
  #touch = new Touch(this);
  relative = false;

  constructor(live, stage, picture) {
    this.#live = live;
    this.#stage = stage;
    this.#picture = picture;
    stage.addEventListener("keydown", (event) => this.#key(event, true));
    stage.addEventListener("keyup", (event) => this.#key(event, false));
    stage.addEventListener("pointermove", (event) => (isTouch(event) ? this.#touch.move(event) : this.move(event)));
    stage.addEventListener("pointerdown", (event) => this.#press(event, true));
    stage.addEventListener("pointerup", (event) => this.#press(event, false));
    stage.addEventListener("pointercancel", () => this.letGo());
    stage.addEventListener("contextmenu", (event) => event.preventDefault());
    stage.addEventListener("wheel", (event) => this.#turn(event), { passive: false });
    stage.addEventListener("blur", () => this.letGo());
    window.addEventListener("blur", () => this.letGo());
    window.addEventListener("pagehide", () => this.letGo());
    document.addEventListener("visibilitychange", () => document.hidden && this.letGo());
    setInterval(() => this.#isHolding && live.send("alive"), HEARTBEAT);
  }

  get #isHolding() {
    return this.#held.size + this.#buttons.size > 0;
  }

  /** Presses or releases a key, wherever it comes from. */
  press(code, down) {
    if (down) this.#held.add(code);
    else this.#held.delete(code);
    this.#live.send("key", { code, down });
  }

  /** Lets all go. */
  letGo() {
    this.#touch.cancel();
    this.#held.clear();
    this.#buttons.clear();
    this.#live.send("let-go");
  }

  #key(event, down) {
    if (!event.code || event.isComposing) return;
    event.preventDefault();
    if (event.repeat) return;
    this.press(event.code, down);
    // Browsers on a Mac do not tell of keys that go up while Command is held.
    if (!down && event.key === "Meta") this.letGo();
  }

  #press(event, down) {
    this.#stage.focus({ preventScroll: true });
    if (isTouch(event)) {
      if (down) {
        this.#stage.setPointerCapture?.(event.pointerId);
        this.#touch.down(event);
      } else {
        this.#touch.up(event);
      }
      return;
    }
    if (event.pointerType === "mouse") event.preventDefault();
    if (this.relative && down && document.pointerLockElement !== this.#stage) {
      this.#stage.requestPointerLock();
      return;
    }
    this.move(event);
    if (down) this.#stage.setPointerCapture?.(event.pointerId);
    this.button(Math.max(event.button, 0), down);
  }

  /** Presses or releases a button where the mouse is. */
  button(button, down) {
    this.#flush();
    if (down) this.#buttons.add(button);
    else this.#buttons.delete(button);
    this.#live.send("button", { button, down });
  }

  /** Moves the mouse to where an event was. */
  move(event) {
    if (this.relative) {
      if (document.pointerLockElement !== this.#stage) return;
      this.by(event.movementX, event.movementY);
    } else {
      const box = this.#picture();
      const share = (value, start, size) => Math.round(Math.min(1, Math.max(0, (value - start) / size)) * FULL);
      this.#place = { x: share(event.clientX, box.x, box.width), y: share(event.clientY, box.y, box.height) };
    }
    this.#soon();
  }

  /** Moves the mouse by so much. */
  by(x, y) {
    this.#motion.x += x;
    this.#motion.y += y;
    this.#soon();
  }

  /** Turns the wheel by so many notches or parts of them. */
  turn(x, y) {
    this.#wheel.x += x;
    this.#wheel.y += y;
    this.#soon();
  }

  #turn(event) {
    event.preventDefault();
    // A notch is about 100 pixels; touch pads give fractions of it.
    this.turn(event.deltaX / 100, event.deltaY / 100);
  }

  /** Motion goes out once a frame: more would only wait somewhere. */
  #soon() {
    this.#frame ||= requestAnimationFrame(() => this.#flush());
  }

  #flush() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (this.#place) this.#live.send("move-to", this.#place);
    this.#place = null;
    const { x, y } = this.#motion;
    if (x || y) this.#live.send("move-by", { x: Math.trunc(x), y: Math.trunc(y) });
    this.#motion = { x: x % 1, y: y % 1 };
    const whole = (steps) => Math.max(-127, Math.min(127, Math.trunc(steps)));
    const [steps, pan] = [whole(-this.#wheel.y), whole(this.#wheel.x)];
    if (steps || pan) {
      this.#live.send("wheel", { steps, pan });
      this.#wheel = { x: this.#wheel.x - pan, y: this.#wheel.y + steps };
    }
  }
}

function isTouch(event) {
  return event.pointerType === "touch";
}
