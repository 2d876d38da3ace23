"""Every command on a database that is wrong, fresh, of another version or gone: one line and what to do."""

from __future__ import annotations

import io
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
import pytest
from django.core import management
from django.db import InterfaceError, InternalError, OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder

from evaluations.management import results
from introeval.management import start
from tests.introeval.conftest import ROOT, environment

COMMANDS = [
    "evaluate clip.wav",
    "export class",
    "load_demo",
    "verify_store --json",
    "queue_status --json",
    "queue_retry --all",
    "switch_phase stt",
    "run_phase_worker",
    "createsuperuser",
    "shell",
]


@contextmanager
def somebody_else(answer: bytes | None) -> Iterator[int]:
    """The port of a server that is no database: it says that to whoever comes, or nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            asked, _ = server.accept()
            with asked:
                asked.recv(8)
                asked.sendall(answer or b"")

        if answer is not None:
            Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"host": "127.0.0.1", "port": 9}, "Connection refused"),
        ({"host": "/nowhere", "port": 5432}, "No such file or directory"),
        ({"dbname": "nothing_in_it"}, 'database "nothing_in_it" does not exist'),
        ({"user": "nobody_here"}, 'role "nobody_here" does not exist'),
        ({"options": "-c no_such_setting=1"}, "unrecognized configuration parameter"),
    ],
)
@pytest.mark.django_db
def test_a_wrong_address_is_told_with_its_reason(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(start.UnusableDatabaseError, match=re.escape(reason)) as told:
        start.ask_database({**connection.get_connection_params(), **wrong}, seconds=30)
    assert "correct DATABASE_URL" in told.value.fix
    assert str(told.value).count("\n") == 1


@pytest.mark.parametrize(
    ("answer", "reason"), [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "invalid response"), (None, "no answer within 0.2 s")]
)
def test_a_server_that_is_no_database_or_silent_is_not_waited_for(answer: bytes | None, reason: str) -> None:
    with somebody_else(answer) as port, pytest.raises(start.UnusableDatabaseError, match=reason):
        start.ask_database({"host": "127.0.0.1", "port": port, "dbname": "x"}, seconds=30 if answer else 0.2)


@pytest.mark.django_db
def test_the_right_address_is_told_nothing() -> None:
    start.ask_database(connection.get_connection_params(), seconds=30)
    start.ensure_tables()


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_that_works_on_the_database_asks_for_it(line: str) -> None:
    argv = ["manage.py", *line.split()]
    assert start.needs_database(argv)
    assert argv[1] not in start.WITHOUT_TABLES


@pytest.mark.parametrize("line", ["rate_text a.txt", "evaluate --help", "makemessages", "doctor", "check", ""])
def test_one_that_does_without_is_not_kept_from_it(line: str) -> None:
    assert not start.needs_database(["manage.py", *line.split()])


@pytest.mark.django_db
def test_a_database_without_the_tables_of_this_code_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_is_embedded", lambda: False)
    for app in ("queueing", "evaluations"):
        MigrationRecorder(connection).migration_qs.filter(app=app).delete()
        with pytest.raises(start.UnusableDatabaseError, match=r"lacks tables or columns\.\n.*manage\.py migrate"):
            start.ensure_tables()


@pytest.mark.django_db
def test_a_database_of_a_newer_version_is_told_as_such() -> None:
    MigrationRecorder(connection).record_applied("queueing", "9999_from_the_future")
    with pytest.raises(SystemExit, match="migrated by a newer version of IntroEval; update this one"):
        start.ensure_tables()


@pytest.mark.django_db
def test_a_database_that_may_not_be_read_is_told_as_such() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE stranger")
        cursor.execute("SET LOCAL ROLE stranger")
    with pytest.raises(start.UnusableDatabaseError, match="permission denied") as told:
        start.ensure_tables()
    assert "rights" in told.value.fix


@pytest.mark.django_db
def test_an_embedded_database_that_others_use_is_not_changed_under_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_is_embedded", lambda: True)
    MigrationRecorder(connection).migration_qs.filter(app="queueing").delete()
    with (
        psycopg.connect(**connection.get_connection_params()),
        pytest.raises(start.UnusableDatabaseError, match="in use"),
    ):
        start.ensure_tables()


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("server closed the connection unexpectedly\n\tThis probably means …"),
        OperationalError("couldn't get a connection after 10.00 sec"),
        InterfaceError("connection already closed"),
        InternalError("cannot execute INSERT in a read-only transaction"),
    ],
)
def test_a_database_that_fails_amid_a_command_is_told_in_words(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(argv: list[str]) -> None:
        raise error

    monkeypatch.setattr(management, "execute_from_command_line", fail)
    with pytest.raises(SystemExit) as left:
        start.execute(["manage.py", "version"])
    assert re.fullmatch(
        rf"introeval: The database .* failed: {str(error).splitlines()[0]}\.\n.*doctor.*", str(left.value)
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-8"])
def test_what_is_printed_ends_no_command_whatever_the_terminals_encoding(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.BytesIO()
    terminal = io.TextIOWrapper(shown, encoding=encoding, write_through=True)
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(management, "execute_from_command_line", lambda argv: sys.stdout.write("█ Zoë 日本 \udce9"))
    start.execute(["manage.py", "version"])
    assert shown.getvalue()


@pytest.mark.parametrize("said", ["Zoë", "日本語です", "emoji 🎓", "bytes of another encoding \udce9.mp4"])
def test_json_is_ascii_and_comes_back_as_it_was(said: str) -> None:
    printed = results.as_json([{"file": said}])
    assert printed.isascii()
    assert json.loads(printed) == [{"file": said}]


def test_no_command_prints_json_that_a_terminal_could_refuse() -> None:
    folders = [ROOT / name / "management" for name in ("introeval", "evaluations", "queueing")]
    assert not [path for folder in folders for path in folder.rglob("*.py") if "ensure_ascii" in path.read_text()]


@pytest.mark.slow
def test_a_fresh_embedded_database_gets_its_tables_from_the_first_command(own_data_dir: Path) -> None:
    command = [sys.executable, "manage.py", "queue_status", "--json"]
    env = environment(DATA_DIR=str(own_data_dir), PYTHONIOENCODING="ascii")
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout)["tasks"] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "value"),
    [("DATABASE_URL", "postgresql://127.0.0.1:9/x"), ("LEASE_SECONDS", "5m")],
)
def test_nothing_is_started_for_a_wrong_setting(variable: str, value: str, tmp_path: Path) -> None:
    command = [sys.executable, "manage.py", "evaluate", "clip.wav"]
    env = environment(**{"DATA_DIR": str(tmp_path / "var"), variable: value})
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("introeval: ")
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "var" / "services").exists()
