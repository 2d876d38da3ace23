// The coach's answers appear as they are written, by the dashboard's socket. The conversation is polled only while that is
// silent, and read anew when more than the text has changed: nothing is replaced under whoever reads or selects.
const RETRY_MS = 5000;
const SILENT_MS = 12_000; // the server says something every 5 s

let socket = null;
let heardAt = 0;
let wasHere = false;
const answers = new Map(); // by question: the newest message about it

const waiting = () => [...document.querySelectorAll("[data-answering]")];

/** To be called at first, and whenever the conversation was replaced. */
export function readAlong() {
  const questions = waiting();
  if (questions.length === 0) {
    close();
    return;
  }
  for (const each of questions) show(each);
  if (socket === null) open();
  else if (socket.readyState === WebSocket.OPEN) follow(questions);
}

function follow(questions) {
  for (const each of questions) socket.send(`answer ${each.dataset.answering}`);
}

function open() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const own = new WebSocket(`${scheme}://${location.host}${document.getElementById("coach").dataset.socket}`);
  socket = own;
  heardAt = Date.now();
  own.onopen = () => own === socket && follow(waiting());
  own.onmessage = (event) => own === socket && receive(JSON.parse(event.data));
  own.onclose = () => {
    if (own !== socket) return;
    close();
    setTimeout(() => socket ?? readAlong(), RETRY_MS);
  };
}

/** What still comes by the old socket counts for nothing: another one may be open before it is closed. */
function close() {
  socket?.close();
  socket = null;
  answers.clear();
}

function receive(message) {
  heardAt = Date.now();
  if (message.type !== "answer") return;
  const before = answers.get(message.question_id);
  answers.set(message.question_id, message);
  const question = document.querySelector(`[data-answering="${message.question_id}"]`);
  if (!question) return;
  const lengthBefore = before ? before.length : Number(question.dataset.length);
  show(question);
  if (isBehind(question) || message.length === lengthBefore)
    document.getElementById("conversation").dispatchEvent(new Event("refresh"));
}

/** Whether more than the text is another one than when the server made this. */
function isBehind(question) {
  const message = answers.get(question.dataset.answering);
  if (!message) return false;
  const { position, restarts } = question.dataset;
  return message.has_ended || message.position !== Number(position) || message.restarts !== Number(restarts);
}

/** What the socket brought may be ahead of what was polled, or behind it. */
function show(question) {
  const message = answers.get(question.dataset.answering);
  if (!message) return;
  const [restarts, length] = [Number(question.dataset.restarts), Number(question.dataset.length)];
  if (message.restarts < restarts || (message.restarts === restarts && message.length < length)) return;
  replace(question.querySelector("[data-answer]"), message.html);
}

/** From the first paragraph on that is another one: a selection in what was there before stays. `html`: the server's. */
function replace(place, html) {
  const made = document.createElement("template");
  made.innerHTML = html;
  const [before, after] = [[...place.children], [...made.content.children]];
  const first = before.findIndex((each, at) => !after[at]?.isEqualNode(each));
  const same = first < 0 ? before.length : first;
  for (const each of before.slice(same)) each.remove();
  place.append(...after.slice(same));
}

const isPoll = ({ elt, triggeringEvent }) => elt.id === "conversation" && !triggeringEvent;

/** A poll is needed only while the socket is silent, which is given up then, or ahead of the page: refreshes get lost. */
document.body.addEventListener("htmx:beforeRequest", (event) => {
  if (!isPoll(event.detail.requestConfig) || socket?.readyState !== WebSocket.OPEN) return;
  if (Date.now() - heardAt >= SILENT_MS) {
    close();
    open();
  } else if (!waiting().some(isBehind)) event.preventDefault();
});

document.body.addEventListener("keydown", (event) => {
  if (event.target.id !== "coach-question" || event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  event.target.form.requestSubmit();
});

document.body.addEventListener("htmx:beforeSwap", ({ detail }) => {
  // Asked for before the socket was open, which has brought the same or more since.
  const isNeeded = answers.size === 0 || waiting().some(isBehind);
  if (isPoll(detail.requestConfig) && !isNeeded) detail.shouldSwap = false;
  wasHere ||= Boolean(document.activeElement.closest("#coach"));
});

/** A focus whose button is gone is on what was asked last. */
document.body.addEventListener("htmx:afterSettle", () => {
  const isLost = document.activeElement === document.body;
  if (wasHere && isLost) document.querySelector("#conversation > :last-child")?.focus();
  wasHere = false;
});
