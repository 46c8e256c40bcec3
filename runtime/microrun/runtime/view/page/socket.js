// The line to the server, taken up again whenever it breaks.
const AGAIN_MS = 1000;

export class Line {
  constructor(handlers) {
    this.handlers = handlers;
    this.open();
  }

  open() {
    const token = new URLSearchParams(location.search).get("token") || "";
    const address = new URL("data", location.href);
    address.protocol = "ws:";
    address.search = new URLSearchParams({token}).toString();
    this.socket = new WebSocket(address);
    this.socket.binaryType = "arraybuffer";
    this.socket.onmessage = message => this.take(message.data);
    this.socket.onclose = () => {
      this.handlers.lost();
      setTimeout(() => this.open(), AGAIN_MS);
    };
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  take(data) {
    if (typeof data === "string") {
      const message = JSON.parse(data), name = Object.keys(message)[0];
      this.handlers[name]?.(message[name], message);
      return;
    }
    const length = new DataView(data).getUint32(0, true);
    const about = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    if ("values" in about) this.handlers.values(about, new Float32Array(data, 4 + length));
    else this.handlers.point(about, new Uint8Array(data, 4 + length));
  }
}
