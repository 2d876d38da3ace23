"""Who starts the embedded servers, who shares them, who stops them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from introeval import embedded
from introeval.embedded.layout import ServiceLayout
from tests.introeval.conftest import ROOT, Hold, ask, copied, environment, is_down, started_at

pytestmark = pytest.mark.slow


def test_the_database_takes_queries_at_its_url(data_dir: Path, hold: Hold) -> None:
    hold(data_dir).entered()

    assert ask(data_dir, "SELECT current_database()") == "introeval"
    assert ask(data_dir, "SHOW server_encoding") == "UTF8"
    assert ask(data_dir, "SELECT upper('ä')") == "Ä"
    assert int(ask(data_dir, "SHOW server_version_num")) >= 180000


def test_the_database_is_durable_and_listens_on_no_network(data_dir: Path, hold: Hold) -> None:
    hold(data_dir).entered()

    assert ask(data_dir, "SHOW fsync") == "on"
    assert ask(data_dir, "SHOW listen_addresses") == ""


def test_the_broker_answers_at_its_url(data_dir: Path, hold: Hold) -> None:
    hold(data_dir).entered()

    with redis.Redis.from_url(embedded.redis_url(data_dir)) as client:
        assert client.ping()
        assert client.config_get("port") == {"port": "0"}


def test_a_second_process_shares_the_servers_and_the_last_one_out_stops_them(data_dir: Path, hold: Hold) -> None:
    first = hold(data_dir).entered()
    began = started_at(data_dir)
    second = hold(data_dir).entered()

    first.leave()
    assert started_at(data_dir) == began

    second.leave()
    assert is_down(data_dir)
    assert not ServiceLayout(data_dir).sockets.exists()


def test_processes_that_make_a_new_data_directory_together_agree_on_one_server(tmp_path: Path, hold: Hold) -> None:
    data_dir = tmp_path / "new"
    together = [hold(data_dir) for _ in range(3)]

    for holder in together:
        holder.entered()
    began = started_at(data_dir)
    for holder in together[1:]:
        holder.leave()

    assert started_at(data_dir) == began


def test_two_data_directories_live_side_by_side(data_dir: Path, own_data_dir: Path, hold: Hold) -> None:
    hold(data_dir).entered()
    other = hold(own_data_dir).entered()

    assert started_at(data_dir) != started_at(own_data_dir)
    other.leave()
    assert ask(data_dir, "SELECT 1") == "1"
    assert is_down(own_data_dir)


def test_a_terminated_command_stops_the_servers_it_started(data_dir: Path) -> None:
    code = "import time; print('in', flush=True); time.sleep(600)"
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(DATA_DIR=str(data_dir)), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 128 + signal.SIGTERM

    assert is_down(data_dir)


def test_a_forked_child_that_unwinds_does_not_stop_its_parents_servers(data_dir: Path) -> None:
    with embedded.services(data_dir):
        began = started_at(data_dir)
        _fork_and_unwind(data_dir)
        assert started_at(data_dir) == began
    assert is_down(data_dir)


def _fork_and_unwind(data_dir: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from introeval import embedded\n"
        "with embedded.services(Path(sys.argv[1])):\n"
        "    if os.fork() == 0:\n"
        "        sys.exit(0)\n"
        "    assert os.wait()[1] == 0\n"
    )
    env = environment(PYTHONPATH=str(ROOT))
    subprocess.run([sys.executable, "-c", code, str(data_dir)], env=env, check=True, timeout=60)


def test_a_data_directory_with_a_very_long_path_works(data_dir: Path, tmp_path: Path, hold: Hold) -> None:
    deep = tmp_path / ("long-" * 20) / ("path-" * 20)
    deep.mkdir(parents=True)
    deep = copied(data_dir, deep / "var")

    hold(deep).entered()

    assert ask(deep, "SELECT 1") == "1"


def test_a_link_to_a_data_directory_means_the_directory(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(data_dir)

    assert embedded.database_url(tmp_path / "link") == embedded.database_url(data_dir)
    assert embedded.redis_url(tmp_path / "link") == embedded.redis_url(data_dir)
