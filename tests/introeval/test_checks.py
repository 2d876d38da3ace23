from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

from introeval import checks


def test_what_is_installed_is_fit() -> None:
    assert list(checks.unsuitable_software()) == []


def test_a_package_below_its_floor_is_an_error_with_the_command_that_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = tmp_path / "daphne-4.2.1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: daphne\nVersion: 4.2.1\n")
    monkeypatch.syspath_prepend(tmp_path)

    found = [each for each in run_checks() if each.id == "introeval.E001"]

    assert [each.msg for each in found] == ["daphne is 4.2.1, at least 4.2.2 is needed."]
    assert found[0].hint == "`make setup`"


def test_a_package_that_is_too_new_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = tmp_path / "av-19.0.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: av\nVersion: 19.0.0\n")
    monkeypatch.syspath_prepend(tmp_path)

    assert list(checks.unsuitable_software()) == ["av is 19.0.0, below 19 is needed"]


@pytest.mark.parametrize(
    ("text", "parts"), [("5.2.14", (5, 2, 14)), ("20250625", (20250625,)), ("5.2rc1", (5, 2)), ("dev", ())]
)
def test_versions_compare_by_their_leading_numbers(text: str, parts: tuple[int, ...]) -> None:
    assert checks.numbers(text) == parts


def test_words_that_were_not_compiled_yet_are_named_with_the_command_that_does_it(
    tmp_path: Path, settings: Settings
) -> None:
    settings.LOCALE_PATHS = [tmp_path]
    folder = tmp_path / "fr" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    written, compiled = folder / "django.po", folder / "django.mo"
    written.touch()
    (found,) = [each for each in run_checks() if each.id == "introeval.W001"]
    assert str(written) in found.msg
    assert found.hint == "`make setup`"
    compiled.touch()
    assert list(checks.stale_catalogues()) == []
    os.utime(compiled, (0, 0))
    assert list(checks.stale_catalogues()) == [written]
