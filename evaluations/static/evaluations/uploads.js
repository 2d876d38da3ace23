// Uploads one after another, in chunks, each with a row of its own. They go on after a reload: choose the same file again.

const RETRIES_MS = [0, 1000, 3000, 5000, 10000, 20000];

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

  get csrf() {
    return this.form.elements.csrfmiddlewaretoken.value;
  }

  async add(chosen) {
    const files = [...chosen]; // the field is emptied meanwhile
    this.say("");
    try {
      // More than half of what this page would weigh, so it comes when it is needed. It puts itself into `window.tus`.
      await import(this.form.dataset.sender);
    } catch {
      this.say("Uploading did not begin: a part of this page could not be loaded. Reload it; if that doesn’t help, tell your teacher.");
      return;
    }
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
    const headers = { "Tus-Resumable": "1.0.0", "X-CSRFToken": this.csrf };
    try {
      const answer = await fetch(notice.dataset.url, { method: "DELETE", headers });
      if (answer.ok || answer.status === 404) notice.remove();
      else this.say("It could not be discarded. Reload the page and try again.");
    } catch {
      this.say("The server does not answer. Try again in a moment.");
    }
  }
}

class Item {
  constructor(file, line) {
    this.file = file;
    this.line = line;
    this.row = document.getElementById("upload-row").content.firstElementChild.cloneNode(true);
    this.part(".name").textContent = file.name;
    this.part("progress").setAttribute("aria-label", `Uploading ${file.name}`);
    this.part("[data-pause]").addEventListener("click", () => this.togglePause());
    this.part("[data-cancel]").addEventListener("click", () => this.cancel());
    this.label("[data-pause]", "Pause");
    this.label("[data-cancel]", "Cancel");
    document.getElementById("uploads").append(this.row);
    this.isPaused = false;
  }

  part(selector) {
    return this.row.querySelector(selector);
  }

  label(selector, words) {
    this.part(selector).textContent = words;
    this.part(selector).setAttribute("aria-label", `${words}: ${this.file.name}`);
  }

  say(state, words = "") {
    this.part("[data-state]").textContent = state;
    this.part("[data-line]").textContent = words;
  }

  async start() {
    const limit = Number(this.line.form.dataset.maxBytes);
    if (this.file.size === 0) return this.fail("The file is empty. Check the recording on your device.");
    if (this.file.size > limit) return this.fail("The file is too large. Record a shorter one, or with a lower quality.");
    this.upload = new tus.Upload(this.file, this.options());
    this.say("uploading");
    const earlier = await this.upload.findPreviousUploads();
    if (earlier.length) this.upload.resumeFromPreviousUpload(earlier[0]);
    if (!this.isPaused) this.upload.start();
  }

  options() {
    const form = this.line.form;
    const classroom = form.elements.classroom.value;
    return {
      endpoint: form.dataset.endpoint,
      chunkSize: Number(form.dataset.chunkBytes),
      retryDelays: RETRIES_MS,
      removeFingerprintOnSuccess: true,
      headers: { "X-CSRFToken": this.line.csrf },
      metadata: { filename: this.file.name, classroom },
      // The student is part of it: a lab's computers are shared.
      fingerprint: async (file) => ["introeval", form.dataset.user, classroom, file.name, file.size, file.lastModified].join("-"),
      onAfterResponse: (request, response) => {
        this.submission = response.getHeader("Submission-Location") || this.submission;
        this.isNew = response.getHeader("Submission-New") === "1" || this.isNew;
      },
      onProgress: (sent, total) => this.progress(sent, total),
      onSuccess: () => this.succeed(),
      onError: (error) => this.fail(words(error)),
    };
  }

  progress(sent, total) {
    this.part("progress").value = (100 * sent) / total;
    if (!this.isPaused) this.say("uploading", `${megabytes(sent)} of ${megabytes(total)} MB`);
  }

  succeed() {
    this.forgetNotice();
    if (this.isNew) {
      this.row.remove();
    } else {
      this.say("handed in before", "This very file is in your list already, so it was not added twice.");
      this.end();
    }
    this.line.handedIn();
    this.line.finished(this);
  }

  fail(reason) {
    this.say("not uploaded", reason);
    this.row.classList.add("failed");
    this.part("[data-line]").setAttribute("role", "alert");
    this.end();
    this.line.finished(this);
  }

  end() {
    this.part("progress").remove();
    this.part("[data-pause]").remove();
    this.label("[data-cancel]", "Close");
  }

  togglePause() {
    this.isPaused = !this.isPaused;
    this.label("[data-pause]", this.isPaused ? "Go on" : "Pause");
    if (this.isPaused) {
      this.say("paused", this.part("[data-line]").textContent);
      this.upload?.abort();
    } else {
      this.say(this.upload ? "uploading" : "waiting");
      this.upload?.start();
    }
  }

  async cancel() {
    const running = this.part("progress") && this.upload;
    this.row.remove();
    if (running) await this.upload.abort(true).catch(() => {});
    this.forgetNotice();
    this.line.finished(this);
  }

  /** The server listed this one as unfinished when the page was made. */
  forgetNotice() {
    const path = this.upload?.url && new URL(this.upload.url, location.href).pathname;
    for (const notice of document.querySelectorAll(".unfinished")) if (notice.dataset.url === path) notice.remove();
  }
}

function megabytes(bytes) {
  return (bytes / 1024 / 1024).toFixed(1);
}

/** The server's words if it sent any. */
function words(error) {
  const answer = error.originalResponse;
  try {
    const said = JSON.parse(answer.getBody());
    return `${said.title}. ${said.what} ${said.todo}`;
  } catch {
    if (answer?.getStatus() === 403) return "The page is too old. Reload it and choose the file again.";
    return "The server could not be reached. Choose the same file again to go on where it stopped.";
  }
}
