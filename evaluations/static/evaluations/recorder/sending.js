// Sends a recording while it grows: tus 1.0, with the length deferred to the end.
//
// tus-js-client, which sends files on the page "My videos", waits for a whole chunk of a stream before it sends one,
// can't go back in it, and has no timeout for requests. Here the bytes are stored, so any offset can be read.
import { codeOf, headers as sessionHeaders, secondsUntilRoom, signedIn, signedOut, wordsOf } from "../session.js";
import { capacityWord } from "../words.js";

const PIECE_BYTES = 1024 * 1024;
const MIN_PIECE_BYTES = 64 * 1024;
const REQUEST_TIMEOUT_MS = 60000; // a lost Wi-Fi causes no error by itself
const RETRY_DELAYS_MS = [1000, 2000, 4000, 8000, 15000];
const PERMANENT = [400, 410, 412, 413, 415]; // a retry gets the same answer
const GONE = [404, 410]; // the upload; the recording is still here

class Refused extends Error {
  /** `words`: the server's, if it sent any, and its `code`; `isForeign`: something between this page and the server answered;
   *  `roomSeconds`: for how long the lab takes no more, or 0. */
  constructor(status, { words, code, isForeign, roomSeconds }) {
    super(`${status}`);
    this.status = status;
    this.words = words;
    this.code = code;
    this.isForeign = isForeign;
    this.roomSeconds = roomSeconds;
  }
}

export class Sending {
  /** `changed(sending)` is called on each change: more is safe, trouble came or went, it is handed in. */
  constructor(take, { endpoint, chunkBytes }, changed) {
    this.take = take;
    this.endpoint = endpoint;
    this.pieceBytes = Math.min(PIECE_BYTES, chunkBytes);
    this.changed = changed;
    this.offset = null; // as the server confirmed; null: unknown
    this.safeBytes = 0;
    this.trouble = null; // the name of the text on what is wrong, or null
    this.reason = ""; // the server's own words for it
    this.minutes = 0; // how long it is until there is room, as the server has said
    this.roomAt = null; // when it is tried again, in milliseconds; null: the lab is not at capacity
    this.submission = null; // where the result will be
    this.isOver = false;
    this.wake = () => {};
    this.running = null;
    this.overridesPatch = false; // where a proxy lets no PATCH pass
    this.onReturn = () => this.trouble && !this.roomAt && this.wake();
    addEventListener("online", this.onReturn);
    addEventListener("focus", this.onReturn); // perhaps from signing in again in another window
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
        const isPermanent = PERMANENT.includes(error.status) && !error.isForeign;
        if (!error.roomSeconds) this.note(isPermanent ? "hopeless" : troubleOf(error), error.words);
        if (isPermanent) return;
        if (error.roomSeconds) {
          await this.waitForRoom(error);
          continue;
        }
        await this.wait(RETRY_DELAYS_MS[Math.min(failures, RETRY_DELAYS_MS.length - 1)]);
        failures += 1;
      }
    }
  }

  /** The lab takes no more for now: wait as long as it says, and count down. */
  async waitForRoom({ roomSeconds, words }) {
    this.roomAt = Date.now() + 1000 * roomSeconds;
    this.minutes = Math.ceil(roomSeconds / 60);
    this.note(capacityWord(roomSeconds), words);
    const ticks = setInterval(() => this.changed(this), 1000);
    await this.wait(1000 * roomSeconds);
    clearInterval(ticks);
    this.roomAt = null;
  }

  /** Until the next try, while the lab is at capacity; else null. */
  get secondsLeft() {
    return this.roomAt && Math.max(0, Math.ceil((this.roomAt - Date.now()) / 1000));
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
      await this.startOver(error);
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
      await this.startOver(error);
    }
  }

  /** Throws the error, unless the server has lost the upload: this browser still has all bytes. */
  async startOver(error) {
    if (!GONE.includes(error.status) || error.isForeign) throw error;
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
    const all = { "Tus-Resumable": "1.0.0", ...sessionHeaders(), ...headers };
    if (method === "PATCH" && this.overridesPatch) all["X-HTTP-Method-Override"] = method;
    const sent = all["X-HTTP-Method-Override"] ? "POST" : method;
    try {
      const answer = await fetch(url, { method: sent, headers: all, body, signal: deadline.signal });
      const isForeign = !answer.headers.has("Tus-Resumable");
      if (!answer.ok || isForeign) throw await this.refused(answer, isForeign);
      signedIn();
      return answer;
    } finally {
      clearTimeout(timer);
    }
  }

  /** What a proxy does not let pass, the next try does without. */
  async refused(answer, isForeign) {
    const { status } = answer;
    const text = await answer.text();
    const words = wordsOf(text, { withAdvice: false });
    if (status === 401) signedOut({ words: wordsOf(text) });
    if (isForeign && status === 413) this.pieceBytes = Math.max(MIN_PIECE_BYTES, this.pieceBytes / 2);
    if (isForeign && [405, 501].includes(status)) this.overridesPatch = true;
    const roomSeconds = isForeign ? 0 : secondsUntilRoom(text, answer.headers.get("Retry-After"));
    return new Refused(status, { words, code: codeOf(text), isForeign, roomSeconds });
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
    removeEventListener("online", this.onReturn);
    removeEventListener("focus", this.onReturn);
    this.wake();
  }
}

function troubleOf(error) {
  if (!(error instanceof Refused)) return "offline";
  if ([409, 423].includes(error.status)) return null; // asking for the offset fixes it
  if (error.code === "no_consent") return "refused";
  if ([401, 403].includes(error.status)) return "signed_out";
  if (error.isForeign) return "in_between";
  return error.status >= 500 && error.status !== 507 ? "offline" : "refused";
}

function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(String(text))));
}
