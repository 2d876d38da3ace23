// The student's page: a list that converges to the truth, and uploads.
import { News } from "./dashboard/news.js";
import { apply, isNews, remove, rowOf, settle } from "./dashboard/rows.js";
import { tell } from "./dashboard/telling.js";
import { watchUploads } from "./uploads.js";

const TICK_MS = 1000;

const page = document.getElementById("dashboard");

const heard = {
  snapshot(message) {
    tell(apply(message.rows.map((update) => rowOf(update.html)), { whole: true }));
    heard.tasks_summary(message.summary);
    heard.phase_change(message.phase);
  },
  task_update(message) {
    if (message.status === "deleted") remove(`submission-${message.submission_id}`);
    else tell(apply([rowOf(message.html)]));
  },
  tasks_summary: (message) => say("queue-counts", message.words),
  phase_change: (message) => say("queue-words", message.words),
};

function fetched(parsed) {
  tell(apply([...parsed.querySelectorAll("[data-row]")], { whole: true }));
  for (const id of ["queue-words", "queue-counts"]) say(id, parsed.getElementById(id).textContent);
}

function say(id, words) {
  const place = document.getElementById(id);
  if (place.textContent !== words) place.textContent = words;
}

/** What a second may change without any news: how old these are, and what nobody is at any more. */
function tick(news) {
  news.check();
  settle();
  const { staleness, connected } = news;
  const stale = document.getElementById("stale");
  document.getElementById("connection").hidden = connected || staleness > 0;
  stale.hidden = staleness === 0;
  if (staleness) say("stale", stale.dataset.words.replace("{seconds}", Math.floor(staleness / 1000)));
}

/** A button's answer is the row as it is now. Its status is news like any other, and the focus stays in the row. */
function answered(event) {
  const row = document.getElementById(event.detail.target.id);
  if (!row?.matches("[data-row]")) return;
  if (isNews(row)) tell([row]);
  if (document.activeElement === document.body) row.querySelector("button, a.button, a").focus();
}

if (page) {
  const news = new News(page, { heard: (message) => heard[message.type]?.(message), fetched });
  news.follow();
  watchUploads(document.getElementById("upload"), () => news.look());
  document.body.addEventListener("htmx:afterSettle", answered);
  document.body.addEventListener("submission-deleted", (event) => remove(`submission-${event.detail.id}`));
  page.addEventListener("focusout", () => setTimeout(settle)); // once the focus is where it goes
  setInterval(() => tick(news), TICK_MS);
}
