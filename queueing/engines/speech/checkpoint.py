"""CTranslate2's Whisper weights as an openai-whisper checkpoint: the same tensors under other names.

The layout of `model.bin` is CTranslate2's binary format, version 6, little-endian throughout:

    u32 version, string spec, u32 revision, u32 variables, then per variable
        string name, u8 rank, u32 × rank shape, u8 type, u32 bytes, data
    u32 aliases, then per alias: string alias, string variable

A string is u16 length (its closing zero byte included) and the bytes. CTranslate2 keeps the query, key and value of an
attention in one matrix, or key and value in one where they look at the audio; openai-whisper keeps them apart, and its
key has no bias (CTranslate2 stores zeros for it).
"""

from __future__ import annotations

import json
import math
import os
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt

from queueing.engines.speech import models
from queueing.exceptions import Infrastructure

VERSION = 6
BFLOAT16 = 5
TYPES: dict[int, npt.DTypeLike] = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2", BFLOAT16: "<u2"}

Weights = dict[str, npt.NDArray[Any]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Linear:
    """A matrix that CTranslate2 keeps as one and openai-whisper as `parts`, in their order."""

    source: str
    parts: tuple[str, ...]


ATTENTION = (Linear("linear_0", ("query", "key", "value")), Linear("linear_1", ("out",)))
CROSS_ATTENTION = (Linear("linear_0", ("query",)), Linear("linear_1", ("key", "value")), Linear("linear_2", ("out",)))
FEED_FORWARD = (Linear("linear_0", ("0",)), Linear("linear_1", ("2",)))


def find_checkpoint(name: str, *, cache: Path | None = None) -> Path:
    """The `.pt` file of an openai-whisper model: a path, or a packaged model's name, converted once into the cache.

    Raises:
        Infrastructure: there is no such file or model, or it can't be written (code `model_missing`).
    """
    if name not in models.PACKAGED:
        path = Path(name).expanduser().resolve()
        if not path.is_file():
            known = ", ".join(models.PACKAGED)
            raise Infrastructure(f"No checkpoint at {path}. Known by name: {known}.", code="model_missing")
        return path
    folder = cache or models.default_cache()
    # The digest in the name: other weights never meet an old conversion.
    target = folder / f"whisper-{name}-{models.PACKAGED[name].sha256['model.bin'][:12]}.pt"
    if not target.is_file():
        convert(models.find(name, cache=folder), target)
    return target


def convert(source: Path, target: Path) -> None:
    """Write the model in folder `source` as a checkpoint, whole or not at all.

    Raises:
        Infrastructure: `source` is no CTranslate2 Whisper model, or `target` can't be written.
    """
    import torch  # it takes seconds and gigabytes; only this path needs it

    weights = read_weights(source / "model.bin")
    checkpoint = {
        "dims": dimensions(weights),
        "model_state_dict": {name: torch.from_numpy(array) for name, array in state_dict(weights)},
        "alignment_heads": json.loads((source / "config.json").read_text())["alignment_heads"],
    }
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            part = Path(folder) / target.name
            with part.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
    except OSError as error:
        raise Infrastructure(f"{target} can't be written: {error.strerror}.", code="model_missing") from error


def read_weights(path: Path) -> Weights:
    """All variables by name, in the types they are stored in; bfloat16 as float32.

    Raises:
        Infrastructure: the file is no CTranslate2 Whisper model, of another version, or cut off.
    """
    return dict(_each_variable(path, _variable))


def count_weights(path: Path) -> int:
    """How many numbers the model has, without reading them. Raises Infrastructure as `read_weights` does."""
    return sum(_each_variable(path, _skipped))


def _each_variable(path: Path, read: Callable[[BinaryIO], T]) -> list[T]:
    try:
        with path.open("rb") as file:
            version, spec, _revision, count = _u32(file), _string(file), _u32(file), _u32(file)
            if (version, spec) != (VERSION, "WhisperSpec"):
                raise Infrastructure(
                    f"{path} is a {spec!r} of version {version}, not a WhisperSpec of version {VERSION}."
                )
            return [read(file) for _ in range(count)]
    except (OSError, struct.error, ValueError, KeyError) as error:
        raise Infrastructure(f"{path} is no CTranslate2 model: {error}.", code="model_missing") from error


def _u32(file: BinaryIO) -> int:
    return int(struct.unpack("<I", file.read(4))[0])


def _string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<H", file.read(2))
    return file.read(length)[:-1].decode()


def _head(file: BinaryIO) -> tuple[str, list[int], int]:
    """A variable's name, shape and type; its length and its numbers follow."""
    name = _string(file)
    (rank,) = file.read(1)
    shape = [_u32(file) for _ in range(rank)]
    (kind,) = file.read(1)
    return name, shape, kind


def _skipped(file: BinaryIO) -> int:
    _, shape, _ = _head(file)
    file.seek(_u32(file), os.SEEK_CUR)
    return math.prod(shape)


def _variable(file: BinaryIO) -> tuple[str, npt.NDArray[Any]]:
    name, shape, kind = _head(file)
    array = np.frombuffer(file.read(_u32(file)), TYPES[kind]).reshape(shape)
    if kind == BFLOAT16:
        array = (array.astype("<u4") << 16).view("<f4")
    return name, array


def dimensions(weights: Weights) -> dict[str, int]:
    """What openai-whisper calls `ModelDimensions`, read off the shapes."""
    width, mels, _ = weights["encoder/conv1/weight"].shape
    words, text_width = weights["decoder/embeddings/weight"].shape
    return {
        "n_mels": mels,
        "n_audio_ctx": weights["encoder/position_encodings/encodings"].shape[0],
        "n_audio_state": width,
        "n_audio_head": int(weights["encoder/num_heads"]),
        "n_audio_layer": _layers(weights, "encoder"),
        "n_vocab": words,
        "n_text_ctx": weights["decoder/position_encodings/encodings"].shape[0],
        "n_text_state": text_width,
        "n_text_head": int(weights["decoder/num_heads"]),
        "n_text_layer": _layers(weights, "decoder"),
    }


def _layers(weights: Weights, side: str) -> int:
    return sum(name.startswith(f"{side}/layer_") and name.endswith("/ffn/linear_0/weight") for name in weights)


def state_dict(weights: Weights) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """openai-whisper's parameters, as writable float32 arrays."""
    for name in ("conv1", "conv2"):
        yield f"encoder.{name}.weight", stored_as_float(weights, f"encoder/{name}/weight")
        yield f"encoder.{name}.bias", stored_as_float(weights, f"encoder/{name}/bias")
    yield "decoder.token_embedding.weight", stored_as_float(weights, "decoder/embeddings/weight")
    for side, norm in (("encoder", "ln_post"), ("decoder", "ln")):
        yield f"{side}.positional_embedding", stored_as_float(weights, f"{side}/position_encodings/encodings")
        yield from _norm(weights, f"{side}/layer_norm", f"{side}.{norm}")
        for layer in range(_layers(weights, side)):
            yield from _block(weights, f"{side}/layer_{layer}", f"{side}.blocks.{layer}", cross=side == "decoder")


def _block(weights: Weights, source: str, target: str, *, cross: bool) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    groups: list[tuple[str, str, str, tuple[Linear, ...]]] = [
        ("self_attention", "attn", "attn_ln", ATTENTION),
        ("ffn", "mlp", "mlp_ln", FEED_FORWARD),
    ]
    if cross:
        groups.append(("attention", "cross_attn", "cross_attn_ln", CROSS_ATTENTION))
    for group, module, norm, linears in groups:
        yield from _norm(weights, f"{source}/{group}/layer_norm", f"{target}.{norm}")
        for linear in linears:
            yield from _split(weights, f"{source}/{group}/{linear.source}", f"{target}.{module}", linear.parts)


def _norm(weights: Weights, source: str, target: str) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    yield f"{target}.weight", stored_as_float(weights, f"{source}/gamma")
    yield f"{target}.bias", stored_as_float(weights, f"{source}/beta")


def _split(
    weights: Weights, source: str, target: str, parts: tuple[str, ...]
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    matrices = np.split(stored_as_float(weights, f"{source}/weight"), len(parts))
    biases = np.split(stored_as_float(weights, f"{source}/bias"), len(parts))
    for part, matrix, bias in zip(parts, matrices, biases, strict=True):
        yield f"{target}.{part}.weight", matrix.copy()
        if part != "key":
            yield f"{target}.{part}.bias", bias.copy()


def stored_as_float(weights: Weights, name: str) -> npt.NDArray[np.float32]:
    """The variable in float32. Quantised rows carry the factor that they were multiplied with."""
    array = weights[name].astype(np.float32)
    scale = weights.get(f"{name}_scale")
    return array if scale is None else array / scale.astype(np.float32).reshape(-1, *[1] * (array.ndim - 1))
