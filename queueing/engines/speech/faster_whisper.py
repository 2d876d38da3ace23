"""Whisper by faster-whisper (CTranslate2): the default. int8 on a CPU, float16 on CUDA."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from queueing.engines.base import SAMPLE_RATE, Samples
from queueing.engines.speech import models
from queueing.engines.speech.checkpoint import count_weights
from queueing.engines.speech.hosted import HostedSpeech
from queueing.engines.speech.plausible import LOOP_RATIO, UNSURE_LOG_PROBABILITY
from queueing.engines.speech.transcriber import (
    Decoding,
    DeviceFacts,
    Heard,
    Thrift,
    Transcriber,
    default_threads,
    device_errors,
    fitting,
)
from queueing.engines.speech.voice import WINDOW, windows
from queueing.exceptions import Infrastructure

FLOAT16_BYTES = 2  # per weight; what follows it in PRECISIONS takes less on any card since 2016
# faster-whisper's own benchmark on an RTX 3070 Ti: large-v2 in float16 with 5 beams took 4525 MiB at most, and 6090 MiB
# with 8 windows at once, of which 2944 MiB are its 1543 million weights. The rest is CUDA's own, the encoder's and the
# beams'; of smaller models less.
WORKING_BYTES = (6090 - 2944) << 20
PRECISIONS = {"cpu": ("int8", "float32"), "cuda": ("float16", "int8_float16", "int8_float32", "float32")}
WEIGHT_BYTES = {"float32": 4, "float16": 2, "int8_float32": 1, "int8_float16": 1, "int8": 1}
# Windows decoded at once. For each token a GPU reads all weights, for eight windows as for one; a CPU is busy with one.
WINDOWS = {"cpu": 1, "cuda": 8}
UNREPEATED_TOKENS = 5  # no run of so many occurs twice when a window is decoded again: that ends any loop
SENTENCE_ENDS = (".", "?", "!")

Clip = tuple[int, int]  # samples from, to


class FasterWhisper(HostedSpeech):
    """`model` is a packaged name (`tiny.en`, `base`) or the folder of a CTranslate2 model."""

    name = "faster-whisper"
    factory = "queueing.engines.speech.faster_whisper:load"

    def arguments(self) -> Mapping[str, Any]:
        path = models.find(self.model, cache=self.cache)
        return {"path": str(path), "device": self.device, "threads": self.threads}

    def gpu_bytes(self) -> int:
        folder = models.find(self.model, cache=self.cache)
        return FLOAT16_BYTES * count_weights(folder / "model.bin") + WORKING_BYTES


def load(path: str, device: str, threads: int, thrift: Thrift) -> Transcriber:
    """The child's factory."""
    return _FasterWhisper(path, device, threads, thrift)


class _FasterWhisper(Transcriber):
    def __init__(self, path: str, device: str, threads: int, thrift: Thrift) -> None:
        import ctranslate2  # only the child has it in memory
        from faster_whisper import WhisperModel

        super().__init__(thrift)
        cuda = device == "cuda" or (device == "auto" and ctranslate2.get_cuda_device_count() > 0)
        kind = "cuda" if cuda else "cpu"
        precision = choose(kind, ctranslate2.get_supported_compute_types(kind), thrift)
        at_once = max(1, WINDOWS[kind] // 2) if thrift else WINDOWS[kind]
        self.facts = DeviceFacts("cuda:0" if cuda else "cpu", precision, 1 if thrift == Thrift.MINIMUM else at_once)
        with device_errors():
            self.model = WhisperModel(
                path, kind, compute_type=precision, cpu_threads=threads or default_threads(), local_files_only=True
            )
            self._warm_up()
        self.only_language = None if self.model.model.is_multilingual else "en"

    def _warm_up(self) -> None:
        """Run encoder and decoder once: a missing CUDA library shows now, and the first call is as fast as any."""
        segments, _ = self.model.transcribe(np.zeros(SAMPLE_RATE, np.float32), language="en", max_new_tokens=1)
        list(segments)

    def decode(self, samples: Samples, hints: Sequence[str], done: Callable[[float], None]) -> Decoding:
        options = {
            **self.options(),
            "log_prob_threshold": UNSURE_LOG_PROBABILITY,
            "hotwords": fitting(hints, self._tokens),
        }
        if len(samples) > WINDOW:
            return self._decode_many(samples, options)
        segments, info = self.model.transcribe(samples, language=self.only_language, **options)
        return Decoding(info.language, info.language_probability, map(asdict, segments))

    def _decode_many(self, samples: Samples, options: Mapping[str, Any]) -> Decoding:
        """In windows cut at pauses, several at once; those that did not go well again, one by one.

        Whisper's own way through a long file leaps to the last time that the model wrote down, and small models write
        wrong ones: of the demo clips one after the other, 173 s, it got 0.96 % of the words wrong with tiny.en and took
        7.1 s of a core, this way 0.24 % and 6.7 s. Windows cut at pauses, but with the model's times: 5.7 %.
        """
        clips = windows(samples)
        segments, info = self._decode_clips(samples, clips, {**options, "language": self.only_language})
        again = {**options, "language": info.language, "no_repeat_ngram_size": UNREPEATED_TOKENS}
        return Decoding(
            info.language, info.language_probability, self._decode_doubtful(samples, segments, clips, again)
        )

    def _decode_doubtful(
        self, samples: Samples, segments: Iterable[Any], clips: Sequence[Clip], options: Mapping[str, Any]
    ) -> Iterator[Heard]:
        for window in map(asdict, segments):
            if window["compression_ratio"] <= LOOP_RATIO and window["avg_logprob"] >= UNSURE_LOG_PROBABILITY:
                yield from sentences(window)
                continue
            frame = SAMPLE_RATE / self.model.frames_per_second
            clip = min(clips, key=lambda clip: abs(clip[0] - window["seek"] * frame))
            once_more, _ = self._decode_clips(samples, [clip], options)
            for one in once_more:
                yield from sentences(asdict(one))

    def _decode_clips(self, samples: Samples, clips: Sequence[Clip], options: Mapping[str, Any]) -> tuple[Any, Any]:
        from faster_whisper import BatchedInferencePipeline

        segments, info = BatchedInferencePipeline(self.model).transcribe(
            samples,
            batch_size=self.facts.windows,
            clip_timestamps=[{"start": begin / SAMPLE_RATE, "end": end / SAMPLE_RATE} for begin, end in clips],
            without_timestamps=True,
            **options,
        )
        return segments, info

    def _tokens(self, text: str) -> int:
        return len(self.model.hf_tokenizer.encode(f" {text}", add_special_tokens=False).ids)


def choose(device: str, supported: Collection[str], thrift: Thrift) -> str:
    """The best precision that the device can do; the thriftiest: the best with smaller weights."""
    able = [precision for precision in PRECISIONS[device] if precision in supported]
    if not able:
        message = f"The {device} device can do none of {', '.join(PRECISIONS[device])}."
        raise Infrastructure(message, code="device_failed")
    lighter = [precision for precision in able if WEIGHT_BYTES[precision] < WEIGHT_BYTES[able[0]]]
    return lighter[0] if lighter and thrift == Thrift.MINIMUM else able[0]


def sentences(window: Heard) -> Iterator[Heard]:
    """The segment of a whole window, as one for each sentence in it."""
    words: list[Mapping[str, Any]] = []
    for word in window["words"]:
        words.append(word)
        if word["word"].endswith(SENTENCE_ENDS) or word is window["words"][-1]:
            text = "".join(each["word"] for each in words)
            yield {**window, "text": text, "words": words, "start": words[0]["start"], "end": words[-1]["end"]}
            words = []
