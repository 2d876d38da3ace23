// The recorder's page: its states, what is shown in each, and what each button does.
//
// idle → checking → counting → recording ⇄ paused → review → sending → done; blocked or refused where recording is impossible.
import * as devices from "./devices.js";
import { Level } from "./level.js";
import { offerLeftovers } from "./leftovers.js";
import { Recording, endingOf, longestFor, typeFor } from "./recording.js";
import { Sending } from "./sending.js";
import { Take, claim } from "./takes.js";
import { stayWhile } from "../session.js";
import { clock, dayOf, timeOf, word } from "../words.js";

const COUNT_FROM = 3;
const SILENT_SECONDS = { checking: 4, recording: 10 };
const WARN_SECONDS = 30;
const PLACE_MS = 3000;

const page = document.getElementById("recorder");
const part = (id) => document.getElementById(id);
const maxSeconds = Number(page.dataset.maxSeconds);
const server = {
  endpoint: page.dataset.endpoint,
  chunkBytes: Number(page.dataset.chunkBytes),
};

let state = "";
let soundOnly = false;
let stream = null;
let level = null;
let counting = null;
let recording = null;
let sending = null;
let wakeLock = null;
let isWarned = false;

// ---- what is shown

function show(next) {
  state = next;
  page.dataset.state = next;
  const hadFocus = document.activeElement;
  for (const each of page.querySelectorAll("[data-when]")) each.hidden = !each.dataset.when.split(" ").includes(next);
  if (hadFocus !== document.body && !isShown(hadFocus)) firstControl()?.focus();
}

function isShown(element) {
  return element.getClientRects().length > 0;
}

/** Where the focus goes when the button that was pressed is gone. */
function firstControl() {
  const controls = page.querySelectorAll(".booth button, .booth select, .booth a");
  return [...controls].find((each) => isShown(each) && !each.disabled);
}

function enter(next) {
  show(next);
  announce(word(`state_${next}`));
}

function announce(text) {
  part("announcer").textContent = text;
}

/** Show what is wrong, by the name of its text; "" hides it. */
function problem(name, facts = {}) {
  const place = part("problem");
  if (place.dataset.word === name) return;
  place.dataset.word = name;
  place.textContent = name && word(name, facts);
  place.hidden = !name;
}

function solved(...names) {
  if (names.includes(part("problem").dataset.word)) problem("");
}

// ---- camera and microphone

async function turnOn() {
  turnOff();
  try {
    stream = await devices.open({ soundOnly });
  } catch (error) {
    show("idle");
    problem(devices.refusalOf(error, { soundOnly }));
    return;
  }
  problem("");
  for (const track of stream.getTracks()) watch(track);
  preview();
  await devices.offer(stream, { camera: part("camera"), microphone: part("microphone") });
  part("record").disabled = true;
  part("heard").textContent = word("say_something");
  level = new Level(stream, { tick: showLevel, heard: () => mayRecord("heard"), deaf: () => mayRecord("deaf") });
  if (state !== "checking") enter("checking");
}

function turnOff() {
  level?.close();
  devices.close(stream);
  level = stream = null;
  part("preview").srcObject = null;
}

function preview() {
  part("preview").hidden = part("camera-choice").hidden = soundOnly;
  part("sound-sign").hidden = !soundOnly;
  if (soundOnly) return;
  part("preview").srcObject = stream;
  part("preview").play().catch(() => {}); // not awaited: a covered camera may send no picture at all
}

function watch(track) {
  track.onended = () => lose(track);
  if (track.kind !== "audio") return;
  track.onmute = () => problem("muted");
  track.onunmute = () => solved("muted");
  if (track.muted) problem("muted");
}

/** A track ended: unplugged, or the permission was revoked. */
function lose(track) {
  if (!stream?.getTracks().includes(track)) return;
  problem("unplugged");
  if (state === "recording" || state === "paused") recording.stop("unplugged");
  else if (state === "checking" || state === "counting") {
    clearInterval(counting);
    turnOff();
    show("idle");
  }
}

function showLevel(percent, silentSeconds) {
  part("level").value = percent;
  if (silentSeconds < 1) solved("silent", "nothing_heard");
  if (!(silentSeconds >= SILENT_SECONDS[state]) || part("problem").dataset.word === "muted") return;
  if (state === "recording") problem("silent");
  else if (part("record").disabled) problem("nothing_heard");
}

/** Enable “Record”: a voice was heard, or none can be; `why` is the name of the text. */
function mayRecord(why) {
  solved("nothing_heard");
  part("record").disabled = false;
  part("heard").textContent = word(why);
  if (state === "checking") announce(word(why));
}

// ---- recording

function countDown() {
  let left = COUNT_FROM;
  part("count").textContent = left;
  enter("counting");
  // On a phone the button is far below what is to be said, which stands above the picture.
  document.querySelector(".booth").scrollIntoView();
  counting = setInterval(() => {
    left -= 1;
    part("count").textContent = left;
    if (left > 0) return;
    clearInterval(counting);
    record();
  }, 1000);
}

function cancel() {
  clearInterval(counting);
  enter("checking");
}

