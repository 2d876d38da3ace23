// Sends a recording while it grows: tus 1.0, with the length deferred to the end.
//
// tus-js-client, which sends files on the page "My videos", waits for a whole chunk of a stream before it sends one,
// can't go back in it, and has no timeout for requests. Here the bytes are stored, so any offset can be read.

const PIECE_BYTES = 1024 * 1024;
const REQUEST_TIMEOUT_MS = 60000; // a lost Wi-Fi causes no error by itself
const RETRY_DELAYS_MS = [1000, 2000, 4000, 8000, 15000];
const PERMANENT = [400, 410, 412, 413, 415]; // a retry gets the same answer
const GONE = [404, 410]; // the upload; the recording is still here

class Refused extends Error {
  constructor(status, words) {
    super(`${status}`);
    this.status = status;
    this.words = words; // the server's, if it sent any
  }
}

export class Sending {
  /** `changed(sending)` is called on each change: more is safe, trouble came or went, it is handed in. */
  constructor(take, { endpoint, csrf, chunkBytes }, changed) {
    this.take = take;
    this.endpoint = endpoint;
    this.csrf = csrf;
    this.pieceBytes = Math.min(PIECE_BYTES, chunkBytes);
    this.changed = changed;
    this.offset = null; // as the server confirmed; null: unknown
    this.safeBytes = 0;
    this.trouble = null; // the name of the text on what is wrong, or null
    this.reason = ""; // the server's own words for it
    this.submission = null; // where the result will be
    this.isOver = false;
    this.wake = () => {};
    this.running = null;
    this.onOnline = () => this.wake();
    addEventListener("online", this.onOnline);
  }

  run() {
    this.running = this.loop();
    return this.running;
  }

  async loop() {
    let failures = 0;
    while (!this.isOver) {
      try {
        await this.step();
        failures = 0;
        this.note(null);
      } catch (error) {
        if (this.isOver) return;
        this.offset = null;
        const isPermanent = PERMANENT.includes(error.status);
        this.note(isPermanent ? "hopeless" : troubleOf(error), error.words);
        if (isPermanent) return;
        await this.wait(RETRY_DELAYS_MS[Math.min(failures, RETRY_DELAYS_MS.length - 1)]);
        failures += 1;
      }
    }
  }

  /** The take has grown, or may be handed in. */
  more() {
    if (this.trouble === null) this.wake();
  }

  /** Discard it, on the server too; after the pending request was answered, which may contain its address. */
  async discard() {
    this.end();
    await this.running;
    const { url } = this.take.facts;
    if (url) await this.ask("DELETE", url).catch(() => {}); // else it expires there by itself
  }

  step() {
    const { url, size, submitted } = this.take.facts;
    if (!url) return this.create();
    if (this.offset === null) return this.locate();
    return size > this.offset || submitted ? this.send() : this.wait();
  }

  async create() {
    const { id, classroom, name } = this.take.facts;
    const fields = Object.entries({ client: id, classroom, filename: name });
    const metadata = fields.map(([key, value]) => `${key} ${base64(value)}`).join(",");
    const answer = await this.ask("POST", this.endpoint, { "Upload-Defer-Length": "1", "Upload-Metadata": metadata });
    await this.take.note({ url: new URL(answer.headers.get("Location"), location.href).pathname });
  }

  async locate() {
    try {
      this.readAnswer(await this.ask("HEAD", this.take.facts.url));
    } catch (error) {
      if (!GONE.includes(error.status)) throw error;
      await this.startOver();
    }
  }

  async send() {
    const { url, size, submitted } = this.take.facts;
    const piece = await this.take.read(this.offset, this.pieceBytes);
    const headers = { "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(this.offset) };
    if (submitted && this.offset + piece.size === size) headers["Upload-Length"] = String(size);
    try {
      this.readAnswer(await this.ask("PATCH", url, headers, piece));
    } catch (error) {
      if (!GONE.includes(error.status)) throw error;
      await this.startOver();
    }
  }

  /** The server has lost the upload; this browser still has all bytes. */
  async startOver() {
    await this.ask("DELETE", this.take.facts.url).catch(() => {});
    this.offset = null;
    await this.take.note({ url: null });
  }

  readAnswer(answer) {
    this.offset = this.safeBytes = Number(answer.headers.get("Upload-Offset"));
    this.submission = answer.headers.get("Submission-Location");
    if (this.submission) this.end();
  }

  async ask(method, url, headers = {}, body = undefined) {
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), REQUEST_TIMEOUT_MS);
    const always = { "Tus-Resumable": "1.0.0", "X-CSRFToken": this.csrf };
    try {
      const answer = await fetch(url, { method, headers: { ...always, ...headers }, body, signal: deadline.signal });
      if (!answer.ok) throw new Refused(answer.status, await wordsOf(answer));
      return answer;
    } finally {
      clearTimeout(timer);
    }
  }

  note(trouble, reason = "") {
    this.trouble = trouble;
    this.reason = reason;
    this.changed(this);
  }

  /** Wait until woken, or for so long. */
  wait(milliseconds = null) {
    return new Promise((resolve) => {
      this.wake = resolve;
      if (milliseconds !== null) setTimeout(resolve, milliseconds);
    });
  }

  end() {
    this.isOver = true;
    removeEventListener("online", this.onOnline);
    this.wake();
  }
}

function troubleOf(error) {
  if (!(error instanceof Refused)) return "offline";
  if ([409, 423].includes(error.status)) return null; // asking for the offset fixes it
  if ([401, 403].includes(error.status)) return "signed_out";
  return error.status >= 500 && error.status !== 507 ? "offline" : "refused";
}

async function wordsOf(answer) {
  try {
    const problem = await answer.json();
    return problem.what && `${problem.title}. ${problem.what}`;
  } catch {
    return "";
  }
}

function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(String(text))));
}
