// The session of this page's user: what every request of a script carries, what happens when the session has ended, and
// what is said when an action did not happen.
//
// A session can end, be begun again in another window, or become another user's while this page stays open. Signing in
// changes the CSRF token, so it is read from its cookie at each request; X-User tells the server whose page this is.
import { word } from "./words.js";

const { user, login } = document.body.dataset;
const reasonsToStay = []; // functions: whether leaving the page now would lose something

export function token() {
  return document.cookie.match(/(?:^|; )csrftoken=([^;]*)/)?.[1] ?? "";
}

/** The headers of every request that a script makes. */
export function headers() {
  return { "X-CSRFToken": token(), "X-User": user };
}

/** Don't leave the page by itself while `isBusy()`. */
export function stayWhile(isBusy) {
  reasonsToStay.push(isBusy);
}

/**
 * The server answered 401: to the login and back, or, while something here would be lost by that, a notice.
 * `words`: the server's own; `undone`: an action of the user was refused by it.
 */
export function signedOut({ words = "", undone = false } = {}) {
  if (reasonsToStay.some((isBusy) => isBusy())) {
    show("signed-out", words || word("signed_out_here"));
    return;
  }
  const query = new URLSearchParams({
    next: location.pathname + location.search,
    ended: undone ? "undone" : "session",
  });
  location.assign(`${login}?${query}`);
}

export function signedIn() {
  document.getElementById("signed-out").hidden = true;
}

/** Say that an action did not happen. */
export function notDone(words) {
  show("not-done", words);
}

/** The words of a refusal as the server sends it, or ""; with what to do about it. */
export function wordsOf(text, { withAdvice = true } = {}) {
  try {
    const { title, what, todo } = JSON.parse(text);
    return what ? `${title}. ${what}${withAdvice ? ` ${todo}` : ""}` : "";
  } catch {
    return "";
  }
}

/** The code of the server's refusal; "": it is none. */
export function codeOf(text) {
  try {
    return JSON.parse(text).code ?? "";
  } catch {
    return "";
  }
}

/**
 * For how many seconds a refusal asks to wait, since the lab takes no more for now; 0: it is another one. A class that was
 * told the same comes back at times a little apart.
 */
export function secondsUntilRoom(text, retryAfter) {
  if (codeOf(text) !== "at_capacity") return 0;
  return Math.max(1, Number(retryAfter)) * (1 + Math.random() / 10);
}

/** A form of a page that is older than the session gets the token of now. */
export function renew(form) {
  const field = form.querySelector("[name=csrfmiddlewaretoken]");
  if (field && token()) field.value = token();
}

function show(id, words) {
  const place = document.getElementById(id);
  const text = place.querySelector("span");
  if (text.textContent !== words || place.hidden) text.textContent = words;
  place.hidden = false;
}

function isAction(detail) {
  return detail.requestConfig.verb !== "get";
}

document.addEventListener("submit", (event) => renew(event.target), true);

document.addEventListener("htmx:configRequest", ({ detail }) => {
  Object.assign(detail.headers, headers());
  if (detail.parameters.csrfmiddlewaretoken) detail.parameters.csrfmiddlewaretoken = token();
});

document.addEventListener("htmx:responseError", ({ detail }) => {
  const words = wordsOf(detail.xhr.responseText);
  if (detail.xhr.status === 401) signedOut({ words, undone: isAction(detail) });
  else if (isAction(detail)) notDone(words || word("not_done"));
});

for (const kind of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(kind, ({ detail }) => isAction(detail) && notDone(word("not_reached")));
}

document.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (!detail.successful) return;
  signedIn();
  if (isAction(detail)) document.getElementById("not-done").hidden = true;
});
