// Uploads one after another, in chunks, each with a row of its own. They continue by themselves when the network is back,
// and after a reload when the same file is chosen again.
import { headers, secondsUntilRoom, signedIn, signedOut, stayWhile, wordsOf } from "./session.js";
import { capacityWord, clock, word } from "./words.js";

// Counted from the last chunk that arrived; then ten seconds apart, for an hour.
const RETRIES_MS = [0, 1000, 3000, 5000, ...Array(360).fill(10000)];
const TRY_AGAIN = [409, 423]; // asking for the offset fixes it
const GONE = [404, 410];
const MAX_WAIT_SECONDS = 60; // whoever is told to wait longer is told so
const MIN_CHUNK_BYTES = 64 * 1024;

/** A response that must not be taken for "there is no such upload": tus-js-client would begin a new one. */
class UnclearError extends Error {
  constructor(response) {
    super(`${response.getStatus()}`);
    this.response = response;
  }
}

/** `form` holds the settings in data-*; `handedIn` is called after each file that has arrived whole. */
export function watchUploads(form, handedIn) {
  if (!form) return;
  const line = new UploadLine(form, handedIn);
  const input = form.querySelector("input[type=file]");
  form.addEventListener("submit", (event) => event.preventDefault());
  input.addEventListener("change", () => {
    line.add(input.files);
    input.value = "";
  });
  watchDrop(form.querySelector("#drop"), (files) => line.add(files));
  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-discard]");
    if (button) line.discard(button.closest("[data-url]"));
  });
  addEventListener("beforeunload", (event) => line.isBusy && event.preventDefault());
  stayWhile(() => line.isBusy);
  document.body.addEventListener("htmx:afterSwap", () => line.hideNotices());
  // Perhaps from signing in again in another window.
  addEventListener("focus", () => line.current?.goOnNow());
}

function watchDrop(place, take) {
  for (const kind of ["dragover", "dragleave", "drop"]) {
    place.addEventListener(kind, (event) => {
      event.preventDefault();
      place.classList.toggle("over", kind === "dragover");
      if (kind === "drop") take(event.dataTransfer.files);
    });
  }
  // A file dropped beside the field would otherwise replace the page.
  for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
}

class UploadLine {
  constructor(form, handedIn) {
    this.form = form;
    this.handedIn = handedIn;
    this.waiting = [];
    this.current = null;
  }

  get isBusy() {
    return this.current !== null || this.waiting.length > 0;
  }

  async add(chosen) {
    const files = [...chosen]; // the field is emptied meanwhile
    this.showProblem("");
    try {
      // More than half of the page's weight, so it is loaded when needed. It defines `window.tus`.
      await import(this.form.dataset.sender);
    } catch {
      this.showProblem(word("not_begun"));
      return;
    }
    for (const file of files) this.waiting.push(new Item(file, this));
    document.getElementById("uploads").scrollIntoView({ block: "nearest" });
    this.next();
  }

  next() {
    if (this.current) return;
    this.current = this.waiting.shift() || null;
    this.current?.start();
  }

  finished(item) {
    this.waiting = this.waiting.filter((other) => other !== item);
    if (this.current === item) this.current = null;
    this.hideNotices();
    this.next();
  }

  /** What is on its way from here is no unfinished upload to be chosen again. */
  hideNotices() {
    for (const notice of document.querySelectorAll(".unfinished")) notice.hidden = notice.dataset.url === this.current?.path;
  }

  showProblem(text) {
    const place = this.form.querySelector("#upload-problem");
    place.textContent = text;
    place.hidden = !text;
  }

  /** Discard an unfinished upload, on the server too. */
  async discard(notice) {
    try {
      const always = { "Tus-Resumable": "1.0.0", ...headers() };
      const answer = await fetch(notice.dataset.url, { method: "DELETE", headers: always });
      if (answer.ok || answer.status === 404) notice.remove();
      else if (answer.status === 401) signedOut({ words: wordsOf(await answer.text()), undone: true });
      else this.showProblem(word("not_discarded"));
    } catch {
      this.showProblem(word("no_answer"));
    }
  }
}

