// Updates of the list: by a socket as long as it receives something, else by polling.
import { headers, signedIn, signedOut, wordsOf } from "../session.js";

const POLL_MS = 5000;
const RECONNECT_MS = [1000, 8000];
const SILENT_MS = 12000; // the server sends something every 7 s at the latest
const STALE_MS = 15000;

export class Updates {
  /**
   * `page` is the element that names the addresses; `handleMessage` gets each message of the socket, `showDocument` each
   * document that was polled and is the newest news; `showNotices` each document: what it says, none says again.
   */
  constructor(page, { handleMessage, showDocument, showNotices }) {
    this.page = page;
    this.handleMessage = handleMessage;
    this.showDocument = showDocument;
    this.showNotices = showNotices;
    this.socket = null;
    this.poll = null;
    this.number = 0; // of the socket's last message
    this.confirmedAt = performance.now();
  }

  get connected() {
    return this.poll === null && this.socket !== null;
  }

  /** Milliseconds since something confirmed what the page shows; 0 up to STALE_MS. */
  get staleness() {
    const age = performance.now() - this.confirmedAt;
    return age > STALE_MS ? age : 0;
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    try {
      this.socket = new WebSocket(`${scheme}://${location.host}${this.page.dataset.socket}`);
    } catch {
      this.reconnect();
      return;
    }
    const socket = this.socket;
    this.openedAt = performance.now();
    socket.onmessage = (event) => this.receive(JSON.parse(event.data));
    socket.onclose = () => this.reconnect(); // the poll finds out if it was closed for want of a session
  }

  receive(message) {
    const isNext = message.type === "snapshot" || message.seq === this.number + 1;
    this.number = message.seq;
    if (!isNext) {
      this.refresh();
      return;
    }
    clearInterval(this.poll);
    this.poll = null;
    this.confirmedAt = performance.now();
    this.handleMessage(message);
  }

  /** Request everything, by the socket if it is open, else by a poll. */
  refresh() {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send("snapshot");
    else this.fetch();
  }

  /** Close a socket that receives nothing, even if it seems open: a cable may be unplugged. */
  checkSocket() {
    if (this.socket === null || performance.now() - Math.max(this.confirmedAt, this.openedAt) < SILENT_MS) return;
    this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.reconnect();
  }

  /** Poll until a new socket, opened after a random delay, has received something. */
  reconnect() {
    this.socket = null;
    if (this.poll === null) {
      this.poll = setInterval(() => this.fetch(), POLL_MS);
      this.fetch();
    }
    const [min, max] = RECONNECT_MS;
    // Spread out: thirty pages that lost the server together must not come back together.
    setTimeout(() => this.connect(), min + Math.random() * (max - min));
  }

  async fetch() {
    const asked = performance.now();
    try {
      const answer = await fetch(this.page.dataset.fragment, {
        headers: { Accept: "text/html", ...headers() },
        signal: AbortSignal.timeout(POLL_MS),
      });
      if (answer.status === 401) signedOut({ words: wordsOf(await answer.text()) });
      if (!answer.ok) return;
      signedIn();
      const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
      this.showNotices(parsed);
      // What the socket received meanwhile is newer.
      if (this.confirmedAt > asked) return;
      this.confirmedAt = performance.now();
      this.showDocument(parsed);
    } catch {
      // The server is down; the next poll tries again.
    }
  }
}
