// Ways for the picture to come. Each has `element`, `start()` and `stop()`, and tells `shown` for a picture
// that is on the screen and `failed` when nothing more will come.

import { ask } from "./api.js";
import { h } from "./dom.js";

class Transport extends EventTarget {
  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** JPEG after JPEG in an image: works everywhere. */
class Mjpeg extends Transport {
  static name_ = "mjpeg";
  static isPossible = () => true;
  element = h("img", { alt: "", class: "picture", draggable: false });
  #running = false;

  constructor() {
    super();
    this.element.addEventListener("error", () => this.#running && this.tell("failed"));
    this.element.addEventListener("load", () => this.tell("shown", {}));
  }

  get size() {
    return [this.element.naturalWidth, this.element.naturalHeight];
  }

  start() {
    this.#running = true;
    // Another address each time, or the browser shows the stream that has ended.
    this.element.src = `/stream?${Date.now()}`;
  }

  stop() {
    this.#running = false;
    this.element.removeAttribute("src");
  }
}

/** H.264 in a WebSocket, decoded by WebCodecs: one connection on the port of the page. */
class Socket extends Transport {
  static name_ = "websocket";
  static isPossible = () => "VideoDecoder" in window;
  element = h("canvas", { class: "picture" });
  #socket = null;
  #decoder = null;
  #stream = null;
  #waitsForKey = true;

  get size() {
    return [this.element.width, this.element.height];
  }

  start() {
    const context = this.element.getContext("2d", { desynchronized: true });
    const fail = () => this.#socket && this.tell("failed");
    this.#decoder = new VideoDecoder({
      output: (frame) => {
        const { displayWidth: width, displayHeight: height } = frame;
        if (this.element.width !== width || this.element.height !== height) Object.assign(this.element, { width, height });
        context.drawImage(frame, 0, 0);
        const captured = frame.timestamp;
        frame.close();
        requestAnimationFrame(() => this.tell("shown", { stream: this.#stream, captured }));
      },
      error: fail,
    });
    this.#socket = new WebSocket(`wss://${location.host}/api/v1/video/h264`);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onmessage = ({ data }) => (typeof data === "string" ? this.#configure(JSON.parse(data)) : this.#decode(data));
    this.#socket.onclose = fail;
  }

  #configure({ stream, codec, width, height }) {
    this.#stream = stream;
    this.#decoder.configure({ codec, codedWidth: width, codedHeight: height, optimizeForLatency: true });
    this.#waitsForKey = true;
  }

  #decode(data) {
    const view = new DataView(data);
    const isKey = (view.getUint8(0) & 1) === 1;
    if (this.#decoder.state !== "configured" || (this.#waitsForKey && !isKey)) return;
    this.#waitsForKey = false;
    this.#decoder.decode(new EncodedVideoChunk({ type: isKey ? "key" : "delta", timestamp: view.getUint32(1), data: new Uint8Array(data, 5) }));
  }

  stop() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    if (this.#decoder?.state !== "closed") this.#decoder?.close();
  }
}

/** H.264 by WebRTC: the shortest delay, by UDP or else by TCP. */
class Rtc extends Transport {
  static name_ = "webrtc";
  static isPossible = () => "RTCPeerConnection" in window;
  element = h("video", { class: "picture", autoplay: true, playsinline: true, muted: true });
  #connection = null;
  #stream = null;

  get size() {
    return [this.element.videoWidth, this.element.videoHeight];
  }

  async start() {
    const connection = new RTCPeerConnection();
    this.#connection = connection;
    this.element.muted = true;
    const fail = () => this.#connection === connection && this.tell("failed");
    connection.onconnectionstatechange = () => ["failed", "disconnected", "closed"].includes(connection.connectionState) && fail();
    const { receiver } = connection.addTransceiver("video", { direction: "recvonly" });
    // A picture is shown when it is there: nobody lip-reads a screen.
    if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
    this.element.srcObject = new MediaStream([receiver.track]);
    try {
      await connection.setLocalDescription();
      const { sdp, stream } = await ask("POST", "video/webrtc", { sdp: connection.localDescription.sdp });
      this.#stream = stream;
      await connection.setRemoteDescription({ type: "answer", sdp });
      this.#watch(connection);
      await this.element.play();
    } catch {
      fail();
    }
  }

  #watch(connection) {
    const shown = (_, { rtpTimestamp }) => {
      if (this.#connection !== connection) return;
      this.tell("shown", { stream: this.#stream, captured: rtpTimestamp });
      this.element.requestVideoFrameCallback(shown);
    };
    if ("requestVideoFrameCallback" in this.element) this.element.requestVideoFrameCallback(shown);
    else this.element.addEventListener("timeupdate", () => this.tell("shown", {}));
  }

  stop() {
    const connection = this.#connection;
    this.#connection = null;
    connection?.close();
    this.element.srcObject = null;
  }
}

export const TRANSPORTS = [Rtc, Socket, Mjpeg];

const KEY = "bakelite-transport";

/** What somebody chose on this browser: `auto`, or the name of a transport. */
export const chosen = () => localStorage.getItem(KEY) ?? "auto";
export const choose = (name) => localStorage.setItem(KEY, name);

/** The transports to try, best first. A dongle's own JPEG is passed on untouched: encoding it anew would cost
    the device more than it saves the network. */
export function order(format) {
  const all = TRANSPORTS.filter((transport) => transport.isPossible());
  const wanted = all.filter((transport) => transport.name_ === chosen());
  if (wanted.length > 0) return wanted;
  return ["MJPG", "JPEG"].includes(format) ? [Mjpeg] : all;
}
