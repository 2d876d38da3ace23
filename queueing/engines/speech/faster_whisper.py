"""Whisper by faster-whisper (CTranslate2): the default. int8 on a CPU, float16 on CUDA."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from queueing.engines.base import SAMPLE_RATE, Samples, Segment, Word
from queueing.engines.speech import models
from queueing.engines.speech.checkpoint import count_weights
from queueing.engines.speech.hosted import HostedSpeech
from queueing.engines.speech.plausible import (
    LOOP_RATIO,
    SILENCE_PROBABILITY,
    UNSURE_LOG_PROBABILITY,
    compression_ratio,
)
from queueing.engines.speech.transcriber import (
    BEAMS,
    TEMPERATURES,
    Decoding,
    Facts,
    Transcriber,
    as_stage_error,
    default_threads,
)
from queueing.exceptions import Infrastructure, OutOfMemory

FLOAT16_BYTES = 2  # per weight; what follows it in PRECISIONS takes less on any card since 2016
# faster-whisper's own benchmark on an RTX 3070 Ti: large-v2 in float16 with 5 beams took 4525 MiB at most, and 6090 MiB
# with 8 windows at once, of which 2944 MiB are its 1543 million weights. The rest is CUDA's own, the encoder's and the
# beams'; of smaller models less.
WORKING_BYTES = (6090 - 2944) << 20
PRECISIONS = {"cpu": ("int8", "float32"), "cuda": ("float16", "int8_float16", "int8_float32", "float32")}


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


def load(path: str, device: str, threads: int) -> Transcriber:
    """The child's factory."""
    return _FasterWhisper(path, device, threads)


class _FasterWhisper(Transcriber):
    def __init__(self, path: str, device: str, threads: int) -> None:
        import ctranslate2  # only the child has it in memory

        cuda = device == "cuda" or (device == "auto" and ctranslate2.get_cuda_device_count() > 0)
        self.model, precision = _first_that_fits(path, "cuda" if cuda else "cpu", threads or default_threads())
        self.facts = Facts("cuda:0" if cuda else "cpu", precision)
        self.only_language = None if self.model.model.is_multilingual else "en"
        self._warm_up()

    def _warm_up(self) -> None:
        """Run encoder and decoder once: a missing CUDA library shows now, and the first call is as fast as any."""
        try:
            segments, _ = self.model.transcribe(np.zeros(SAMPLE_RATE, np.float32), language="en", max_new_tokens=1)
            list(segments)
        except RuntimeError as error:
            raise as_stage_error(error) from error

    def decode(self, samples: Samples, done: Callable[[float], None]) -> Decoding:
        segments, info = self.model.transcribe(
            samples,
            language=self.only_language,
            beam_size=BEAMS,
            temperature=TEMPERATURES,
            compression_ratio_threshold=LOOP_RATIO,
            no_speech_threshold=SILENCE_PROBABILITY,
            log_prob_threshold=UNSURE_LOG_PROBABILITY,
            condition_on_previous_text=False,
            word_timestamps=True,
        )
        return Decoding(info.language, info.language_probability, map(_segment, segments))


def _first_that_fits(path: str, device: str, threads: int) -> tuple[Any, str]:
    """The model in the best precision that the device can hold, and the name of that precision."""
    from ctranslate2 import get_supported_compute_types
    from faster_whisper import WhisperModel

    supported = get_supported_compute_types(device)
    choices = [precision for precision in PRECISIONS[device] if precision in supported]
    for precision in choices:
        try:
            return WhisperModel(
                path, device, compute_type=precision, cpu_threads=threads, local_files_only=True
            ), precision
        except RuntimeError as error:
            failure = as_stage_error(error)
            if not isinstance(failure, OutOfMemory) or precision == choices[-1]:
                raise failure from error
    raise Infrastructure(f"The {device} device can do none of {', '.join(PRECISIONS[device])}.", code="device_failed")


def _segment(heard: Any) -> tuple[Segment, float]:
    words = [Word(word.start, word.end, word.word.strip(), word.probability) for word in heard.words or ()]
    text = heard.text.strip()
    segment = Segment(
        heard.start,
        heard.end,
        text,
        tuple(word for word in words if word.text),
        heard.avg_logprob,
        heard.no_speech_prob,
        compression_ratio(text),
    )
    return segment, heard.compression_ratio
