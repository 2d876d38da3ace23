// The class page: what the poll brings is put in part by part. A tick, an open list, the focus and a row that somebody
// is at stay as they are until they leave it.

const STALE_MS = 15000;
const TICK_MS = 1000;

const board = document.getElementById("board");
const body = board.querySelector("tbody");
const stale = document.getElementById("stale");
const known = new Map(); // parts as the server sent them last: what scripts add to them is no change
let latest = null; // the last board that was received, for parts that were in use then
let confirmedAt = performance.now();

for (const part of partsOf(board)) known.set(keyOf(part), part.outerHTML);

function partsOf(within) {
  return within.querySelectorAll("[data-part], [data-live]");
}

/** Unique on the page, and the same in what is received later. */
function keyOf(part) {
  return part.id || `${part.closest("[data-row]").id} ${part.dataset.part}`;
}

/** Whether the part has the focus, an open list or a pending request. */
function isInUse(part) {
  return (
    part.contains(document.activeElement) ||
    part.querySelector("details[open], .htmx-request") !== null ||
    part.classList.contains("htmx-request")
  );
}

/** Whether somebody is at the row: it must not go away under them. */
function isRowInUse(row) {
  return row.querySelector("input:checked") !== null || isInUse(row);
}

function update() {
  if (!latest) return;
  const fresh = [...latest.querySelectorAll("[data-row]")];
  removeOthers(new Set(fresh.map((row) => row.id)));
  for (const row of fresh) if (!document.getElementById(row.id)) add(row);
  putInOrder(fresh.map((row) => document.getElementById(row.id)));
  for (const part of partsOf(latest)) replace(part);
  document.getElementById("students").hidden = body.childElementCount === 0;
}

function add(row) {
  const made = row.cloneNode(true);
  body.append(made);
  for (const part of partsOf(made)) known.set(keyOf(part), part.outerHTML);
  htmx.process(made);
}

function removeOthers(kept) {
  for (const row of [...body.children]) {
    const leaves = !kept.has(row.id);
    row.toggleAttribute("data-left", leaves);
    if (!leaves || isRowInUse(row)) continue;
    for (const part of partsOf(row)) known.delete(keyOf(part));
    row.remove();
  }
}

function replace(part) {
  const key = keyOf(part);
  if (known.get(key) === part.outerHTML) return;
  const shown = part.id
    ? document.getElementById(part.id)
    : document.getElementById(part.closest("[data-row]").id).querySelector(`[data-part="${part.dataset.part}"]`);
  if (isInUse(shown)) return;
  known.set(key, part.outerHTML);
  const made = part.cloneNode(true);
  shown.replaceWith(made);
  htmx.process(made);
}

/** Rows are moved around the one with the focus: a row that is moved itself would lose it. */
function putInOrder(rows) {
  const present = [...body.children].filter((row) => rows.includes(row));
  if (present.every((row, place) => row === rows[place])) return;
  const fixed = rows.findIndex((row) => row.contains(document.activeElement));
  if (fixed < 0) {
    body.append(...rows);
    return;
  }
  rows[fixed].before(...rows.slice(0, fixed));
  rows[fixed].after(...rows.slice(fixed + 1));
}

/** What changes by time alone: how old the board is, and which parts of it are no longer in use. */
function tick() {
  const age = performance.now() - confirmedAt;
  stale.hidden = age <= STALE_MS;
  if (!stale.hidden) stale.textContent = stale.dataset.words.replace("{seconds}", Math.floor(age / 1000));
  update();
}

function receive(xhr) {
  const received = new DOMParser().parseFromString(xhr.responseText, "text/html").getElementById("board");
  if (!received || xhr.status === 404) {
    location.reload(); // signed out, or no longer a teacher of this class
    return;
  }
  confirmedAt = performance.now();
  latest = received;
  update();
}

document.body.addEventListener("htmx:afterRequest", ({ detail }) => {
  const { elt, xhr, successful } = detail;
  if (elt === board && (successful || xhr.status === 404)) receive(xhr);
  // The button is about to go away: the focus stays in its row.
  if (successful) elt.closest("[data-row]")?.querySelector("th a").focus();
  // It is done to them: they are chosen no longer.
  if (elt.closest("#chosen") && successful)
    for (const box of body.querySelectorAll("input:checked")) box.checked = false;
});
board.addEventListener("focusout", () => setTimeout(update)); // once the focus is where it goes
setInterval(tick, TICK_MS);
