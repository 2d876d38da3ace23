"""The lane of the unit tests proves itself: what reaches outside of the process fails, and no server is started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lanes import EXTERNAL, LONGEST, ROOT, SHARING, scope

REACH_OUT = """
import contextlib, os, socket
import psycopg, pytest
from django.contrib.auth.models import User

def test_stays_inside():
    pass

def test_starts_a_process():
    os.posix_spawn("/bin/true", ["true"], {})

def test_calls_somebody():
    socket.create_connection(("192.0.2.1", 80), timeout=0.01)

def test_calls_a_server_by_its_path():
    with socket.socket(socket.AF_UNIX) as server:
        server.connect("/tmp/nobody.sock")

def test_asks_the_database():
    psycopg.connect("postgresql:///x")

def test_asks_the_database_through_django():
    User.objects.exists()

def test_hides_that_it_starts_a_process():
    with contextlib.suppress(Exception):
        os.system("true")

def test_asks_for_the_database(db):
    raise AssertionError("chosen")

@pytest.mark.external
def test_says_that_it_starts_one():
    raise AssertionError("chosen")
"""


def test_what_reaches_out_of_the_lane_fails_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "test_reach_out.py").write_text(REACH_OUT)
    options = ["-m", "unit", "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:schemathesis"]
    options += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "--tb=line", "--durations=0"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert "6 failed, 1 passed, 2 deselected" in ran.stdout, ran.stdout + ran.stderr
    for words in ("started a process", "'192.0.2.1'", "/tmp/nobody.sock", "PostgreSQL", "django_db"):
        assert words in ran.stdout


def test_one_lane_takes_a_module_or_a_folder_that_shares() -> None:
    speech = SHARING[0]
    assert scope(f"{speech}test_words.py::test_x[a::b]") == scope(f"{speech}test_voice.py::test_y") == speech
    assert scope("tests/test_lanes.py::test_x[a::b]") == "tests/test_lanes.py"


@pytest.mark.parametrize("name", [*EXTERNAL, *LONGEST])
def test_what_is_named_is_there(name: str) -> None:
    """A test that was renamed would come into the lane, or its module end the run alone, without a word."""
    path, _, test = name.partition("::")
    assert (ROOT / path).exists()
    assert not test or f"\ndef {test}" in (ROOT / path).read_text()
