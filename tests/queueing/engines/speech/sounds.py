"""Sounds without a word in them: what a microphone records when nobody speaks. The same every time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from queueing.engines.base import SAMPLE_RATE, Samples

Wave = npt.NDArray[np.float64]  # full scale ±1
Chance = np.random.Generator
Sound = Callable[[Wave, Chance], Wave]  # from the times in seconds


def coloured(slope: float, level: float) -> Sound:
    """Noise whose power falls with frequency to the power of `slope`: 0 is white, 1 pink, 2 brown."""

    def sound(times: Wave, chance: Chance) -> Wave:
        spectrum = np.fft.rfft(chance.standard_normal(len(times)))
        pitch = np.maximum(np.fft.rfftfreq(len(times), 1 / SAMPLE_RATE), 20)
        return level * loudest_one(np.fft.irfft(spectrum / pitch ** (slope / 2), len(times)))

    return sound


def band(low: float, high: float, level: float) -> Sound:
    """White noise between two frequencies."""

    def sound(times: Wave, chance: Chance) -> Wave:
        spectrum = np.fft.rfft(chance.standard_normal(len(times)))
        pitch = np.fft.rfftfreq(len(times), 1 / SAMPLE_RATE)
        spectrum[(pitch < low) | (pitch > high)] = 0
        return level * loudest_one(np.fft.irfft(spectrum, len(times)))

    return sound


def tones(*pitches: float, level: float = 0.3) -> Sound:
    return lambda times, chance: level * sum((sine(pitch * times) for pitch in pitches), 0 * times) / len(pitches)


def hum(mains: float, level: float) -> Sound:
    """A mains hum with its odd harmonics."""
    return lambda times, chance: level * sum((sine(n * mains * times) / n for n in (1, 3, 5, 7)), 0 * times)


def tune(*pitches: float, per_second: float, overtones: int = 1, vibrato: float = 0.0) -> Sound:
    """Notes one after the other, each dying away; as plain as a flute or as rich as a string."""

    def sound(times: Wave, chance: Chance) -> Wave:
        pitch = np.array(pitches)[(times * per_second).astype(int) % len(pitches)]
        phase = np.cumsum(pitch * (1 + vibrato * sine(5 * times))) / SAMPLE_RATE
        rich = sum((sine(n * phase) / n for n in range(1, overtones + 1)), 0 * times)
        return 0.2 * rich * np.exp(-1.5 * (times * per_second % 1))

    return sound


def chirp(low: float, high: float, every: float) -> Sound:
    """A pitch that glides up (or down) again and again."""

    def sound(times: Wave, chance: Chance) -> Wave:
        return 0.3 * sine(np.cumsum(low + (high - low) * (times / every % 1)) / SAMPLE_RATE)

    return sound


def clicks(per_second: float, dies_in: float, level: float = 0.8) -> Sound:
    """Short bursts of noise at chance moments: keys, steps, a dripping tap, drums."""

    def sound(times: Wave, chance: Chance) -> Wave:
        hits = (chance.random(len(times)) < per_second / SAMPLE_RATE).astype(float)
        decay = np.exp(-np.arange(int(6 * dies_in * SAMPLE_RATE)) / (dies_in * SAMPLE_RATE))
        return level * np.clip(np.convolve(hits, decay)[: len(times)], 0, 1) * chance.uniform(-1, 1, len(times))

    return sound


def swelling(sound: Sound, per_second: float) -> Sound:
    """The sound coming and going: breath, gusts, waves, a fan's blades."""
    return lambda times, chance: sound(times, chance) * (0.5 - 0.5 * np.cos(2 * np.pi * per_second * times))


def throat(pitch: float, *formants: float, per_second: float) -> Sound:
    """A voice that forms no word, in bursts: overtones of a wavering pitch through a mouth held still."""

    def sound(times: Wave, chance: Chance) -> Wave:
        phase = np.cumsum(pitch * (1 + 0.02 * sine(5 * times) + 0.15 * sine(0.7 * times))) / SAMPLE_RATE
        overtones = [n for n in range(1, 40) if n * pitch < SAMPLE_RATE / 2.2]
        loudness = [sum(1 / (1 + ((n * pitch - peak) / 100) ** 2) for peak in formants) for n in overtones]
        voice = sum((gain * sine(n * phase) for n, gain in zip(overtones, loudness, strict=True)), 0 * times)
        return 0.4 * loudest_one(voice * np.clip(1.5 * sine(per_second * times), 0, 1))

    return sound


