// The result page: later results appear without stopping the player.
import { readAlong } from "./coach.js";
import { player, transcript } from "./player.js";

const TOLD = ["[data-row]", "#operations", "#conversation"]; // parts that are polled; what is said of them is in data-words
const wordsNow = () => TOLD.map((part) => document.querySelector(part)?.dataset.words);

let words = wordsNow();
let opened = [];
let wasHere = false;
let isDeleting = false;

/** Only a changed status is announced. */
function announce() {
  const before = words;
  words = wordsNow();
  const changed = words.find((each, part) => each && each !== before[part]);
  if (changed) document.getElementById("announcer").textContent = changed;
}

const OWN_KEYS = "input, textarea, select, button, summary, a, video, audio, dialog";

/** Space and Escape pause what plays, wherever the reader is; where a key has a meaning of its own, it keeps that. */
function pause(event) {
  const meant = event.key === "Escape" || (event.key === " " && !event.target.closest(OWN_KEYS));
  if (!meant || player.paused) return;
  event.preventDefault();
  event.stopPropagation();
  player.pause();
}

addEventListener("keydown", pause, { capture: true });

/** The transcript's captions, once there are any. */
function addCaptions() {
  const offered = document.getElementById("captions");
  if (offered && !player.querySelector("track")) player.append(offered.content.cloneNode(true));
}

document.body.addEventListener("htmx:beforeSwap", () => {
  wasHere ||= Boolean(document.activeElement.closest("#progress"));
  opened = [...document.querySelectorAll("#results details[open]")].map((each) => each.id);
});

const deletes = (event) => event.detail.elt.id.startsWith("delete-");

document.body.addEventListener("htmx:beforeRequest", (event) => {
  isDeleting ||= deletes(event);
});

document.body.addEventListener("htmx:afterRequest", (event) => {
  if (deletes(event) && event.detail.xhr.status !== 200) isDeleting = false; // refused, or not answered
});

/** It was deleted: the reload shows the site's 404 page. If it was deleted here, the answer to that leads on. */
document.body.addEventListener("htmx:responseError", (event) => {
  if (event.detail.xhr.status === 404 && !isDeleting) location.reload();
});

document.body.addEventListener("htmx:afterSettle", () => {
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  addCaptions();
  transcript.read();
  readAlong();
  announce();
  // A focus that was in the row stays there, though the button may be gone.
  if (wasHere && document.activeElement === document.body) document.getElementById("progress").focus();
  wasHere = false;
});

readAlong();
