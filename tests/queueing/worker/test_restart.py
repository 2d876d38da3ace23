"""The commands that a setting may name, and what becomes of one that is run. The programs are scripts on PATH."""

from __future__ import annotations

import os
import string
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from queueing.worker import restart
from queueing.worker.restart import RestartAction

Program = Callable[..., Path]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """A script by the name of a program, which is found before the real one."""

    def make(text: str, name: str = "docker") -> Path:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return path

    return make


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("none", None),
        ("docker restart ollama", RestartAction("docker", "ollama")),
        ("docker restart lab_ollama-1.2", RestartAction("docker", "lab_ollama-1.2")),
        ("systemctl restart ollama", RestartAction("systemctl", "ollama")),
        ("systemctl restart llama.cpp@7b.service", RestartAction("systemctl", "llama.cpp@7b.service")),
    ],
)
def test_two_commands_are_known_and_none(text: str, action: RestartAction | None) -> None:
    assert restart.parse(text) == action
    assert str(action or "none") == text


REFUSED = [
    "",
    " none",
    "None",
    "docker restart",
    "docker restart ",
    "docker  restart ollama",
    "docker restart ollama ",
    "docker restart ollama\n",
    "docker restart -h",
    "docker restart --time=0",
    "docker restart a b",
    "docker restart $(id)",
    "docker restart `id`",
    "docker restart a;id",
    "docker restart a&&id",
    "docker restart ../etc",
    "docker restart оllama",  # its first letter is Cyrillic
    "docker rm ollama",
    "docker run ollama",
    "/usr/bin/docker restart ollama",
    "Docker restart ollama",
    "sudo systemctl restart ollama",
    "systemctl stop ollama",
    "systemctl restart reboot.target",
    "systemctl restart var-lib.mount",
    "systemctl restart ollama*",
    "systemctl restart --all",
    "systemctl restart " + "a" * 500,
    "none\n",
    "docker restart a\0",
]


@pytest.mark.parametrize("text", REFUSED)
def test_nothing_else_is_taken_for_a_command(text: str) -> None:
    """S49"""
    with pytest.raises(ValueError, match="docker restart NAME"):
        restart.parse(text)


NAME = set(string.ascii_letters + string.digits + "_.-:@")
PARTS = st.sampled_from(
    ["docker", "systemctl", "restart", "none", "ollama", "a.service", "x.target", "-", "--", " ", "\n", "\t", ";", "é"]
)


@given(st.one_of(st.text(), st.lists(PARTS, max_size=7).map("".join), st.lists(PARTS, max_size=5).map(" ".join)))
@example("docker restart -ollama")
def test_whatever_is_given_only_the_two_shapes_pass(text: str) -> None:
    """S49, by what may come out rather than by the pattern that lets it in."""
    try:
        action = restart.parse(text)
    except ValueError:
        return
    if action is None:
        assert text == "none"
        return
    assert text == f"{action.program} restart {action.name}"
    assert action.program in ("docker", "systemctl")
    assert set(action.name) <= NAME
    assert action.name[0].isalnum()
    if action.program == "systemctl":
        assert "." not in action.name or action.name.endswith(".service")


def test_the_command_gets_its_two_words_and_no_secrets(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "s3cret")
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/user/1000/docker.sock")
    program('echo "$# $1 $2 [$SECRET_KEY] $DOCKER_HOST"')
    outcome = restart.run(RestartAction("docker", "ollama"))
    assert outcome == restart.RestartOutcome(True, "2 restart ollama [] unix:///run/user/1000/docker.sock")


def test_a_command_that_fails_says_why(program: Program) -> None:
    program("echo no such unit >&2; exit 5", "systemctl")
    assert restart.run(RestartAction("systemctl", "ollama")) == restart.RestartOutcome(False, "exit 5: no such unit")


def test_a_command_that_is_not_there_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert restart.run(RestartAction("docker", "x")) == restart.RestartOutcome(False, "docker is not on this machine")


def test_a_command_that_hangs_is_stopped_with_all_it_started(program: Program, tmp_path: Path) -> None:
    program(f"sleep 600 & echo $! > {tmp_path}/child; sleep 600")
    outcome = restart.run(RestartAction("docker", "x"), seconds=0.5)
    assert outcome == restart.RestartOutcome(False, "it was stopped after 0.5 s.")
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10  # a kill takes effect a moment later
    while lives(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_command_is_over_when_it_ends_though_what_it_left_keeps_the_pipe(program: Program, tmp_path: Path) -> None:
    program(f"sleep 30 & echo $! > {tmp_path}/child; echo started")
    assert restart.run(RestartAction("docker", "x"), seconds=20) == restart.RestartOutcome(True, "started")
    psutil.Process(int((tmp_path / "child").read_text())).kill()


def test_of_a_flood_of_words_only_the_first_are_kept(program: Program) -> None:
    program("head -c 3000000 /dev/zero | tr '\\0' x")
    outcome = restart.run(RestartAction("docker", "x"), seconds=20)
    assert (outcome.worked, outcome.output) == (True, "x" * restart.OUTPUT_BYTES)
