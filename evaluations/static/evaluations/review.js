// The review page: each decision is sent at once, in the order made, and by one key.
//
// The forms work without this script. With it a decision is answered by the part of the page that it changes, so the
// player plays on; decisions made quickly wait for each other. Keys do nothing while somebody types.
import { hear, player } from "./player.js";
import { headers, renew, signedOut, stayWhile, token, wordsOf } from "./session.js";

const TYPED_IN = "input, textarea, select, [contenteditable]";
const PRESSED = "a, button, summary, audio, video";
const ADDRESS = location.pathname;

const keys = document.getElementById("keys");
const review = () => document.getElementById("review");
const items = () => [...review().querySelectorAll("[data-item]")];

let current = items()[0]?.dataset.item; // the item that keys decide on
let sent = Promise.resolve(true); // whether all decisions so far were saved

// ---- sending

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || !form.querySelector("[name=seen]")) return;
  event.preventDefault();
  if (form.hasAttribute("data-leaves")) leave(form, event.submitter);
  else send(form, event.submitter);
});

function send(form, submitter) {
  const body = new FormData(form, submitter);
  const isOffer = Boolean(form.closest(".offer"));
  if (isOffer) form.closest(".offer").remove();
  const isWord = body.get("do") === "word";
  sent = sent.then(async () => {
    const saved = await post(body);
    // The transcript is beside the part that was answered.
    if (saved && isWord) location.reload();
    return saved;
  });
}

/** Whether it was saved. Anything but an answer of the server leaves the page as it is. */
async function post(body) {
  // What has been decided meanwhile by this same person is no conflict.
  const problem = document.getElementById("problem");
  try {
    body.set("csrfmiddlewaretoken", token()); // it may have waited for others
    const answer = await fetch(ADDRESS, {
      method: "POST",
      body,
      headers: { "X-Part": "review", ...headers() },
      keepalive: true,
    });
    const text = await answer.text();
    if (answer.status === 401) signedOut({ words: wordsOf(text), undone: true });
    const holder = document.createElement("template");
    holder.innerHTML = text;
    const fresh = holder.content.getElementById("review");
    problem.hidden = fresh !== null;
    if (fresh) show(fresh);
    return answer.ok;
  } catch {
    problem.hidden = false;
    return false;
  }
}

/** Whether something was typed that is not saved. */
function isTyped() {
  const fields = [...document.querySelectorAll("main textarea, main input:not([type=hidden])")];
  return fields.some((field) => field.value !== field.defaultValue);
}

stayWhile(isTyped);

/** What somebody is typing in stays, and so does what was not saved because of somebody else's change. */
function show(fresh) {
  const old = review();
  const focus = document.activeElement.id;
  const typed = old.contains(document.activeElement) && document.activeElement.matches(TYPED_IN);
  for (const field of old.querySelectorAll("textarea, input:not([type=hidden])")) {
    const twin = field.id && fresh.querySelector(`#${field.id}`);
    if (twin && field.value !== field.defaultValue) twin.value = field.value;
  }
  const offers = [...old.querySelectorAll(".offer")];
  const opened = old.querySelector("#decisions")?.open;
  old.replaceWith(fresh);
  fresh.prepend(...offers);
  for (const field of fresh.querySelectorAll(".offer [name=seen], .offer [name=evaluation]")) {
    field.value = fresh.querySelector(`#confirm [name=${field.name}]`).value;
  }
  fresh.querySelector("#decisions").open = opened;
  refreshOthers(fresh);
  document.getElementById("announcer").textContent = fresh.dataset.said ?? "";
  mark();
  if (focus && (typed || document.activeElement === document.body)) document.getElementById(focus)?.focus();
  else if (document.activeElement === document.body) here()?.focus({ preventScroll: true });
}

/** The form beside the transcript has seen what this part has. */
function refreshOthers(fresh) {
  for (const field of document.querySelectorAll("#correction [name=seen], #correction [name=evaluation]")) {
    field.value = fresh.querySelector(`#confirm [name=${field.name}]`).value;
  }
}

/** To the next submission, once everything here is saved. */
async function leave(form, submitter) {
  const value = submitter?.value ?? "yes";
  if (!(await sent)) {
    sent = Promise.resolve(true);
    if (review().querySelector(".offer")) return; // it must be decided first
  }
  const now = document.getElementById("confirm");
  const chosen = document.createElement("input");
  Object.assign(chosen, { type: "hidden", name: "value", value });
  now.append(chosen);
  renew(now);
  now.submit();
}

// ---- items

const here = () => items().find((item) => item.dataset.item === current);

function mark() {
  for (const item of items()) item.toggleAttribute("data-current", item.dataset.item === current);
  for (const button of review().querySelectorAll("[data-dismiss]")) button.hidden = false;
}

function step(by) {
  const all = items();
  const next = all[all.indexOf(here()) + by];
  if (!next) return;
  current = next.dataset.item;
  mark();
  next.focus();
}

document.addEventListener("focusin", (event) => {
  const item = event.target.closest?.("[data-item]");
  if (!item) return;
  current = item.dataset.item;
  mark();
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-dismiss]")) event.target.closest(".offer").remove();
  const word = event.target.closest(".word");
  if (word && document.getElementById("correction").open) document.getElementById("word").value = word.dataset.number;
});

// ---- keys

const decide = (value) => here()?.querySelector(`[name=value][value=${value}]`)?.click();
const confirmWith = (value) => leave(null, { value });

const KEYS = {
  j: () => step(1),
  ArrowDown: () => step(1),
  k: () => step(-1),
  ArrowUp: () => step(-1),
  y: () => decide("yes"),
  n: () => decide("no"),
  u: () => decide("program"),
  h: () => here()?.querySelector("[data-seek]") && hear(here().querySelector("[data-seek]")),
  p: play,
  " ": play,
  z: () => document.getElementById("undo-last").click(),
  c: () => document.getElementById("comment").focus(),
  o: () => document.getElementById("overall").focus(),
  ArrowRight: () => document.getElementById("next")?.click(),
  ArrowLeft: () => document.getElementById("previous")?.click(),
  "?": () => keys.showModal(),
};

function play() {
  if (player.paused) player.play().catch(() => {});
  else player.pause();
}

document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || event.defaultPrevented || keys.open) return;
  if (target.matches(TYPED_IN)) {
    if (key === "Escape") target.blur();
    return;
  }
  if (target.closest(".transcript")) return; // arrow keys go from word to word there
  if (key === "Enter" && !target.matches(PRESSED)) {
    event.preventDefault();
    if (!event.repeat) confirmWith(event.shiftKey ? "release" : "yes");
  } else if (key in KEYS && !(target.matches(PRESSED) && (key === " " || key.startsWith("Arrow")))) {
    event.preventDefault();
    KEYS[key]();
  }
});

const showKeys = document.getElementById("show-keys");
showKeys.hidden = false;
showKeys.addEventListener("click", () => keys.showModal());
// Where it was opened from has the focus again, and Enter would open it once more.
keys.addEventListener("close", () => document.activeElement.blur());
mark();
