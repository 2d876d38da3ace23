// The player beside a transcript: a click on a time, a word or a quote plays it, and the transcript follows.
import { Transcript } from "./transcript.js";

export const player = document.getElementById("player");
export const transcript = new Transcript(player);

document.addEventListener("click", (event) => {
  const place = event.target.closest("[data-seek]");
  // A click that ends a selection is not meant to seek.
  if (place && getSelection().isCollapsed) hear(place);
});

/** Play from the place's second on. */
export function hear(place) {
  transcript.following = true;
  player.currentTime = Number(place.dataset.seek);
  player.play().catch(() => {});
}

player.addEventListener("play", follow);
for (const type of ["seeked", "timeupdate"]) player.addEventListener(type, () => transcript.mark());

/** `timeupdate` comes four times a second, which is too slow for words. */
function follow() {
  transcript.mark();
  if (!player.paused && !player.ended) requestAnimationFrame(follow);
}

player.addEventListener("loadedmetadata", showWhatIsMissing);
player.addEventListener("error", playSoundAlone);
// It may have come so far before this script did.
if (player.error) playSoundAlone();
else if (player.readyState >= HTMLMediaElement.HAVE_METADATA) showWhatIsMissing();

/** A browser that doesn't know a picture's codec leaves the picture black. */
function showWhatIsMissing() {
  const words = document.getElementById("no-picture");
  if (words) words.hidden = player.videoWidth > 0;
}

/** What a browser can't open at all has at least its sound in a form that all of them play. */
function playSoundAlone() {
  const { sound } = player.dataset;
  if (!sound) {
    document.getElementById("player-problem").hidden = false;
    return;
  }
  const at = player.currentTime;
  delete player.dataset.sound;
  player.src = sound;
  player.currentTime = at;
}

/** A link that ends in #t=12.3 seeks to that second. */
function startAtLink() {
  const found = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
  if (found) player.currentTime = Number(found[1]);
}

addEventListener("hashchange", startAtLink);
startAtLink();
