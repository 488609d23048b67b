// Fingers become a mouse: a tap is a click, a long press the right button, a drag a drag, two fingers turn
// the wheel.

/** A finger that stays for so long presses the right button, in milliseconds. */
const LONG = 500;
/** A finger that moves less has not moved, in pixels. */
const STILL = 8;
/** Two fingers turn the wheel by one for so many pixels. */
const NOTCH = 30;
const LEFT = 0;
const RIGHT = 2;

/** Follows the fingers on the stage. The mouse has `move(event)`, `by(x, y)`, `button(button, down)` and `turn(x, y)`. */
export class Touch {
  #mouse;
  #fingers = new Map();
  #doing = null;
  #timer = 0;

  constructor(mouse) {
    this.#mouse = mouse;
  }

  down(event) {
    this.#fingers.set(event.pointerId, { first: event, last: event });
    clearTimeout(this.#timer);
    if (this.#fingers.size === 1) {
      this.#doing = "tap";
      this.#timer = setTimeout(() => this.#doing === "tap" && this.#click(event, RIGHT), LONG);
    } else if (this.#doing !== "done") {
      if (this.#doing === "drag") this.#mouse.button(LEFT, false);
      this.#doing = "turn";
    }
  }

  move(event) {
    const finger = this.#fingers.get(event.pointerId);
    if (!finger) return;
    const [x, y] = [event.clientX - finger.last.clientX, event.clientY - finger.last.clientY];
    const far = Math.hypot(event.clientX - finger.first.clientX, event.clientY - finger.first.clientY) > STILL;
    if (this.#doing === "tap" && far) {
      clearTimeout(this.#timer);
      this.#doing = this.#mouse.relative ? "glide" : "drag";
      if (this.#doing === "drag") {
        this.#mouse.move(finger.first);
        this.#mouse.button(LEFT, true);
      }
    }
    if (this.#doing === "drag") this.#mouse.move(event);
    if (this.#doing === "glide") this.#mouse.by(x, y);
    // Both fingers tell of the same motion.
    if (this.#doing === "turn") this.#mouse.turn(-x / NOTCH / this.#fingers.size, -y / NOTCH / this.#fingers.size);
    if (this.#doing !== "tap") finger.last = event;
  }

  up(event) {
    if (!this.#fingers.delete(event.pointerId)) return;
    clearTimeout(this.#timer);
    if (this.#doing === "tap") this.#click(event, LEFT);
    if (this.#doing === "drag") this.#mouse.button(LEFT, false);
    this.#doing = this.#fingers.size ? "done" : null;
  }

  /** The system took the fingers away. */
  cancel() {
    clearTimeout(this.#timer);
    this.#fingers.clear();
    this.#doing = null;
  }

  #click(event, button) {
    this.#doing = "done";
    if (!this.#mouse.relative) this.#mouse.move(event);
    this.#mouse.button(button, true);
    this.#mouse.button(button, false);
  }
}