class Item {
  constructor(file, line) {
    this.file = file;
    this.line = line;
    this.row = document.getElementById("upload-row").content.firstElementChild.cloneNode(true);
    this.part(".name").textContent = file.name;
    this.part("progress").setAttribute("aria-label", word("uploading_file", { name: file.name }));
    this.part("[data-pause]").addEventListener("click", () => this.togglePause());
    this.part("[data-cancel]").addEventListener("click", () => this.cancel());
    this.label("[data-pause]", "pause");
    this.label("[data-cancel]", "cancel");
    document.getElementById("uploads").append(this.row);
    this.isPaused = false;
    this.isSignedOut = false;
    this.ticks = null; // of the count-down, while the lab is at capacity
  }

  part(selector) {
    return this.row.querySelector(selector);
  }

  label(selector, name) {
    this.part(selector).textContent = word(name);
    this.part(selector).setAttribute("aria-label", `${word(name)}: ${this.file.name}`);
  }

  show(name, words = "") {
    this.part("[data-state]").textContent = word(name);
    this.part("[data-line]").textContent = words;
  }

  /** The path of its address on the server, once it has one. */
  get path() {
    return this.upload?.url && new URL(this.upload.url, location.href).pathname;
  }

  async start() {
    const limit = Number(this.line.form.dataset.maxBytes);
    if (this.file.size === 0) return this.fail(word("empty"));
    if (this.file.size > limit) {
      return this.fail(word("too_large", { size: megabytes(this.file.size), limit: megabytes(limit) }));
    }
    this.upload = new tus.Upload(this.file, this.options());
    this.show("uploading");
    const earlier = await this.upload.findPreviousUploads();
    if (earlier.length) this.upload.resumeFromPreviousUpload(earlier[0]);
    this.line.hideNotices();
    if (!this.isPaused) this.upload.start();
  }

  options() {
    const form = this.line.form;
    const classroom = form.elements.classroom.value;
    return {
      endpoint: form.dataset.endpoint,
      chunkSize: Number(form.dataset.chunkBytes),
      retryDelays: RETRIES_MS,
      onShouldRetry: (error) => this.mayGoOn(error),
      removeFingerprintOnSuccess: true,
      onUploadUrlAvailable: () => this.line.hideNotices(),
      onBeforeRequest: (request) => {
        for (const [name, value] of Object.entries(headers())) request.setHeader(name, value);
      },
      metadata: { filename: this.file.name, classroom },
      // The student is part of it, since a lab's computers are shared.
      fingerprint: async (file) => ["introeval", form.dataset.user, classroom, file.name, file.size, file.lastModified].join("-"),
      onAfterResponse: (request, response) => {
        const status = response.getStatus();
        const isClear = status < 300 || (GONE.includes(status) && response.getHeader("Tus-Resumable"));
        if (request.getMethod() === "HEAD" && !isClear) throw new UnclearError(response);
        this.submission = response.getHeader("Submission-Location") || this.submission;
        this.isNew = response.getHeader("Submission-New") === "1" || this.isNew;
      },
      onProgress: (sent, total) => this.progress(sent, total),
      onSuccess: () => this.succeed(),
      onError: (error) => this.roomSeconds(error) ? this.waitForRoom(error) : this.fail(reasonOf(error) || word(responseTo(error)?.getStatus() === 403 ? "too_old" : "no_answer")),
    };
  }

  progress(sent, total) {
    this.isSignedOut = false;
    signedIn();
    this.part("progress").value = (100 * sent) / total;
    if (!this.isPaused) this.show("uploading", word("sent", { sent: megabytes(sent), total: megabytes(total) }));
  }

