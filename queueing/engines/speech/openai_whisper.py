"""Whisper by openai-whisper (PyTorch): the reference. float32 on a CPU, float16 on CUDA.

It is only ever given samples, never a file: its own loader would start an ffmpeg program on whatever a student sent.
"""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from queueing.engines.base import SAMPLE_RATE, Samples
from queueing.engines.speech import models
from queueing.engines.speech.checkpoint import count_weights, find_checkpoint
from queueing.engines.speech.hosted import HostedSpeech
from queueing.engines.speech.plausible import UNSURE_LOG_PROBABILITY
from queueing.engines.speech.transcriber import (
    Decoding,
    DeviceFacts,
    Thrift,
    Transcriber,
    default_threads,
    device_errors,
    fitting,
)
from queueing.exceptions import Infrastructure

FLOAT16_BYTES, FLOAT32_BYTES = 2, 4  # per weight: in OpenAI's files, and in memory, whatever it computes in
# Whisper's README names the memory that each size requires: about 1, 1, 2, 5 and 10 GB from tiny to large. This line
# lies above all of them.
WORKING_SHARE, WORKING_BYTES = 0.65, 1 << 30
FRAMES_PER_SECOND = 100  # of the mel spectrogram, in which openai-whisper counts its progress


class OpenAIWhisper(HostedSpeech):
    """`model` is a packaged name (`tiny.en`, `base`; converted once) or the path of a `.pt` checkpoint."""

    name = "openai-whisper"
    factory = "queueing.engines.speech.openai_whisper:load"

    def arguments(self) -> Mapping[str, Any]:
        return {"model": self.model, "cache": str(self.cache), "device": self.device, "threads": self.threads}

    def gpu_bytes(self) -> int:
        weights = FLOAT32_BYTES * self._count_weights()
        return weights + int(weights * WORKING_SHARE) + WORKING_BYTES

    def _count_weights(self) -> int:
        """Of a checkpoint at most: it may be stored in 16 bits, as OpenAI's are."""
        if self.model in models.PACKAGED:
            return count_weights(models.find(self.model, cache=self.cache) / "model.bin")
        return find_checkpoint(self.model).stat().st_size // FLOAT16_BYTES


def load(model: str, cache: str, device: str, threads: int, thrift: Thrift) -> Transcriber:
    """The child's factory; conversion happens here, so that the parent never holds torch."""
    return _OpenAIWhisper(find_checkpoint(model, cache=Path(cache)), device, threads, thrift)


class _OpenAIWhisper(Transcriber):
    def __init__(self, path: Path, device: str, threads: int, thrift: Thrift) -> None:
        import torch

        super().__init__(thrift)
        torch.set_num_threads(threads or default_threads())
        self.cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
        self.facts = DeviceFacts("cuda:0" if self.cuda else "cpu", "float16" if self.cuda else "float32")
        self.model = _read(path, "cuda" if self.cuda else "cpu")
        self.only_language = None if self.model.is_multilingual else "en"
        self._warm_up()

    def _warm_up(self) -> None:
        """Run all that a call runs: the alignment of words is compiled by numba, which takes seconds the first time."""
        from whisper.audio import N_FRAMES, log_mel_spectrogram, pad_or_trim
        from whisper.timing import find_alignment
        from whisper.tokenizer import get_tokenizer

        silence = np.zeros(SAMPLE_RATE, np.float32)
        tokenizer = get_tokenizer(self.model.is_multilingual, language="en", task="transcribe")
        window = pad_or_trim(log_mel_spectrogram(silence, self.model.dims.n_mels), N_FRAMES).to(self.model.device)
        with device_errors():
            self.decode(silence, (), lambda seconds: None)
            find_alignment(self.model, tokenizer, tokenizer.encode(" hello"), window, N_FRAMES)

    def decode(self, samples: Samples, hints: Sequence[str], done: Callable[[float], None]) -> Decoding:
        module: Any = importlib.import_module(
            "whisper.transcribe"
        )  # the package's own attribute of that name is a function
        language, probability = self._language(samples)
        module.tqdm = SimpleNamespace(tqdm=_progress_bar(done))  # the only progress that it gives
        heard = module.transcribe(
            self.model,
            samples,
            verbose=False,
            language=language,
            logprob_threshold=UNSURE_LOG_PROBABILITY,
            initial_prompt=fitting(hints, self._tokens),
            carry_initial_prompt=True,
            fp16=self.cuda,
            **self.options(),
        )
        return Decoding(language, probability, heard["segments"])

    def _tokens(self, text: str) -> int:
        from whisper.tokenizer import get_tokenizer

        return len(get_tokenizer(self.model.is_multilingual).encode(f" {text}"))

    def _language(self, samples: Samples) -> tuple[str, float]:
        from whisper.audio import N_FRAMES, log_mel_spectrogram, pad_or_trim

        if self.only_language:
            return self.only_language, 1.0
        window = pad_or_trim(log_mel_spectrogram(samples, self.model.dims.n_mels), N_FRAMES)
        _, probabilities = self.model.detect_language(window.to(self.model.device))
        language = max(probabilities, key=probabilities.__getitem__)
        return str(language), float(probabilities[language])


def _read(path: Path, device: str) -> Any:
    """The checkpoint's model on the device. Only tensors and plain values are unpickled, never code.

    Raises:
        Infrastructure: it is no checkpoint (code `model_tampered`).
        OutOfMemory: the device can't hold it.
    """
    import torch
    from whisper.model import ModelDimensions, Whisper

    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        model = Whisper(ModelDimensions(**checkpoint["dims"]))
        model.load_state_dict(checkpoint["model_state_dict"])
    except (OSError, EOFError, KeyError, TypeError, RuntimeError, pickle.UnpicklingError) as error:
        raise Infrastructure(f"{path} is no openai-whisper checkpoint: {error}", code="model_tampered") from error
    _set_alignment_heads(model, path, checkpoint.get("alignment_heads"))
    with device_errors():
        return model.to(device)


def _set_alignment_heads(model: Any, path: Path, heads: list[list[int]] | None) -> None:
    """Name the attention heads that follow the audio: words' times are read from them."""
    import torch
    from whisper import _ALIGNMENT_HEADS

    if heads is not None:
        mask = torch.zeros(model.dims.n_text_layer, model.dims.n_text_head, dtype=torch.bool)
        mask[tuple(torch.tensor(heads).T)] = True
        model.register_buffer("alignment_heads", mask.to_sparse(), persistent=False)
    elif path.stem in _ALIGNMENT_HEADS:
        model.set_alignment_heads(_ALIGNMENT_HEADS[path.stem])


def _progress_bar(done: Callable[[float], None]) -> type:
    """A stand-in for tqdm's bar that passes on how far the decoding is."""

    class ProgressBar:
        def __init__(self, **_: Any) -> None:
            self.frames = 0

        def __enter__(self) -> ProgressBar:
            return self

        def __exit__(self, *_: object) -> None: ...

        def update(self, frames: int) -> None:
            self.frames += frames
            done(self.frames / FRAMES_PER_SECOND)

    return ProgressBar
