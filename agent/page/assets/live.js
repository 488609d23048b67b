// The socket: input goes out, the state of the device comes in. It reconnects by itself.

const REVOKED = 4401;

/** The connection. Events: `state`, `refused`, `lost`, `revoked`. */
export class Live extends EventTarget {
  #socket = null;
  #wait = 500;
  #closed = false;
  hello = null;
  state = null;

  constructor() {
    super();
    this.#open();
  }

  #open() {
    this.#socket = new WebSocket(`wss://${location.host}/api/v1/live`);
    this.#socket.onmessage = (event) => this.#hear(JSON.parse(event.data));
    this.#socket.onclose = (event) => {
      if (this.#closed) return;
      if (event.code === REVOKED) {
        this.#tell("revoked");
        return;
      }
      this.#tell("lost");
      setTimeout(() => this.#retry(), this.#wait);
      this.#wait = Math.min(this.#wait * 2, 5000);
    };
  }

  async #retry() {
    if (this.#closed) return;
    // A socket does not say why it was refused; a request does.
    const answer = await fetch("/api/v1/session").catch(() => null);
    if (answer?.status === 401) this.#tell("revoked");
    else this.#open();
  }

  #hear(message) {
    this.#wait = 500;
    if (message.type === "hello") this.hello = message;
    if (message.type === "state") {
      this.state = message.state;
      this.#tell("state");
    }
    if (message.type === "refused") this.#tell("refused", message);
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** Sends a message, if there is a connection. Nothing waits for one: old keys are no keys. */
  send(type, fields = {}) {
    if (this.#socket.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify({ type, ...fields }));
    }
  }

  /** Whether this page controls the machine, or could by acting. */
  get mayAct() {
    const holder = this.state?.control.holder;
    return !holder || holder.viewer === this.hello?.viewer;
  }

  get mayOperate() {
    return this.hello?.role !== "viewer";
  }

  close() {
    this.#closed = true;
    this.#socket.close();
  }
}
