"""Processes that use the embedded services, and data directories for them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psycopg
import pytest

from introeval import database, embedded
from introeval.embedded import launcher
from introeval.embedded.layout import Account, ServiceLayout
from introeval.embedded.postgres import Postgres
from introeval.embedded.valkey import Valkey

ROOT = Path(__file__).resolve().parent.parent.parent

HOLDER = """
import sys
from pathlib import Path
from introeval import database, embedded
with embedded.services(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.readline()
"""


def environment(**changes: str) -> dict[str, str]:
    """Ours without what would replace or move the services, and with `changes`."""
    unwanted = {"DATABASE_URL", "REDIS_URL", "DATA_DIR"}
    return {name: value for name, value in os.environ.items() if name not in unwanted} | changes


def as_user(account: Account, command: Sequence[str]) -> list[str]:
    """The command line as an ordinary user who can read this checkout wherever it lies."""
    who = ["--uid", str(account.uid), "--gid", str(account.gid), "--search"]
    return [sys.executable, "-I", "-S", launcher.__file__, *who, "--", *command]


class ServicesHolder:
    """A process inside `embedded.services(data_dir)`, until it is told to leave."""

    def __init__(self, data_dir: Path, *, account: Account | None = None, **variables: str) -> None:
        command = [sys.executable, "-c", HOLDER, str(data_dir)]
        self.process = subprocess.Popen(
            command if account is None else as_user(account, command),
            env=environment(PYTHONPATH=str(ROOT), **variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def entered(self) -> ServicesHolder:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "in\n"
        return self

    def leave(self) -> None:
        assert self.process.communicate("\n", timeout=60)
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


Hold = Callable[..., ServicesHolder]


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Starts holders; what a test leaves behind is ended, servers included."""
    begun: list[tuple[Path, ServicesHolder]] = []

    def start(data_dir: Path, **options: object) -> ServicesHolder:
        begun.append((data_dir, ServicesHolder(data_dir, **options)))  # type: ignore[arg-type]
        return begun[-1][1]

    yield start
    for _, holder in begun:
        if holder.process.poll() is None:
            holder.kill()
    for place in {ServiceLayout(data_dir) for data_dir, _ in begun if (data_dir / "services").is_dir()}:
        Valkey(place).stop()
        Postgres(place).stop()


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory whose cluster exists; between the tests its servers are down."""
    data_dir = tmp_path_factory.mktemp("made") / "var"
    ServicesHolder(data_dir).entered().leave()
    return data_dir


@pytest.fixture
def own_data_dir(data_dir: Path, tmp_path: Path) -> Path:
    """A copy for a test that spoils it or needs a second one: copying a cluster is quicker than making one."""
    return copied(data_dir, tmp_path / "var")


def copied(data_dir: Path, to: Path) -> Path:
    subprocess.run(["/bin/cp", "-a", str(data_dir), str(to)], check=True)
    return to


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A directory that any user of the machine can get to, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="introeval-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def connect(data_dir: Path) -> psycopg.Connection:
    """To the embedded database, by way of its URL as the settings read it."""
    parts = database.configuration(embedded.database_url(data_dir))
    return psycopg.connect(host=parts["HOST"], user=parts["USER"], dbname=parts["NAME"], autocommit=True)


def ask(data_dir: Path, query: str) -> str:
    with connect(data_dir) as connection:
        row = connection.execute(query).fetchone()
        assert row is not None
        return str(row[0])


def started_at(data_dir: Path) -> str:
    """Tells one run of the server from another."""
    return ask(data_dir, "SELECT pg_postmaster_start_time()")


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])


def is_down(data_dir: Path) -> bool:
    """Nothing of either server is left: no process says its data directory or sockets in its command line."""
    sockets = ServiceLayout(data_dir).sockets
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            said = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if said and (f"{data_dir}/postgres" in said or str(sockets) in said):
            return False
    return True
