// The operators' page: what the polls bring is put in part by part; a part that somebody is at stays until they leave it.
// While nobody looks at the page it does not ask.

const STALE_MS = 15000;
const TICK_MS = 1000;

const live = document.getElementById("lab-live");
const polled = new Set([live, document.getElementById("lab-graphs")]);
const stale = document.getElementById("stale");
const known = new Map(); // parts as the server sent them last
const waiting = new Map(); // parts that were in use when they changed
let confirmedAt = performance.now();

for (const part of document.querySelectorAll("[data-live]")) known.set(part.id, shownAs(part));

/** As markup, without what differs each time. */
function shownAs(part) {
  return part.outerHTML.replace(/name="csrfmiddlewaretoken" value="\w+"/g, "");
}

function isLookedAt() {
  return !document.hidden && document.hasFocus();
}

function isInUse(part) {
  return part.contains(document.activeElement) || part.querySelector("details[open]") !== null;
}

function replace(part) {
  if (known.get(part.id) === shownAs(part)) return;
  const shown = document.getElementById(part.id);
  if (isInUse(shown)) {
    waiting.set(part.id, part);
    return;
  }
  waiting.delete(part.id);
  known.set(part.id, shownAs(part));
  shown.replaceWith(part.cloneNode(true));
}

function tick() {
  for (const part of [...waiting.values()]) replace(part);
  const age = performance.now() - confirmedAt;
  const rests = !isLookedAt();
  stale.hidden = !rests && age <= STALE_MS;
  if (rests) stale.textContent = stale.dataset.resting;
  else if (!stale.hidden) stale.textContent = stale.dataset.words.replace("{seconds}", Math.floor(age / 1000));
}

document.body.addEventListener("htmx:beforeRequest", (event) => {
  if (polled.has(event.detail.elt) && !isLookedAt()) event.preventDefault();
});

document.body.addEventListener("htmx:afterRequest", ({ detail: { elt, xhr, successful } }) => {
  if (!polled.has(elt)) return;
  if (xhr.status === 404) location.reload(); // signed out, or no longer staff
  if (!successful) return;
  const received = new DOMParser().parseFromString(xhr.responseText, "text/html");
  if (!received.getElementById(elt.id)) {
    location.reload();
    return;
  }
  if (elt === live) confirmedAt = performance.now();
  for (const part of received.querySelectorAll("[data-live]")) replace(part);
});

window.addEventListener("focus", () => {
  confirmedAt = performance.now();
  htmx.trigger(document.body, "lab-look");
});
setInterval(tick, TICK_MS);
