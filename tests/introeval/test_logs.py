"""What a log line looks like, and whom it does not name."""

from __future__ import annotations

import errno
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import structlog
from django.core.exceptions import RequestAborted

from introeval import logs


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What is logged, to a stream that is no terminal."""
    stream = io.StringIO()
    monkeypatch.delenv("LOG_FORMAT", raising=False)
    monkeypatch.delenv("LOG_LEVEL", raising=False)
    logs.configure(stream)
    yield stream
    monkeypatch.undo()
    logs.configure()


def last(lines: io.StringIO) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lines.getvalue().splitlines()[-1])
    return found


def test_both_kinds_of_logger_write_the_same_json(lines: io.StringIO) -> None:
    structlog.get_logger("queueing").info("claimed", task=7)
    ours = last(lines)
    logging.getLogger("django").warning("slow: %s s", 3)
    theirs = last(lines)

    assert (ours["event"], ours["task"], ours["level"], ours["logger"]) == ("claimed", 7, "info", "queueing")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("slow: 3 s", "warning", "django")
    assert ours.keys() - {"task"} == theirs.keys()


def test_configuring_twice_writes_each_line_once(lines: io.StringIO) -> None:
    logs.configure(lines)
    logging.getLogger("django").warning("once")

    assert len(lines.getvalue().splitlines()) == 1


def test_the_console_format_is_for_reading(lines: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_FORMAT", "console")
    logs.configure(lines)
    structlog.get_logger("queueing").info("claimed", task=7)

    assert "claimed" in lines.getvalue()
    assert "task=7" in lines.getvalue()
    assert "{" not in lines.getvalue()


def test_an_exceptions_traceback_is_in_the_line_without_its_variables(lines: io.StringIO) -> None:
    try:
        transcribe(student="".join(["Anna", " ", "Example"]))
    except ValueError:
        structlog.get_logger("x").exception("failed")

    assert "ValueError: broken" in last(lines)["exception"]
    assert "Anna Example" not in lines.getvalue()


def transcribe(student: str) -> None:
    raise ValueError("broken")


@pytest.mark.parametrize("key", ["username", "transcript", "file_name", "email", "full_name"])
def test_values_that_name_a_person_are_hidden(lines: io.StringIO, key: str) -> None:
    structlog.get_logger("x").info("seen", **{key: "Anna Example"})

    assert last(lines)[key] == "[hidden]"
    assert "Anna" not in lines.getvalue()


def test_a_row_that_postgresql_quotes_is_hidden(lines: io.StringIO) -> None:
    said = 'duplicate key value violates unique constraint "u"\nDETAIL:  Key (username)=(anna) already exists.'
    structlog.get_logger("x").error("refused", error=said)
    caught = RuntimeError(said)
    logging.getLogger("django.request").error("Internal Server Error: /x", exc_info=caught)

    assert "anna" not in lines.getvalue()
    assert "unique constraint" in lines.getvalue()


def test_a_broker_that_is_away_is_told_once_a_minute(lines: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = logging.getLogger("channels_redis.pubsub")
    for _ in range(3):
        layer.error("Unexpected exception in receive task")
    layer.error("something else")
    assert [json.loads(line)["event"] for line in lines.getvalue().splitlines()] == [
        "Unexpected exception in receive task",
        "something else",
    ]
    monkeypatch.setattr("introeval.logs.REPEAT_SECONDS", 0.0)
    layer.error("Unexpected exception in receive task")
    assert len(lines.getvalue().splitlines()) == 3


def test_a_browser_that_had_left_when_the_site_stopped_is_no_error(lines: io.StringIO) -> None:
    for error in (RequestAborted(), ValueError("broken")):
        logging.getLogger("asyncio").error("Task exception was never retrieved", exc_info=error)
    assert len(lines.getvalue().splitlines()) == 1
    assert "ValueError: broken" in last(lines)["exception"]


def test_login_failures_are_not_logged_with_user_names(lines: io.StringIO) -> None:
    logging.getLogger("axes.helpers").warning('AXES: New login failure by {username: "anna"}')

    assert lines.getvalue() == ""


@pytest.mark.parametrize(("variable", "value"), [("LOG_FORMAT", "xml"), ("LOG_LEVEL", "loud")])
def test_an_unreadable_choice_stops_the_process(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SystemExit, match=f"{variable} must be one of"):
        logs.configure()


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """LOG_FILE, which is full after a few lines."""
    path = tmp_path / "logs" / "introeval.log"
    monkeypatch.setenv("LOG_FILE", str(path))
    monkeypatch.setattr(logs, "FILE_BYTES", 400)
    logs.configure(io.StringIO())
    yield path
    monkeypatch.undo()
    logs.configure()


def test_a_file_gets_the_same_lines_as_json(file: Path) -> None:
    structlog.get_logger("queueing").info("claimed", task=7, student="Ada")
    found = json.loads(file.read_text())
    assert (found["event"], found["task"], found["student"]) == ("claimed", 7, logs.HIDDEN)


def test_a_full_file_is_put_aside_and_the_oldest_go(file: Path) -> None:
    for number in range(40):
        structlog.get_logger("queueing").info("claimed", task=number)
    parts = [file, *(Path(f"{file}.{number}") for number in range(1, logs.FILES_KEPT + 1))]
    assert {path.name for path in file.parent.iterdir()} == {part.name for part in parts} | {f"{file.name}.lock"}
    kept = [json.loads(line)["task"] for part in reversed(parts) for line in part.read_text().splitlines()]
    assert kept == list(range(kept[0], 40)), "in order, and none is missing"
    assert all(part.stat().st_size <= logs.FILE_BYTES for part in parts)


def test_two_that_share_a_file_lose_no_line_however_often_it_is_put_aside(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Handlers of two processes have a lock on the file alone in common; so have these of two threads."""
    monkeypatch.setattr(logs, "FILES_KEPT", 100)

    def write(number: int) -> None:
        handler = logs.SharedLogFile(file)
        for line in range(40):
            handler.emit(logging.LogRecord("x", logging.INFO, "", 0, f"{number}-{line}" + "x" * 30, None, None))

    threads = [Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    written = [line for part in file.parent.glob("introeval.log*") for line in part.read_text().splitlines()]
    assert len(written) == len(set(written)) == 80


def test_a_file_that_cannot_be_written_stops_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("LOG_FILE", str(tmp_path / "taken" / "introeval.log"))
    with pytest.raises(SystemExit, match="LOG_FILE can't be written"):
        logs.configure(io.StringIO())
    monkeypatch.undo()
    logs.configure()


def test_a_disk_that_is_full_ends_nobody(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(logs.os, "write", full)  # type: ignore[attr-defined]
        structlog.get_logger("queueing").info("claimed", task=7)
    structlog.get_logger("queueing").info("claimed", task=8)
    assert json.loads(file.read_text())["task"] == 8