  /** Whether to retry: when the network, the server or something in between failed, or the session has ended. */
  mayGoOn(error) {
    const response = responseTo(error);
    const status = response?.getStatus() ?? 0;
    this.isSignedOut = status === 401;
    if (this.isSignedOut) {
      const words = reasonOf(error) || word("signed_out_here");
      signedOut({ words });
      return this.interrupt(words);
    }
    if (response && !response.getHeader("Tus-Resumable")) return this.goAround(status);
    if (this.roomSeconds(error)) return false; // tried again when the server has said, not when tus-js-client would
    const later = Number(response?.getHeader("Retry-After"));
    const isLater = later > 0 && later <= MAX_WAIT_SECONDS;
    if (status && status < 500 && !isLater) return TRY_AGAIN.includes(status);
    return this.interrupt(reasonOf(error) || word("away"));
  }

  roomSeconds(error) {
    const response = responseTo(error);
    return response ? secondsUntilRoom(response.getBody(), response.getHeader("Retry-After")) : 0;
  }

  /** The lab takes no more for now: wait as long as it says, count down, and begin again. */
  waitForRoom(error) {
    const seconds = this.roomSeconds(error);
    const at = Date.now() + 1000 * seconds;
    const words = word(capacityWord(seconds), {
      reason: wordsOf(responseTo(error).getBody(), { withAdvice: false }),
      minutes: Math.ceil(seconds / 60),
    });
    const tick = () => {
      const left = Math.ceil((at - Date.now()) / 1000);
      if (left > 0) return this.show("waiting", `${words} ${word("next_try", { time: clock(left) })}`);
      this.stopCounting();
      this.upload.start();
    };
    this.stopCounting();
    this.ticks = setInterval(tick, 1000);
    tick();
  }

  stopCounting() {
    clearInterval(this.ticks);
    this.ticks = null;
  }

  /** Something between this page and the server has answered: do without what it does not let pass, then try again. */
  goAround(status) {
    const { options } = this.upload;
    if (status === 413 && options.chunkSize > MIN_CHUNK_BYTES) options.chunkSize /= 2;
    if (status === 405 || status === 501) options.overridePatchMethod = true;
    return this.interrupt(word("in_between", { status }));
  }

  interrupt(words) {
    if (!this.isPaused) this.show("interrupted", words);
    return true;
  }

  /** Somebody is back at this window: what waits for a session need not wait for its next try. */
  async goOnNow() {
    if (!this.isSignedOut || this.isPaused) return;
    this.isSignedOut = false;
    await this.upload.abort();
    this.upload.start();
  }

  succeed() {
    this.forgetNotice();
    if (this.isNew) {
      this.row.remove();
    } else {
      this.show("before", word("not_twice"));
      this.end();
    }
    this.line.handedIn();
    this.line.finished(this);
  }

  fail(reason) {
    this.show("not_uploaded", reason);
    this.row.classList.add("failed");
    this.part("[data-line]").setAttribute("role", "alert");
    this.end();
    this.line.finished(this);
  }

  end() {
    this.part("progress").remove();
    this.part("[data-pause]").remove();
    this.label("[data-cancel]", "close");
  }

  togglePause() {
    this.isPaused = !this.isPaused;
    this.stopCounting();
    this.label("[data-pause]", this.isPaused ? "go_on" : "pause");
    if (this.isPaused) {
      this.show("paused", this.part("[data-line]").textContent);
      this.upload?.abort();
    } else {
      this.show(this.upload ? "uploading" : "waiting");
      this.upload?.start();
    }
  }

  async cancel() {
    const running = this.part("progress") && this.upload;
    this.stopCounting();
    this.row.remove();
    if (running) await this.upload.abort(true).catch(() => {});
    this.forgetNotice();
    this.line.finished(this);
  }

  /** The server listed this one as unfinished when the page was made. */
  forgetNotice() {
    for (const notice of document.querySelectorAll(".unfinished")) if (notice.dataset.url === this.path) notice.remove();
  }
}

function megabytes(bytes) {
  const digits = { minimumFractionDigits: 1, maximumFractionDigits: 1 };
  return (bytes / 1024 / 1024).toLocaleString(document.documentElement.lang, digits);
}

function responseTo(error) {
  return error.originalResponse ?? error.causingError?.response ?? null;
}

/** The server's words, if it sent any. */
function reasonOf(error) {
  return wordsOf(responseTo(error)?.getBody());
}
