"""What crashes leave, and that the next start fixes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from introeval.embedded import launcher
from introeval.embedded.layout import ServiceLayout
from tests.introeval.conftest import Hold, ask, connect, is_down, postmaster, started_at

pytestmark = pytest.mark.slow


def test_the_servers_of_a_killed_process_are_used_and_stopped_by_the_next(data_dir: Path, hold: Hold) -> None:
    killed = hold(data_dir).entered()
    began = started_at(data_dir)
    killed.kill()

    successor = hold(data_dir).entered()

    assert started_at(data_dir) == began
    successor.leave()
    assert is_down(data_dir)


def test_a_killed_database_is_repaired_with_all_that_was_committed(data_dir: Path, hold: Hold) -> None:
    first = hold(data_dir).entered()
    with connect(data_dir) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    os.kill(postmaster(data_dir), signal.SIGKILL)
    first.kill()

    hold(data_dir).entered()

    assert ask(data_dir, "SELECT answer FROM kept") == "42"


def test_a_database_that_died_under_its_users_is_started_by_whoever_comes(data_dir: Path, hold: Hold) -> None:
    first = hold(data_dir).entered()
    began = started_at(data_dir)
    os.kill(postmaster(data_dir), signal.SIGKILL)

    second = hold(data_dir).entered()

    assert started_at(data_dir) != began
    first.leave()
    assert ask(data_dir, "SELECT 1") == "1"
    second.leave()
    assert is_down(data_dir)


def test_a_stale_pid_file_that_names_a_living_process_does_not_prevent_a_start(data_dir: Path, hold: Hold) -> None:
    """After a restart of a container the old pid is soon somebody else's; PostgreSQL itself would refuse to start."""
    place = ServiceLayout(data_dir)
    who = ["--uid", str(place.account.uid), "--gid", str(place.account.gid)]
    bystander = subprocess.Popen([sys.executable, "-I", "-S", launcher.__file__, *who, "--", "/bin/sleep", "600"])
    try:
        (data_dir / "postgres" / "postmaster.pid").write_text(f"{bystander.pid}\n{data_dir}/postgres\n1\n5432\n\n\n\n")
        (data_dir / "services" / "postgres.lock").write_text(f"{bystander.pid}\n")

        hold(data_dir).entered().leave()

        assert is_down(data_dir)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_stale_sockets_are_replaced(data_dir: Path, hold: Hold) -> None:
    first = hold(data_dir).entered()
    os.kill(postmaster(data_dir), signal.SIGKILL)
    first.kill()
    sockets = ServiceLayout(data_dir).sockets
    (sockets / "valkey.sock").unlink()
    (sockets / "valkey.sock").write_text("in the way")

    hold(data_dir).entered()

    assert ask(data_dir, "SELECT 1") == "1"


def test_a_first_start_killed_half_way_is_begun_again(tmp_path: Path, hold: Hold) -> None:
    data_dir = tmp_path / "new"
    interrupted = hold(data_dir)
    while not (data_dir / "postgres.new" / "PG_VERSION").exists():
        assert interrupted.process.poll() is None
        time.sleep(0.005)
    interrupted.kill()
    assert not (data_dir / "postgres").exists()

    hold(data_dir).entered()

    assert ask(data_dir, "SELECT current_database()") == "introeval"
    assert not (data_dir / "postgres.new").exists()