async function record() {
  const now = Date.now();
  const type = typeFor({ soundOnly });
  const name = word("file_name", { day: dayOf(now), time: timeOf(now).replace(":", ".") });
  const take = new Take({
    id: crypto.randomUUID(),
    user: page.dataset.user,
    classroom: page.dataset.classroom,
    name: `${name}.${endingOf(type)}`,
    type,
    startedAt: now,
  });
  isWarned = false;
  claim(take);
  sending = new Sending(take, server, showSafety);
  const limits = { maxSeconds, maxBytes: Number(page.dataset.maxBytes) };
  const on = { tick: showTime, grown: () => sending.more(), stopped: review, failed: startOver };
  recording = new Recording(stream, take, limits, on);
  try {
    recording.start();
  } catch {
    problem("failed");
    turnOff();
    show("idle");
    return;
  }
  sending.run();
  enter("recording");
  stayAwake();
}

function showTime(seconds) {
  part("timer").textContent = word("timer", { elapsed: clock(seconds), most: clock(recording.longest) });
  const left = Math.ceil(recording.longest - seconds);
  part("timer").classList.toggle("near", left <= WARN_SECONDS && recording.longest > 2 * WARN_SECONDS);
  if (left > WARN_SECONDS || isWarned || recording.longest <= 2 * WARN_SECONDS) return;
  isWarned = true;
  announce(word("near_end", { seconds: left }));
}

async function review(why) {
  turnOff();
  letSleep();
  const blob = await recording.take.whole();
  play(URL.createObjectURL(blob));
  enter("review");
  if (why) problem(why);
  showSafety();
}

/** The browser has written nothing, though it reported no error. */
async function startOver() {
  turnOff();
  letSleep();
  show("idle");
  problem("not_recorded");
  sending.discard(); // not awaited: the server may be down
  await sending.take.forget();
}

function play(url) {
  const player = part("playback");
  URL.revokeObjectURL(player.src);
  player.src = part("download").href = url;
  part("download").download = recording.take.facts.name;
  // The file has no duration; a player knows it once it has seeked to the end.
  player.onloadedmetadata = () => {
    if (player.duration !== Infinity) return;
    player.ondurationchange = () => {
      player.ondurationchange = null;
      player.currentTime = 0;
    };
    player.currentTime = Number.MAX_SAFE_INTEGER;
  };
}

async function retake() {
  if (!confirm(word("sure_discard"))) return;
  problem("");
  sending.discard(); // not awaited: the server may be down
  await sending.take.forget();
  await turnOn();
}

async function submit() {
  enter("sending");
  await sending.take.note({ submitted: true });
  sending.more();
}

// ---- what the server has confirmed

function showSafety() {
  const { take, safeBytes, trouble, reason, minutes, secondsLeft, submission } = sending;
  const { size } = take.facts;
  const percent = Math.floor((100 * safeBytes) / size);
  if (secondsLeft !== null) part("safety").textContent = word("next_try", { time: clock(secondsLeft) });
  else if (size === 0) part("safety").textContent = "";
  else part("safety").textContent = safeBytes >= size ? word("all_safe") : word("partly_safe", { percent });
  page.dataset.safe = safeBytes;
  if (!take.isKept) problem("not_kept");
  if (trouble) problem(trouble === "offline" && state !== "recording" ? "offline_later" : trouble, { reason, minutes });
  else if (["offline", "offline_later"].includes(part("problem").dataset.word)) {
    problem("");
    announce(word("back"));
  } else solved("refused", "signed_out", "in_between", "hopeless", "at_capacity", "at_capacity_soon");
  if (submission) finish(submission);
}

async function finish(address) {
  problem("");
  await sending.take.forget();
  URL.revokeObjectURL(part("playback").src);
  part("result").href = address;
  enter("done");
  followPlace(address);
}

/** Show the place in the line and the time left, in the words of the list. */
async function followPlace(address) {
  const answer = await fetch(`${address}row/`).catch(() => null);
  if (answer?.ok) {
    const row = new DOMParser().parseFromString(await answer.text(), "text/html");
    const line = row.querySelector(".row-line:has(strong)");
    part("place").textContent = line?.textContent.replace(/\s+/g, " ").trim() ?? "";
  }
  setTimeout(() => state === "done" && followPlace(address), PLACE_MS);
}

async function stayAwake() {
  wakeLock = await navigator.wakeLock?.request("screen").catch(() => null);
}

function letSleep() {
  wakeLock?.release().catch(() => {});
  wakeLock = null;
}

function isUnderWay() {
  return ["counting", "recording", "paused", "review", "sending"].includes(state);
}

// ---- start

function bindControls() {
  const begin = (withoutPicture) => {
    soundOnly = withoutPicture;
    turnOn();
  };
  const actions = {
    "turn-on": () => begin(false),
    "sound-only": () => begin(true),
    record: countDown,
    cancel,
    pause: () => (recording.pause(), enter("paused")),
    resume: () => (recording.resume(), enter("recording")),
    stop: () => recording.stop(),
    retake,
    submit,
  };
  for (const [id, action] of Object.entries(actions)) part(id).addEventListener("click", action);
  for (const kind of ["camera", "microphone"]) {
    part(kind).addEventListener("change", () => {
      devices.remember(kind, part(kind).value);
      turnOn();
    });
  }
  stayWhile(isUnderWay);
  addEventListener("beforeunload", (event) => {
    if (!isUnderWay()) return;
    recording?.flush();
    event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && state === "recording") stayAwake(); // the browser releases it when the page is hidden
  });
}

part("most").textContent = clock(longestFor(maxSeconds));
const obstacle = devices.obstacle();
if (obstacle) {
  show("blocked");
  problem(obstacle);
} else {
  bindControls();
  show(part("refused") ? "refused" : "idle");
}
offerLeftovers(page.dataset.user, server);
