// The level of the microphone, measured ten times a second.

const TICK_MS = 100;
const MIN_DB = -60;
const VOICE_DB = -42; // a voice at arm's length is around -30, a quiet room below -50
const TICKS_TO_BE_HEARD = 3;
const TICKS_TO_START = 30;

export class Level {
  /**
   * `tick(percent, silentSeconds)` with each measurement; `heard()` once, as soon as a voice lasted long enough;
   * `deaf()` once, if nothing can be measured: Firefox starts no AudioContext where there are no loudspeakers.
   */
  constructor(stream, { tick, heard, deaf }) {
    this.context = new AudioContext();
    this.analyser = this.context.createAnalyser();
    this.analyser.fftSize = 2048;
    this.context.createMediaStreamSource(stream).connect(this.analyser);
    this.context.resume().catch(() => {}); // closed before it started
    this.samples = new Float32Array(this.analyser.fftSize);
    this.loudTicks = 0;
    this.silentTicks = 0;
    this.deafTicks = 0;
    this.tick = tick;
    this.heard = heard;
    this.deaf = deaf;
    this.timer = setInterval(() => this.measure(), TICK_MS);
  }

  measure() {
    if (this.context.state !== "running") {
      // Not silence: it hasn't started, or a phone call has interrupted it.
      this.deafTicks += 1;
      if (this.deafTicks === TICKS_TO_START) this.deaf();
      return;
    }
    const level = this.decibels();
    this.silentTicks = level >= VOICE_DB ? 0 : this.silentTicks + 1;
    if (level >= VOICE_DB) this.loudTicks += 1;
    if (this.loudTicks === TICKS_TO_BE_HEARD && this.silentTicks === 0) this.heard();
    this.tick(percentOf(level), (this.silentTicks * TICK_MS) / 1000);
  }

  decibels() {
    this.analyser.getFloatTimeDomainData(this.samples);
    const power = this.samples.reduce((sum, sample) => sum + sample * sample, 0) / this.samples.length;
    return 10 * Math.log10(power || 1e-12);
  }

  close() {
    clearInterval(this.timer);
    this.context.close();
  }
}

function percentOf(decibels) {
  return Math.max(0, Math.min(100, (100 * (decibels - MIN_DB)) / -MIN_DB));
}
