"""What a lab is told of itself: asked once, on a terminal only, kept, and then what every process reads.

That a real terminal is asked: tests/browser/test_first_lesson.py.
"""

from __future__ import annotations

import json
import runpy
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from pytest_django import Settings

from introeval.lan import profile
from introeval.lan.profile import LabProfile
from introeval.management import first_start
from introeval.management.first_start import Told

ROOT = Path(__file__).parents[3]
NOTHING = LabProfile()
Sit = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR, settings.TIME_ZONE = tmp_path, "Europe/Vienna"
    for name in ("SCHOOL", "TIME_ZONE", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "de_AT.UTF-8")


@pytest.fixture
def sit(monkeypatch: pytest.MonkeyPatch) -> Sit:
    """Somebody at a terminal who gives these answers; returns the questions."""

    def down(*answers: str) -> list[str]:
        left, asked = list(answers), list[str]()

        def answer(question: str) -> str:
            asked.append(question)
            if not left:
                raise EOFError
            return left.pop(0)

        monkeypatch.setattr(first_start, "can_ask", lambda: True)
        monkeypatch.setattr("builtins.input", answer)
        return asked

    return down


def kept(folder: Path) -> Any:
    return json.loads((folder / "lab.json").read_text())


@pytest.mark.django_db
def test_what_nobody_said_is_asked_for_once_and_kept(sit: Sit, tmp_path: Path) -> None:
    asked = sit("  Schule am   Fluß ", "", "Europe/Berlin", "frau-a")
    told = first_start.find_out(NOTHING, None)
    assert told == Told(school="Schule am Fluß", time_zone="Europe/Berlin", language="de", teacher="frau-a")
    assert [question.split("[")[1] for question in asked] == ["none]: ", "de]: ", "Europe/Vienna]: ", "teacher]: "]
    assert kept(tmp_path) == {"school": "Schule am Fluß", "language": "de", "time_zone": "Europe/Berlin"}
    assert stat.S_IMODE((tmp_path / "lab.json").stat().st_mode) == 0o600

    call_command("create_class", "9b", "--teacher", "frau-a", "--no-input")
    asked = sit()
    assert first_start.find_out(NOTHING, None).school == "Schule am Fluß"
    assert asked == []


@pytest.mark.django_db
def test_flags_and_variables_are_answers_and_flags_replace_what_is_kept(
    sit: Sit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    asked = sit()
    given = LabProfile(school="Old School", language="en", time_zone="Europe/Rome")
    assert first_start.find_out(given, "herr-b").teacher == "herr-b"
    assert first_start.find_out(LabProfile(school="New School"), "herr-b").school == "New School"
    assert asked == []
    assert kept(tmp_path) == {"school": "New School", "language": "en", "time_zone": "Europe/Rome"}

    (tmp_path / "lab.json").unlink()
    monkeypatch.setenv("SCHOOL", "Of the Environment")
    monkeypatch.setenv("TIME_ZONE", "Asia/Tokyo")
    settings.TIME_ZONE = "Asia/Tokyo"
    told = first_start.find_out(LabProfile(language="en"), "herr-b")
    assert (told.school, told.time_zone, asked) == ("Of the Environment", "Asia/Tokyo", [])


@pytest.mark.django_db
def test_without_a_terminal_nothing_is_asked_and_the_machine_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("asked"))
    told = first_start.find_out(NOTHING, None)
    assert told == Told(school="", time_zone="Europe/Vienna", language="de", teacher="teacher")
    assert kept(tmp_path) == {"language": "de"}, "of the class that is made now; the rest can still be asked for"


@pytest.mark.django_db
def test_what_is_none_is_told_in_a_line_and_asked_again_a_few_times(
    sit: Sit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sit("x" * 81, "Short", "fr", "en", "Mars/Olympus", "Europe/Rome", "a b", "ab")
    told = first_start.find_out(NOTHING, None)
    assert told == Told(school="Short", time_zone="Europe/Rome", language="en", teacher="ab")
    problems = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in problems] == ["At", "One", "'Mars/Olympus'", "Enter"]

    (tmp_path / "lab.json").unlink()
    sit("", "", *["Mars/Olympus"] * 3)
    with pytest.raises(CommandError, match=r"^Not started\. 'Mars/Olympus' is no time zone"):
        first_start.find_out(NOTHING, "ab")
    assert not (tmp_path / "lab.json").exists()


def settings_of(monkeypatch: pytest.MonkeyPatch, folder: Path, **env: str) -> dict[str, Any]:
    for name in ("STT_MODEL", "TIME_ZONE", "SCHOOL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"DATA_DIR": str(folder), **env}.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(ROOT / "introeval" / "settings.py"))


def test_every_process_reads_what_is_kept_and_variables_have_the_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile.keep(tmp_path, LabProfile(school="Schule am Fluß", language="de", time_zone="Asia/Tokyo"))
    found = settings_of(monkeypatch, tmp_path)
    assert (found["SCHOOL"], found["TIME_ZONE"], found["STT_MODEL"]) == ("Schule am Fluß", "Asia/Tokyo", "base")
    found = settings_of(monkeypatch, tmp_path, SCHOOL="Other", TIME_ZONE="Europe/Rome", STT_MODEL="tiny.en")
    assert (found["SCHOOL"], found["TIME_ZONE"], found["STT_MODEL"]) == ("Other", "Europe/Rome", "tiny.en")


@pytest.mark.parametrize("content", ["{", "[]", '{"school": 3}', '"x"'])
def test_a_file_that_is_none_of_ours_stops_the_start_with_its_cure(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lab.json").write_text(content)
    with pytest.raises(ImproperlyConfigured, match=r"lab\.json can't be read: .* Remove it: `up --lab` asks again"):
        settings_of(monkeypatch, tmp_path)


@pytest.mark.external
def test_a_zone_that_is_none_is_one_line_before_anything_starts(tmp_path: Path) -> None:
    command = [sys.executable, "manage.py", "up", "--lab", "--data-dir", str(tmp_path), "--time-zone", "Mars/Olympus"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "introeval: TIME_ZONE must be a time zone like Europe/Berlin, it is 'Mars/Olympus'\n"
    assert not (tmp_path / "postgres").exists()
