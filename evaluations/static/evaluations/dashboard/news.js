// Where news come from: a socket that is believed while it gives signs of life, and a poll while there is none.

const POLL_MS = 5000;
const RECONNECT_MS = [1000, 8000];
const SILENT_MS = 12000; // the server says something every 7 s at the latest
const STALE_MS = 15000;
const SIGNED_OUT = 4401;

export class News {
  /**
   * `page` is the element that names the addresses; `heard` gets each message of the socket, `fetched` each document
   * that was polled for.
   */
  constructor(page, { heard, fetched }) {
    this.page = page;
    this.heard = heard;
    this.fetched = fetched;
    this.socket = null;
    this.poll = null;
    this.number = 0; // of the socket's last message
    this.confirmedAt = performance.now();
  }

  get connected() {
    return this.poll === null && this.socket !== null;
  }

  /** Milliseconds for which nothing confirmed what the page shows; 0 while that is no reason to worry. */
  get staleness() {
    const age = performance.now() - this.confirmedAt;
    return age > STALE_MS ? age : 0;
  }

  follow() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    try {
      this.socket = new WebSocket(`${scheme}://${location.host}${this.page.dataset.socket}`);
    } catch {
      this.lost();
      return;
    }
    const socket = this.socket;
    this.openedAt = performance.now();
    socket.onmessage = (event) => this.receive(JSON.parse(event.data));
    socket.onclose = (event) => (event.code === SIGNED_OUT ? location.reload() : this.lost());
  }

  receive(message) {
    const isNext = message.type === "snapshot" || message.seq === this.number + 1;
    this.number = message.seq;
    if (!isNext) {
      this.look();
      return;
    }
    clearInterval(this.poll);
    this.poll = null;
    this.confirmedAt = performance.now();
    this.heard(message);
  }

  /** Ask for everything, by whichever way is open. */
  look() {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send("snapshot");
    else this.fetch();
  }

  /** A socket that is silent is as good as none, whatever it says of itself: a cable may be out. */
  check() {
    if (this.socket === null || performance.now() - Math.max(this.confirmedAt, this.openedAt) < SILENT_MS) return;
    this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.lost();
  }

  lost() {
    this.socket = null;
    if (this.poll === null) {
      this.poll = setInterval(() => this.fetch(), POLL_MS);
      this.fetch();
    }
    const [least, most] = RECONNECT_MS;
    // Spread out: thirty pages that lost the server together must not come back together.
    setTimeout(() => this.follow(), least + Math.random() * (most - least));
  }

  async fetch() {
    const asked = performance.now();
    try {
      const answer = await fetch(this.page.dataset.fragment, {
        headers: { Accept: "text/html" },
        signal: AbortSignal.timeout(POLL_MS),
      });
      if (answer.redirected) location.reload();
      if (!answer.ok) return;
      const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
      // What the socket said meanwhile is newer.
      if (this.confirmedAt > asked) return;
      this.confirmedAt = performance.now();
      this.fetched(parsed);
    } catch {
      // The server is away; the next turn asks again.
    }
  }
}