def both(one: Sound, other: Sound) -> Sound:
    return lambda times, chance: 0.5 * one(times, chance) + 0.5 * other(times, chance)


def sine(turns: Wave) -> Wave:
    wave: Wave = np.sin(2 * np.pi * turns)
    return wave


def loudest_one(wave: Wave) -> Wave:
    return wave / max(float(np.abs(wave).max()), 1e-9)


def silence(times: Wave, chance: Chance) -> Wave:
    return 0 * times


SOUNDS: dict[str, Sound] = {
    "silence": silence,
    "a microphone's offset": lambda times, chance: silence(times, chance) + 0.1,
    "the last bit": lambda times, chance: chance.integers(-1, 2, len(times)) / 32768,
    **{
        f"{name} noise at {level}": coloured(slope, level)
        for slope, name in enumerate(("white", "pink", "brown"))
        for level in (0.02, 0.2, 0.9)
    },
    **{f"hum of {mains} Hz at {level}": hum(mains, level) for mains in (50, 60) for level in (0.05, 0.5)},
    "a fan": both(hum(50, 0.2), swelling(coloured(1, 0.4), 11)),
    "an air conditioner": band(80, 900, 0.3),
    "a hiss": band(3000, 7900, 0.3),
    "wind": swelling(coloured(2, 0.9), 0.2),
    "rain": both(band(1000, 7000, 0.2), clicks(60, 0.002)),
    "waves": swelling(coloured(1, 0.5), 0.12),
    "calm breath": swelling(band(300, 2500, 0.1), 0.3),
    "quick breath": swelling(band(200, 4000, 0.4), 1.1),
    "a murmur without words": swelling(band(150, 3400, 0.3), 4),
    "a slow clock": clicks(1, 0.002),
    "typing": clicks(7, 0.004),
    "steps": clicks(2, 0.03),
    "a drum": clicks(3, 0.12),
    "a crackling line": clicks(40, 0.0008),
    "applause": clicks(300, 0.01, 0.4),
    "a cough": swelling(band(300, 3000, 0.9), 0.8),
    "somebody humming": throat(180, 250, 2200, per_second=1.2),
    "somebody saying ah": throat(130, 730, 1090, 2440, per_second=0.5),
    "a crying baby": throat(450, 1100, 2800, per_second=0.9),
    "laughter": throat(220, 600, 1400, per_second=4.5),
    "a barking dog": throat(400, 700, 1500, per_second=1.7),
    "a low tone": tones(110),
    "a test tone": tones(1000),
    "a whistle": tones(2500, level=0.1),
    "a major chord": tones(262, 330, 392),
    "a minor chord": tones(220, 262, 330, level=0.6),
    "an engaged line": swelling(tones(425), 1),
    "a ringing line": swelling(tones(440, 480), 0.2),
    "a flute": tune(523, 587, 659, 784, 659, 587, per_second=2),
    "a guitar": tune(196, 247, 294, 392, 294, 247, per_second=3, overtones=8),
    "a violin": tune(440, 494, 554, 659, per_second=1, overtones=12, vibrato=0.01),
    "a double bass": tune(55, 65, 73, 82, per_second=2, overtones=10),
    "a scale": tune(262, 294, 330, 349, 392, 440, 494, 523, per_second=4, overtones=4),
    "a band": both(tune(110, 147, 165, 147, per_second=2, overtones=6), clicks(4, 0.05)),
    "a rising siren": chirp(500, 1500, 2),
    "a falling siren": chirp(1200, 400, 1),
    "birds": swelling(chirp(2500, 4500, 0.15), 0.7),
    "an insect": swelling(tones(4200, level=0.2), 25),
    "a machine": both(tune(90, per_second=8, overtones=20), coloured(1, 0.2)),
}


def record(name: str, seconds: float) -> Samples:
    chance = np.random.default_rng(sorted(SOUNDS).index(name))
    times: Wave = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return SOUNDS[name](times, chance).clip(-1, 1).astype(np.float32)
