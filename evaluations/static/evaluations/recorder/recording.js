// One recording: the browser's MediaRecorder and a clock; each second of it is added to a take.

const SLICE_MS = 1000;
const TYPES = ["video/webm;codecs=vp8,opus", "video/webm", "video/mp4"];
const SOUND_TYPES = ["audio/webm;codecs=opus", "audio/webm", "audio/mp4", "audio/ogg;codecs=opus"];
const VIDEO_BITS = 1000000; // a second
const SOUND_BITS = 96000;
// The class's limit is on decoded sound, and timers can be late: stopped two seconds early it isn't refused.
const MARGIN_SECONDS = 2;
// A browser waits for the camera's first picture before it writes anything, the sound included.
const FIRST_BYTE_TIMEOUT_SECONDS = 15;

/** The first kind of file that this browser can write. */
export function typeFor({ soundOnly }) {
  return (soundOnly ? SOUND_TYPES : TYPES).find((type) => MediaRecorder.isTypeSupported(type)) ?? "";
}

export function longestFor(maxSeconds) {
  return Math.max(1, maxSeconds - MARGIN_SECONDS);
}

export function endingOf(type) {
  return type.match(/^(?:video|audio)\/(\w+)/)?.[1] ?? "webm";
}

export class Recording {
  /**
   * `on.tick(seconds)` four times a second, `on.grown()` after each piece that was kept, `on.stopped(why)` when all of
   * it is: `why` names a text, or is null after “Stop”. `on.failed()` instead when nothing was recorded.
   */
  constructor(stream, take, { maxSeconds, maxBytes }, on) {
    this.take = take;
    this.longest = longestFor(maxSeconds);
    this.largest = maxBytes - (4 * SLICE_MS * VIDEO_BITS) / 8000;
    this.on = on;
    this.why = null;
    this.before = 0; // milliseconds until the last pause
    this.since = null; // when the clock was started last
    this.saving = Promise.resolve();
    const fitting = (0.8 * 8 * maxBytes) / maxSeconds - SOUND_BITS;
    this.recorder = new MediaRecorder(stream, {
      mimeType: take.facts.type,
      videoBitsPerSecond: Math.min(VIDEO_BITS, fitting),
      audioBitsPerSecond: SOUND_BITS,
      videoKeyFrameIntervalDuration: 2000, // where a player can jump to
    });
    this.recorder.ondataavailable = (event) => this.save(event.data);
    this.recorder.onstop = () => this.finish();
    this.recorder.onerror = () => this.stop("unplugged");
  }

  get seconds() {
    return (this.before + (this.since === null ? 0 : performance.now() - this.since)) / 1000;
  }

  start() {
    this.recorder.start(SLICE_MS);
    this.since = performance.now();
    this.timer = setInterval(() => this.checkLimits(), 250);
    this.on.tick(0);
  }

  pause() {
    this.recorder.pause();
    this.before = this.seconds * 1000;
    this.since = null;
    this.recorder.requestData();
  }

  resume() {
    this.recorder.resume();
    this.since = performance.now();
  }

  stop(why = null) {
    if (this.recorder.state === "inactive") return;
    this.why = why;
    this.before = this.seconds * 1000;
    this.since = null;
    this.recorder.stop();
  }

  /** Save what was recorded so far: the page may be about to close. */
  flush() {
    if (this.recorder.state !== "inactive") this.recorder.requestData();
  }

  save(data) {
    const seconds = this.seconds;
    this.saving = this.saving.then(async () => {
      if (data.size) await this.take.add(await data.arrayBuffer(), seconds);
      this.on.grown();
    });
    this.checkLimits(); // timers are throttled in a hidden window; this is not
  }

  checkLimits() {
    if (this.recorder.state === "inactive") return;
    this.on.tick(this.seconds);
    if (this.take.facts.size === 0 && this.seconds >= FIRST_BYTE_TIMEOUT_SECONDS) this.giveUp();
    else if (this.seconds >= this.longest) this.stop("at_end");
    else if (this.take.facts.size >= this.largest) this.stop("too_big");
  }

  giveUp() {
    clearInterval(this.timer);
    this.recorder.ondataavailable = this.recorder.onstop = null;
    this.recorder.stop();
    this.on.failed();
  }

  async finish() {
    clearInterval(this.timer);
    await this.saving;
    if (this.take.facts.size === 0) this.on.failed();
    else this.on.stopped(this.why);
  }
}
