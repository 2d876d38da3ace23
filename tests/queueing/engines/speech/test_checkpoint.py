from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from queueing.engines.speech import checkpoint, models
from queueing.engines.speech.checkpoint import find_checkpoint, read_weights, state_dict
from queueing.engines.speech.openai_whisper import OpenAIWhisper
from queueing.exceptions import Infrastructure


def string(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def variable(name: str, kind: int, array: npt.NDArray[Any]) -> bytes:
    shape = struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
    return string(name) + shape + struct.pack("<BI", kind, array.nbytes) + array.tobytes()


def model_file(path: Path, *variables: bytes, version: int = 6, spec: str = "WhisperSpec") -> Path:
    header = struct.pack("<I", version) + string(spec) + struct.pack("<II", 3, len(variables))
    path.write_bytes(header + b"".join(variables) + struct.pack("<I", 0))
    return path


def test_every_stored_type_is_read(tmp_path: Path) -> None:
    values = np.array([[1.5, -2.0], [0.25, 96.0]], np.float32)
    file = model_file(
        tmp_path / "model.bin",
        variable("single", 0, values),
        variable("half", 4, values.astype(np.float16)),
        variable("brain", 5, (values.view(np.uint32) >> 16).astype(np.uint16)),
        variable("number", 2, np.array(6, np.int16)),
    )
    weights = read_weights(file)
    for name in ("single", "half", "brain"):
        assert np.array_equal(weights[name].astype(np.float32), values), name
    assert weights["number"] == 6


def test_quantised_rows_are_divided_by_their_scales(tmp_path: Path) -> None:
    meant = np.random.default_rng(5).standard_normal((3, 4)).astype(np.float32)
    scales = (127 / np.abs(meant).max(axis=1)).astype(np.float32)
    stored = np.round(meant * scales[:, None]).astype(np.int8)
    weights = read_weights(
        model_file(tmp_path / "model.bin", variable("w", 1, stored), variable("w_scale", 0, scales)),
    )
    assert np.allclose(checkpoint.stored_as_float(weights, "w"), meant, atol=0.02)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 something else", struct.pack("<I", 6) + string("TransformerSpec")]
)
def test_a_file_of_another_kind_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(Infrastructure, match=r"model\.bin"):
        read_weights(tmp_path / "model.bin")


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    file = model_file(tmp_path / "model.bin", variable("w", 0, np.ones((40, 40), np.float32)))
    file.write_bytes(file.read_bytes()[:-400])
    with pytest.raises(Infrastructure):
        read_weights(file)


def test_another_version_of_the_format_is_refused(tmp_path: Path) -> None:
    file = model_file(tmp_path / "model.bin", version=7)
    with pytest.raises(Infrastructure, match="version 7"):
        read_weights(file)


def test_the_parts_of_an_attention_come_apart_in_their_order() -> None:
    weights = read_weights(models.find("tiny.en") / "model.bin")
    state = dict(state_dict(weights))
    fused = weights["decoder/layer_2/self_attention/linear_0/weight"].astype(np.float32)
    parts = [state[f"decoder.blocks.2.attn.{part}.weight"] for part in ("query", "key", "value")]
    assert np.array_equal(np.concatenate(parts), fused)
    assert "decoder.blocks.2.attn.key.bias" not in state
    # What is left out must be nothing, or the conversion loses weights.
    assert not np.split(weights["decoder/layer_2/self_attention/linear_0/bias"], 3)[1].any()


def test_a_checkpoint_is_converted_once_and_leaves_no_parts(tmp_path: Path) -> None:
    path = find_checkpoint("tiny.en", cache=tmp_path)
    written = path.stat().st_mtime_ns
    assert find_checkpoint("tiny.en", cache=tmp_path).stat().st_mtime_ns == written
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Infrastructure, match=r"nowhere\.pt"):
        find_checkpoint(str(tmp_path / "nowhere.pt"), cache=tmp_path)


class Trap:
    """Unpickled without care, it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "ran")


def test_a_checkpoint_with_code_in_it_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    import torch

    torch.save({"dims": Trap(tmp_path / "proof"), "model_state_dict": {}}, tmp_path / "trap.pt")
    engine = OpenAIWhisper(str(tmp_path / "trap.pt"), cache=tmp_path)
    with pytest.raises(Infrastructure) as caught:
        engine.load()
    assert caught.value.code == "model_tampered"
    assert not (tmp_path / "proof").exists()
    assert engine.resident() == ()
