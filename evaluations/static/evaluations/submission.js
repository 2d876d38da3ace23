// The result page: a click on a time, a word or a quote plays it; later results appear without stopping the player.
import { Transcript } from "./transcript.js";

const player = document.getElementById("player");
const transcript = new Transcript(player);

// ---- the player

document.addEventListener("click", (event) => {
  const place = event.target.closest("[data-seek]");
  // A click that ends a selection is not meant to seek.
  if (!place || !getSelection().isCollapsed) return;
  transcript.following = true;
  player.currentTime = Number(place.dataset.seek);
  player.play().catch(() => {});
});

player.addEventListener("play", follow);
for (const type of ["seeked", "timeupdate"]) player.addEventListener(type, () => transcript.mark());

/** `timeupdate` comes four times a second, which is too slow for words. */
function follow() {
  transcript.mark();
  if (!player.paused && !player.ended) requestAnimationFrame(follow);
}

player.addEventListener("error", () => {
  document.getElementById("player-problem").hidden = false;
});

/** A link that ends in #t=12.3 seeks to that second. */
function startAtLink() {
  const found = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
  if (found) player.currentTime = Number(found[1]);
}

addEventListener("hashchange", startAtLink);
startAtLink();

// ---- results that come later

let words = document.querySelector("[data-row]").dataset.words;
let opened = [];
let wasHere = false;

/** The row is polled; only a changed status is announced. */
function announce() {
  const row = document.querySelector("[data-row]");
  if (row.dataset.words === words) return;
  words = row.dataset.words;
  document.getElementById("announcer").textContent = words;
}

/** The transcript's captions, once there are any. */
function addCaptions() {
  const offered = document.getElementById("captions");
  if (offered && !player.querySelector("track")) player.append(offered.content.cloneNode(true));
}

document.body.addEventListener("htmx:beforeSwap", () => {
  wasHere ||= Boolean(document.activeElement.closest("#progress"));
  opened = [...document.querySelectorAll("#results details[open]")].map((each) => each.id);
});

/** It was deleted: the reload shows the site's 404 page. */
document.body.addEventListener("htmx:responseError", (event) => {
  if (event.detail.xhr.status === 404) location.reload();
});

document.body.addEventListener("htmx:afterSettle", () => {
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  addCaptions();
  transcript.read();
  announce();
  // A focus that was in the row stays there, though the button may be gone.
  if (wasHere && document.activeElement === document.body) document.getElementById("progress").focus();
  wasHere = false;
});
