// All texts that scripts show come from templates, where they are translated: the page's #words, and #site-words, which
// every page has.

/** The text of that name, with {facts} filled in. */
export function word(name, facts = {}) {
  const places = document.querySelectorAll("#words, #site-words");
  const [place] = [...places].map((each) => each.content.querySelector(`[data-word="${name}"]`)).filter(Boolean);
  const text = place.textContent;
  return text.replace(/\{(\w+)\}/g, (_, key) => facts[key]);
}

/** 75 → "1:15" */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** How long somebody is asked to wait: the names of its two texts, by seconds. */
export function capacityWord(seconds) {
  return seconds > 90 ? "at_capacity" : "at_capacity_soon";
}

/** A time in the browser's time zone, formatted as on all pages: "10:32". */
export function timeOf(moment) {
  return new Date(moment).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

/** The day in the page's language, since it is part of its sentences. */
export function dayOf(moment) {
  return new Date(moment).toLocaleDateString(document.documentElement.lang, { day: "numeric", month: "short" });
}
