// The transcript follows the player: the current words are marked, and stay in sight unless the reader scrolled away.
//
// With the keyboard the whole transcript is one Tab stop, since a recording has hundreds of words: arrow keys go from word
// to word and from sentence to sentence. A word is a button only while it has the focus: to a screen reader that reads
// on, the transcript is text with a button per sentence.

const AWAY = ["wheel", "touchmove", "pointerdown", "keydown"];
const STEPS = { ArrowRight: 1, ArrowLeft: -1 };
const LINES = { ArrowDown: 1, ArrowUp: -1 };

const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Transcript {
  following = true;
  box = null;
  sentences = [];
  words = [];
  stops = [];

  constructor(player) {
    this.player = player;
    this.read();
  }

  /** Find the transcript in the page: it may be added later. */
  read() {
    const box = document.querySelector(".transcript");
    if (box === this.box) return;
    this.box = box;
    this.sentences = placesOf(box, "li[data-start]", "start");
    this.words = placesOf(box, ".word", "seek");
    this.stops = box ? [...box.querySelectorAll("button, .word")] : [];
    this.stops.forEach((stop) => (stop.tabIndex = -1));
    this.enterBy(this.stops[0]);
    if (!box) return;
    box.addEventListener("keydown", (event) => this.walk(event));
    box.addEventListener("focusin", (event) => this.enterBy(event.target));
    box.addEventListener("focusout", (event) => event.target.matches(".word") && event.target.removeAttribute("role"));
    for (const type of AWAY) box.addEventListener(type, () => (this.following = false), { passive: true });
  }

  /** Mark the current sentence and word. */
  mark() {
    const moved = this.move("sentence", at(this.sentences, this.player.currentTime));
    this.move("word", at(this.words, this.player.currentTime));
    if (moved && this.sentence) this.keepInSight();
  }

  move(name, element) {
    if (this[name] === element) return false;
    this[name]?.removeAttribute("aria-current");
    element?.setAttribute("aria-current", "true");
    this[name] = element;
    return true;
  }

  keepInSight() {
    if (!this.box.contains(document.activeElement)) this.enterBy(this.sentence.querySelector("button"));
    const { offsetTop: top, offsetHeight: height } = this.sentence;
    const seen = top >= this.box.scrollTop && top + height <= this.box.scrollTop + this.box.clientHeight;
    this.following ||= seen;
    if (!this.following || seen) return;
    this.box.scrollTo({ top: top - this.box.clientHeight / 3, behavior: calm.matches ? "auto" : "smooth" });
  }

  /** Make this the one that the Tab key focuses. */
  enterBy(stop) {
    if (this.stop) this.stop.tabIndex = -1;
    this.stop = stop;
    if (stop) stop.tabIndex = 0;
  }

  walk(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const here = this.stops.indexOf(event.target);
    const next = this.target(event.key, here);
    if (next) {
      event.preventDefault();
      if (next.matches(".word")) next.setAttribute("role", "button");
      next.focus();
    } else if (event.target.matches(".word") && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      event.target.click();
    }
  }

  target(key, here) {
    if (key === "Home") return this.stops[0];
    if (key === "End") return this.stops.at(-1);
    if (key in STEPS) return this.stops[here + STEPS[key]];
    if (!(key in LINES)) return undefined;
    const beside = this.stops[here].closest("li")[LINES[key] > 0 ? "nextElementSibling" : "previousElementSibling"];
    return beside?.querySelector("button");
  }
}

function placesOf(box, selector, start) {
  const found = box ? [...box.querySelectorAll(selector)] : [];
  return found.map((element) => ({ element, start: Number(element.dataset[start]), end: Number(element.dataset.end) }));
}

function at(places, time) {
  return places.findLast((place) => place.start <= time && time < place.end)?.element;
}
