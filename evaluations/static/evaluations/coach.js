// The coach's answers appear as they are written, by the dashboard's socket; without one the polled fragment has them.
const RETRY_MS = 5000;

let socket = null;
const answers = new Map(); // by question: the text so far

const waiting = () => [...document.querySelectorAll("[data-answering]")];

/** To be called at first, and whenever the conversation was replaced. */
export function readAlong() {
  const questions = waiting();
  if (questions.length === 0) {
    socket?.close();
    return;
  }
  for (const each of questions) show(each.dataset.answering);
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
  own.onopen = () => follow(waiting());
  own.onmessage = (event) => receive(JSON.parse(event.data));
  own.onclose = () => {
    socket = null;
    answers.clear();
    if (waiting().length > 0) setTimeout(() => socket ?? readAlong(), RETRY_MS);
  };
}

function receive(message) {
  if (message.type !== "answer") return;
  const before = message.appends ? (answers.get(message.question_id) ?? "") : "";
  answers.set(message.question_id, before + message.text);
  show(message.question_id);
  if (message.has_ended) document.getElementById("conversation").dispatchEvent(new Event("refresh"));
}

/** What the socket brought may be ahead of what was polled, never behind a text that began anew. */
function show(question) {
  const place = document.querySelector(`[data-answering="${question}"] [data-answer]`);
  const text = answers.get(question);
  if (!place || text === undefined) return;
  if (text.startsWith(place.textContent) || !place.textContent.startsWith(text)) place.textContent = text;
}
