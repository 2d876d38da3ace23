"""Every command on a database that is wrong, fresh, of another version or gone: one line and what to do."""

from __future__ import annotations

import io
import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest
from django.core import management
from django.core.management import get_commands
from django.db import InterfaceError, InternalError, OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder

from evaluations.management import results
from introeval import database
from introeval.database import UnusableDatabaseError
from introeval.management import start
from tests.doubles import postgres
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
    "runserver",
    "test",
]
TOUCHING_NONE = {
    "check": (),
    "collectstatic": ("--dry-run", "--no-input"),
    "diffsettings": (),
    "findstatic": ("--first", "evaluations/site.css"),
}


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
    with pytest.raises(UnusableDatabaseError, match=re.escape(reason)) as told:
        database.ask({**connection.get_connection_params(), **wrong}, seconds=30)
    assert "correct DATABASE_URL" in told.value.fix
    assert str(told.value).count("\n") == 1


@pytest.mark.parametrize(
    ("said", "options", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", {}, "can't be reached: .*invalid response"),
        (postgres.error("28P01", 'password authentication failed for user "x"'), {}, "password authentication failed"),
        (postgres.error("28000", "no pg_hba.conf entry for host"), {}, "no pg_hba.conf entry"),
        (postgres.login("16.2"), {"sslmode": "require"}, "server does not support SSL"),
        (postgres.login("13.20"), {}, "is of PostgreSQL 13, which is too old"),
        (postgres.login("9.6.24"), {}, "is of PostgreSQL 9, which is too old"),
    ],
)
def test_a_server_that_can_not_be_used_is_told_with_its_reason(
    said: bytes, options: dict[str, Any], reason: str
) -> None:
    with (
        postgres.answering(said, raw=said.startswith(b"HTTP")) as wrong,
        pytest.raises(UnusableDatabaseError, match=reason) as told,
    ):
        database.ask({"host": "127.0.0.1", "port": wrong.port, "dbname": "x", **options}, seconds=30)
    assert "correct DATABASE_URL" in told.value.fix
    assert str(told.value).count("\n") == 1


def test_the_oldest_version_is_that_of_django() -> None:
    assert connection.features.minimum_database_version == (database.OLDEST_VERSION,)
    with postgres.answering(postgres.login(f"{database.OLDEST_VERSION}.0")) as old:
        database.ask({"host": "127.0.0.1", "port": old.port, "dbname": "x"}, seconds=30)


def test_silence_is_waited_for_once_however_many_addresses_there_are() -> None:
    with postgres.answering(None) as silent:
        hosts, ports = ",".join(["127.0.0.1"] * 40), ",".join([str(silent.port)] * 40)
        with pytest.raises(UnusableDatabaseError, match=r"no answer within 0\.2 s"):
            database.ask({"host": hosts, "port": ports, "dbname": "x"}, seconds=0.2)


def test_nor_is_a_name_server_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: told.wait())
    with pytest.raises(UnusableDatabaseError, match=r"no answer within 0\.2 s"):
        database.ask({"host": "db.example", "dbname": "x"}, seconds=0.2)
    told.set()


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_that_works_on_the_database_asks_for_it(line: str) -> None:
    argv = ["manage.py", *line.split()]
    assert start.needs_database(argv)
    assert (argv[1] in start.WITHOUT_TABLES) == (argv[1] in ("runserver", "test"))


@pytest.mark.parametrize("line", ["rate_text a.txt", "evaluate --help", "makemessages", "doctor", "check", ""])
def test_one_that_does_without_is_not_kept_from_it(line: str) -> None:
    assert not start.needs_database(["manage.py", *line.split()])


@pytest.mark.parametrize("line", ["check --database default", "check --database=default", "check --data default"])
def test_a_check_of_the_database_asks_for_it(line: str) -> None:
    assert start.needs_database(["manage.py", *line.split()])


def test_every_command_asks_but_for_those_that_touch_no_database() -> None:
    doing_without = {each for each in get_commands() if not start.needs_database(["manage.py", each])}
    assert doing_without == {*TOUCHING_NONE, "doctor", "rate_text", "compilemessages", "makemessages"}
    for name, arguments in TOUCHING_NONE.items():  # which is refused to a test that is not marked to use it
        management.call_command(name, *arguments, stdout=io.StringIO())


@pytest.mark.django_db
def test_a_database_without_the_tables_of_this_code_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_is_embedded", lambda: False)
    for app in ("queueing", "evaluations"):
        MigrationRecorder(connection).migration_qs.filter(app=app).delete()
        with pytest.raises(UnusableDatabaseError, match=r"lacks tables or columns\.\n.*manage\.py migrate"):
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
    with pytest.raises(UnusableDatabaseError, match="permission denied") as told:
        start.ensure_tables()
    assert "rights" in told.value.fix


@pytest.mark.django_db
def test_an_embedded_database_that_others_use_is_not_changed_under_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_is_embedded", lambda: True)
    MigrationRecorder(connection).migration_qs.filter(app="queueing").delete()
    with (
        psycopg.connect(**connection.get_connection_params()),
        pytest.raises(UnusableDatabaseError, match="in use"),
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
    [("DATABASE_URL", "postgresql://127.0.0.1:9/x"), ("DATABASE_URL", "sqlite:///x.db"), ("LEASE_SECONDS", "5m")],
)
def test_nothing_is_started_for_a_wrong_setting(variable: str, value: str, tmp_path: Path) -> None:
    command = [sys.executable, "manage.py", "evaluate", "clip.wav"]
    env = environment(**{"DATA_DIR": str(tmp_path / "var"), variable: value})
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("introeval: ")
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "var" / "services").exists()
