// The student's page: a list that converges to the database, and uploads.
import { announce } from "./dashboard/announce.js";
import { apply, noteStatus, remove, rowOf, settle } from "./dashboard/rows.js";
import { Updates } from "./dashboard/updates.js";
import { watchUploads } from "./uploads.js";

const TICK_MS = 1000;

const page = document.getElementById("dashboard");
let updates = null;
let working = true; // whether a worker is there; unknown at first

const handlers = {
  snapshot(message) {
    announce(apply(message.rows.map((update) => rowOf(update.html)), { whole: true }));
    handlers.tasks_summary(message.summary);
    handlers.phase_change(message.phase);
  },
  task_update(message) {
    if (message.status === "deleted") remove(`submission-${message.submission_id}`);
    else announce(apply([rowOf(message.html)]));
  },
  tasks_summary(message) {
    setText("queue-counts", message.words);
    // Work goes on again after nobody was there: what is to be said of that is asked for, so that it is said once.
    if (message.working && !working) updates.fetch();
    working = message.working;
  },
  phase_change: (message) => setText("queue-words", message.words),
};

function showDocument(parsed) {
  announce(apply([...parsed.querySelectorAll("[data-row]")], { whole: true }));
  for (const id of ["queue-words", "queue-counts"]) setText(id, parsed.getElementById(id).textContent);
}

function showNotices(parsed) {
  document.getElementById("notices").append(...parsed.querySelectorAll("[data-notice]"));
}

function setText(id, words) {
  const place = document.getElementById(id);
  if (place.textContent !== words) place.textContent = words;
}

/** What changes by time alone: how old the list is, and which parts of it are no longer in use. */
function tick() {
  updates.checkSocket();
  settle();
  const { staleness, connected } = updates;
  const stale = document.getElementById("stale");
  document.getElementById("connection").hidden = connected || staleness > 0;
  stale.hidden = staleness === 0;
  if (staleness) setText("stale", stale.dataset.words.replace("{seconds}", Math.floor(staleness / 1000)));
}

/** A button's answer is the row as it is now. Its new status is announced, and the focus stays in the row. */
function handleAnswer(event) {
  const row = document.getElementById(event.detail.target.id);
  if (!row?.matches("[data-row]")) return;
  if (noteStatus(row)) announce([row]);
  if (document.activeElement === document.body) row.querySelector("button, a.button, a").focus();
}

if (page) {
  const handleMessage = (message) => handlers[message.type]?.(message);
  updates = new Updates(page, { handleMessage, showDocument, showNotices });
  updates.connect();
  watchUploads(document.getElementById("upload"), () => updates.refresh());
  document.body.addEventListener("htmx:afterSettle", handleAnswer);
  document.body.addEventListener("submission-deleted", (event) => remove(`submission-${event.detail.id}`));
  page.addEventListener("focusout", () => setTimeout(settle)); // once the focus is where it goes
  setInterval(tick, TICK_MS);
}
