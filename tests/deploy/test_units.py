"""The systemd units without systemd, which no test can start: what they say is run, in a sandbox as they ask for it.

In a mount namespace the checkout is under /opt/introeval, the system is read-only, and the state directory and /tmp are
the unit's own; the process has its environment, mask and limits, and no right of root's but one. Port and servers are a
test's. What only systemd does (filters of system calls, namespaces and devices, the account `introeval`) is left out.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
from django.conf import settings
from django.db import connection

from queueing.models import Worker
from tests import leftovers
from tests.crowd import free_port
from tests.deploy.test_deploy import DEPLOY, directive, example
from tests.processes.conftest import QUICK_LEASE, ROOT, SIMULATED, database_url, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

WEB, WORKER = (DEPLOY / "systemd" / f"introeval-{name}.service" for name in ("web", "worker"))
KEPT: Final = "/mnt/sockets"
# $1: the checkout, $2: state, $3: where the test's servers have their sockets; the rest is run.
SANDBOX: Final = f"""
set -e
mount --make-rprivate /
for each in /opt /var/lib /mnt; do mount -t tmpfs tmpfs $each; done
mkdir -p /opt/introeval /var/lib/introeval {KEPT}
mount --bind "$1" /opt/introeval
mount --bind "$2" /var/lib/introeval
mount --bind "$3" {KEPT}
mount -t tmpfs tmpfs /tmp
mkdir -p "$3"
mount --bind {KEPT} "$3"
mount -o remount,bind,ro /opt/introeval
mount -o remount,bind,ro /
shift 3
cd /opt/introeval
exec "$@"
"""
# The one capability is to enter the folder of the test's servers.
UNPRIVILEGED: Final = ("setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all,+dac_override")


def sandboxed(state: Path, *command: str) -> list[str]:
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    sockets = connection.settings_dict["HOST"]
    return ["unshare", "--mount", *rights, "sh", "-c", SANDBOX, "sh", str(ROOT), str(state), sockets, *command]


def all_of(unit: Path, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)


def as_the_unit_says(unit: Path, command: str, state: Path) -> tuple[list[str], dict[str, str]]:
    """A command line of the unit, and its whole environment."""
    of_file = {
        **example(),
        "DATABASE_URL": database_url(),
        "REDIS_URL": settings.REDIS_URL,
        "ALLOWED_HOSTS": "localhost",
        **SIMULATED,
        **QUICK_LEASE,
    }
    own = dict(each.split("=", 1) for each in all_of(unit, "Environment"))
    env = {**{name: os.environ[name] for name in ("PATH", leftovers.MARK)}, **of_file, **own}
    limit = "".join(f"ulimit -n {each}; " for each in all_of(unit, "LimitNOFILE"))
    inner = f"umask {directive(unit, 'UMask')}; {limit}exec {shlex.join((*UNPRIVILEGED, *shlex.split(command)))}"
    return sandboxed(state, "sh", "-c", inner), env


def run(unit: Path, command: str, state: Path) -> None:
    """As ExecStartPre: it must succeed, unless it begins with a hyphen."""
    line, env = as_the_unit_says(unit, command.removeprefix("-"), state)
    done = subprocess.run(line, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@contextmanager
def started(unit: Path, command: str, state: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    line, env = as_the_unit_says(unit, command, state)
    with log.open("wb") as output:
        process = subprocess.Popen(line, env=env, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def stop(unit: Path, process: subprocess.Popen[bytes]) -> int:
    """As systemd stops it: the signal, and no longer than it may take."""
    process.send_signal(signal.Signals[directive(unit, "KillSignal")])
    return process.wait(int(directive(unit, "TimeoutStopSec")))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=int(directive(WEB, "StateDirectoryMode"), 8))
    assert example()["DATA_DIR"] == f"/var/lib/{directive(WEB, 'StateDirectory')}"
    return folder


def test_systemd_finds_nothing_wrong_with_the_units(state: Path) -> None:
    line = sandboxed(state, "systemd-analyze", "verify", str(WEB.relative_to(ROOT)), str(WORKER.relative_to(ROOT)))
    said = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout + said.stderr) == (0, "")


def test_the_site_starts_answers_and_stops_as_its_unit_says(state: Path, tmp_path: Path) -> None:
    for command in all_of(WEB, "ExecStartPre"):
        run(WEB, command, state)
    port, command = free_port(), directive(WEB, "ExecStart")
    assert " -p 8000 " in command
    with started(WEB, command.replace(" -p 8000 ", f" -p {port} "), state, tmp_path / "log") as site:
        wait_until(lambda: is_ready(port, site))
        page = httpx.get(f"http://localhost:{port}/help/")
        assert page.status_code == 200
        assert re.search(r"site\.[0-9a-f]{12}\.css", page.text), "collected by ExecStartPre"
        assert stop(WEB, site) == 0, (tmp_path / "log").read_text()
    assert {path.name for path in state.iterdir()} >= {"static", "secret_key"}
    assert (state / "secret_key").stat().st_mode & 0o077 == 0


def is_ready(port: int, site: subprocess.Popen[bytes]) -> bool:
    assert site.poll() is None
    try:
        return httpx.get(f"http://localhost:{port}/readyz").is_success
    except httpx.HTTPError:
        return False


def test_the_worker_starts_reports_and_stops_as_its_unit_says(state: Path, tmp_path: Path) -> None:
    with started(WORKER, directive(WORKER, "ExecStart"), state, tmp_path / "log") as worker:
        wait_until(lambda: worker.poll() is not None or Worker.objects.filter(stopped_at=None).exists())
        assert stop(WORKER, worker) == 0, (tmp_path / "log").read_text()
    assert not Worker.objects.filter(stopped_at=None).exists()


@pytest.mark.parametrize("place", ["/etc/introeval", "/opt/introeval/introeval"])
def test_the_sandbox_keeps_the_system_as_it_is(state: Path, place: str) -> None:
    line, env = as_the_unit_says(WEB, f"touch {place}", state)
    assert "Read-only" in subprocess.run(line, env=env, capture_output=True, text=True, check=False).stderr
