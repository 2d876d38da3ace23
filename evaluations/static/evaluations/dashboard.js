// The student's page: news over a socket, a poll while it is down, and uploads.
import { watchUploads } from "./uploads.js";

const POLL_MS = 5000;
const SAFETY_MS = 30000;
const RECONNECT_MS = [1000, 8000];
const SIGNED_OUT = 4401;

const page = document.getElementById("dashboard");
const title = document.title;
let ready = 0;

// ---- rows

/** Bring one row up to date. Older news than what is shown is dropped; a row with the focus inside keeps its buttons. */
function applyRow(fresh) {
  const shown = document.getElementById(fresh.id);
  if (!shown) {
    document.getElementById("submissions").prepend(fresh);
    document.getElementById("none-yet").hidden = true;
    htmx.process(fresh);
    announce(fresh);
    return;
  }
  if (Number(fresh.dataset.sequence) < Number(shown.dataset.sequence)) return;
  if (shown.dataset.status !== fresh.dataset.status) {
    replaceRow(shown, fresh);
    announce(fresh);
  } else {
    replaceParts(shown, fresh);
  }
}

function replaceRow(shown, fresh) {
  const focused = shown.contains(document.activeElement) ? document.activeElement.id : "";
  shown.replaceWith(fresh);
  htmx.process(fresh);
  if (focused) (document.getElementById(focused) || fresh.querySelector("a, button")).focus();
}

function replaceParts(shown, fresh) {
  shown.dataset.sequence = fresh.dataset.sequence;
  for (const part of fresh.querySelectorAll("[data-part]")) {
    const old = shown.querySelector(`[data-part="${part.dataset.part}"]`);
    if (old.outerHTML === part.outerHTML || old.contains(document.activeElement)) continue;
    old.replaceWith(part);
    htmx.process(part);
  }
}

function announce(row) {
  document.getElementById("announcer").textContent = row.dataset.words;
  if (row.dataset.status === "completed" && document.hidden) {
    ready += 1;
    document.title = `(${ready}) ${title}`;
  }
}

function rowOf(html) {
  const holder = document.createElement("template");
  holder.innerHTML = html;
  return holder.content.firstElementChild;
}

/** All rows there are. They come newest first; a new one goes on top, so the oldest is applied first. */
function applyAll(rows) {
  const ids = new Set(rows.map((row) => row.id));
  for (const shown of [...document.querySelectorAll("#submissions [data-row]")]) if (!ids.has(shown.id)) removeRow(shown);
  for (const row of rows.reverse()) applyRow(row);
}

/** It was deleted. Whoever was in it goes on at the next one. */
function removeRow(row) {
  if (!row) return;
  const next = row.nextElementSibling ?? row.previousElementSibling;
  const hadFocus = row.contains(document.activeElement);
  row.remove();
  document.getElementById("none-yet").hidden = next !== null;
  if (hadFocus) (next?.querySelector("a, button") ?? document.getElementById("main")).focus();
}

function sayQueue(words, counts) {
  for (const [id, text] of [["queue-words", words], ["queue-counts", counts]]) {
    const place = document.getElementById(id);
    if (text !== undefined && place.textContent !== text) place.textContent = text;
  }
}

// ---- news

const heard = {
  snapshot(message) {
    applyAll(message.rows.map((update) => rowOf(update.html)));
    heard.tasks_summary(message.summary);
    heard.phase_change(message.phase);
  },
  task_update(message) {
    if (message.status === "deleted") removeRow(document.getElementById(`submission-${message.submission_id}`));
    else applyRow(rowOf(message.html));
  },
  tasks_summary: (message) => sayQueue(undefined, message.words),
  phase_change: (message) => sayQueue(message.words),
};

let socket = null;
let poll = null;

function follow() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  try {
    socket = new WebSocket(`${scheme}://${location.host}${page.dataset.socket}`);
  } catch {
    lost();
    return;
  }
  socket.onopen = () => setConnected(true);
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    heard[message.type]?.(message);
  };
  socket.onclose = (event) => (event.code === SIGNED_OUT ? location.reload() : lost());
}

function lost() {
  setConnected(false);
  const [least, most] = RECONNECT_MS;
  // Spread out: thirty pages that lost the server together must not come back together.
  setTimeout(follow, least + Math.random() * (most - least));
}

function setConnected(connected) {
  document.getElementById("connection").hidden = connected;
  if (connected) {
    clearInterval(poll);
    poll = null;
  } else if (poll === null) {
    poll = setInterval(fetchRows, POLL_MS);
    fetchRows();
  }
}

async function fetchRows() {
  try {
    const answer = await fetch(page.dataset.fragment, { headers: { Accept: "text/html" } });
    if (answer.redirected) location.reload();
    if (!answer.ok || socket?.readyState === WebSocket.OPEN) return; // the socket knows better by now
    const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
    applyAll([...parsed.querySelectorAll("[data-row]")]);
    sayQueue(parsed.getElementById("queue-words").textContent, parsed.getElementById("queue-counts").textContent);
  } catch {
    // The server is away; the next turn asks again.
  }
}

/** Ask for everything, by whichever way is open. */
function look() {
  if (socket?.readyState === WebSocket.OPEN) socket.send("snapshot");
  else fetchRows();
}

// ---- begin

if (page) {
  follow();
  watchUploads(document.getElementById("upload"), look);
  setInterval(() => socket?.readyState === WebSocket.OPEN && look(), SAFETY_MS);
  document.body.addEventListener("submission-deleted", (event) => {
    removeRow(document.getElementById(`submission-${event.detail.id}`));
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    ready = 0;
    document.title = title;
  });
}
