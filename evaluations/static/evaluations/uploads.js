// Uploads one after another, each with a row of its own. They go on after a reload: choose the same file again.
import { Sending } from "./sending.js";
import { word } from "./words.js";

/** `form` holds the settings in data-*; `handedIn` is called after each file that has arrived whole. */
export function watchUploads(form, handedIn) {
  if (!form) return;
  const line = new Line(form, handedIn);
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

class Line {
  constructor(form, handedIn) {
    this.form = form;
    this.handedIn = handedIn;
    this.waiting = [];
    this.current = null;
  }

  get isBusy() {
    return this.current !== null || this.waiting.length > 0;
  }

  get server() {
    const { endpoint, chunkBytes } = this.form.dataset;
    return { endpoint, chunkBytes: Number(chunkBytes), csrf: this.form.elements.csrfmiddlewaretoken.value };
  }

  add(files) {
    this.say("");
    for (const file of files) this.waiting.push(new Item(file, this));
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
    this.next();
  }

  say(text) {
    const place = this.form.querySelector("#upload-problem");
    place.textContent = text;
    place.hidden = !text;
  }

  /** Forget an unfinished upload, on the server too. */
  async discard(notice) {
    const headers = { "Tus-Resumable": "1.0.0", "X-CSRFToken": this.server.csrf };
    try {
      const answer = await fetch(notice.dataset.url, { method: "DELETE", headers });
      if (answer.ok || answer.status === 404) notice.remove();
      else this.say(word("not_discarded"));
    } catch {
      this.say(word("no_answer"));
    }
  }
}

/** A chosen file as `Sending` reads it: all of it is there from the beginning. Where its upload is outlives the page. */
class Chosen {
  constructor(file, form) {
    const classroom = form.elements.classroom.value;
    this.file = file;
    // The student is part of it: a lab's computers are shared.
    this.key = ["introeval", form.dataset.user, classroom, file.name, file.size, file.lastModified].join("-");
    this.facts = { classroom, name: file.name, size: file.size, submitted: true, url: localStorage.getItem(this.key) };
  }

  async read(offset, most) {
    return this.file.slice(offset, offset + most);
  }

  async note({ url }) {
    this.facts.url = url;
    if (url) localStorage.setItem(this.key, url);
    else this.forget();
  }

  forget() {
    localStorage.removeItem(this.key);
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
  }

  part(selector) {
    return this.row.querySelector(selector);
  }

  label(selector, name) {
    this.part(selector).textContent = word(name);
    this.part(selector).setAttribute("aria-label", `${word(name)}: ${this.file.name}`);
  }

  say(name, words = "") {
    this.part("[data-state]").textContent = word(name);
    this.part("[data-line]").textContent = words;
  }

  start() {
    if (this.file.size === 0) return this.fail(word("empty"));
    if (this.file.size > Number(this.line.form.dataset.maxBytes)) return this.fail(word("too_large"));
    this.take = new Chosen(this.file, this.line.form);
    if (!this.isPaused) this.send();
  }

  /** From where the server says that it is. */
  send() {
    this.say("uploading");
    this.sending = new Sending(this.take, this.line.server, (sending) => sending === this.sending && this.tell());
    this.sending.run();
  }

  tell() {
    const { trouble, reason, status, submission } = this.sending;
    if (submission) this.succeed();
    else if (trouble === "signed_out") this.fail(reason || word("too_old"));
    else if (trouble === "refused" && status < 500) this.fail(reason || word("no_answer"));
    else if (trouble) this.say("interrupted", reason || word("away"));
    else this.progress(this.sending.safeBytes);
  }

  progress(sent) {
    this.part("progress").value = (100 * sent) / this.file.size;
    const words = word("sent", { sent: megabytes(sent), total: megabytes(this.file.size) });
    this.say(this.isPaused ? "paused" : "uploading", words);
  }

  succeed() {
    this.forgetNotice();
    this.take.forget();
    if (this.sending.isNew) {
      this.row.remove();
    } else {
      this.say("before", word("not_twice"));
      this.end();
    }
    this.line.handedIn();
    this.line.finished(this);
  }

  fail(reason) {
    this.sending?.end();
    this.say("not_uploaded", reason);
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
    this.label("[data-pause]", this.isPaused ? "go_on" : "pause");
    if (this.isPaused) {
      this.say("paused", this.part("[data-line]").textContent);
      this.sending?.end();
    } else if (this.take) {
      this.send();
    } else {
      this.say("waiting");
    }
  }

  cancel() {
    const isOnItsWay = this.part("progress") && this.sending;
    this.row.remove();
    if (isOnItsWay) {
      this.sending.discard(); // not waited for: the server may be away
      this.take.forget();
    }
    this.forgetNotice();
    this.line.finished(this);
  }

  /** The server listed this one as unfinished when the page was made. */
  forgetNotice() {
    const url = this.take?.facts.url;
    for (const notice of document.querySelectorAll(".unfinished")) if (notice.dataset.url === url) notice.remove();
  }
}

function megabytes(bytes) {
  const digits = { minimumFractionDigits: 1, maximumFractionDigits: 1 };
  return (bytes / 1024 / 1024).toLocaleString(document.documentElement.lang, digits);
}
