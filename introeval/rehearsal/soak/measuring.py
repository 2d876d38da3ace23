"""What a lab takes at one moment: memory, handles, connections, threads, disk."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import redis
from django.conf import settings
from django.db import connection

from introeval.logs import FILE_BYTES, FILES_KEPT
from introeval.rehearsal.soak.judgement import Bar

MB: Final = 1024**2
CHILD: Final = "queueing.engines.child"
# What a model's process has mapped tells which one it is.
LIBRARIES: Final = {"language model": "llama", "speech model": ""}
CACHED: Final = "/postgres/base/"
POSTGRES_LOG_BYTES: Final = 8 * MB  # introeval.embedded keeps two of four

MEMORY: Final = Bar("MB", per_hour=8, rise=4)
MODEL: Final = Bar("MB", per_hour=8, rise=24)  # begun anew in each phase: its size varies with what it heard
COUNT: Final = Bar("", per_hour=2, rise=2)
DISK: Final = Bar("MB", per_hour=8, rise=4)
PAGE, PICK_UP = "page", "pick-up"

BARS: Final[Mapping[str, Bar]] = {
    **dict.fromkeys(("memory of the site", "memory of the worker", "memory of PostgreSQL", "memory of Valkey"), MEMORY),
    **{f"memory of the {name}": MODEL for name in LIBRARIES},
    **dict.fromkeys(
        ("handles of the site", "handles of the worker", "handles of PostgreSQL", "handles of Valkey"), COUNT
    ),
    **dict.fromkeys(("threads of the site", "threads of the worker"), COUNT),
    **dict.fromkeys(("processes", "starts", "connections to PostgreSQL", "connections to Valkey"), COUNT),
    "files": DISK,
    "number of files": Bar("", per_hour=40, rise=20),
    "database": DISK,
    "write-ahead log": Bar("MB", per_hour=8, rise=4, free=256 + 2 * 16),  # max_wal_size, and what is being written
    "logs": Bar("MB", per_hour=8, rise=4, free=(FILE_BYTES * (1 + FILES_KEPT) + POSTGRES_LOG_BYTES) / MB),
    PAGE: Bar("ms", per_hour=60, rise=20),
    PICK_UP: Bar("s", per_hour=1, rise=0.5),
}


@dataclass(frozen=True, slots=True)
class OfProcess:
    memory: float  # MB of its own, without what is mapped from files
    handles: int
    threads: int


class Lab:
    """The lab of this process's settings.

    Args:
        log_dir: where its processes write their logs.
    """

    def __init__(self, log_dir: Path) -> None:
        self.log_dir = log_dir
        self.broker = redis.Redis.from_url(settings.REDIS_URL)
        self._started: set[int] = set()

    def measure(self, site: int | None, worker: int | None) -> dict[str, float]:
        """By the names of BARS. What can't be read now is left out.

        Args:
            site, worker: ids of their processes.
        """
        parents = _parents()
        self._started |= {pid for pid in (site, worker) if pid}
        found = {"starts": float(len(self._started)), "processes": float(len(_descendants(os.getpid(), parents)))}
        for name, pid in (("the site", site), ("the worker", worker)):
            found |= _named(name, [pid] if pid else [])
        for pid in _descendants(worker or 0, parents):
            if CHILD in _read(pid, "cmdline"):
                found |= {f"memory of the {_kind(pid)}": of.memory for of in _of_each([pid])}
        return found | self._postgres(parents) | self._valkey() | self._disk()

    def _postgres(self, parents: Mapping[int, int]) -> dict[str, float]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_backend_pid(), pg_database_size(current_database()),"
                " (SELECT sum(size) FROM pg_ls_waldir()), count(*) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend'"
            )
            pid, size, log, clients = cursor.fetchone()
        main = parents.get(pid, 0)
        return {
            **_named("PostgreSQL", [main, *_descendants(main, parents)] if main else []),
            "connections to PostgreSQL": clients,
            "database": size / MB,
            "write-ahead log": float(log) / MB,
        }

    def _valkey(self) -> dict[str, float]:
        said: Any = self.broker.info()
        of = _named("Valkey", [said["process_id"]])
        of.pop("memory of Valkey", None)  # what it says itself is without its allocator's reserve
        return {**of, "memory of Valkey": said["used_memory"] / MB, "connections to Valkey": said["connected_clients"]}

    def _disk(self) -> dict[str, float]:
        logs = [self.log_dir, *(settings.DATA_DIR / "services").glob("*.log*")]
        apart = {settings.DATA_DIR / "postgres", *logs}
        files = [*_sizes(settings.DATA_DIR, apart)]
        written = [size for log in logs for size in (_sizes(log, set()) if log.is_dir() else [_size(log)])]
        return {"files": sum(files) / MB, "number of files": len(files), "logs": sum(written) / MB}


def _named(name: str, pids: list[int]) -> dict[str, float]:
    found = [*_of_each(pids)]
    if not found:
        return {}
    figures = {
        f"memory of {name}": sum(one.memory for one in found),
        f"handles of {name}": sum(one.handles for one in found),
        f"threads of {name}": sum(one.threads for one in found),
    }
    return {key: value for key, value in figures.items() if key in BARS}


def _of_each(pids: list[int]) -> Iterator[OfProcess]:
    """Of those that there are still, and that may be looked at."""
    for pid in pids:
        with suppress(OSError, KeyError, ValueError):
            status = dict(line.split(":", 1) for line in _read(pid, "status").splitlines())
            memory = int(status["RssAnon"].split()[0]) / 1024
            yield OfProcess(memory, _handles(pid), int(status["Threads"]))


def _handles(pid: int) -> int:
    """Without those of PostgreSQL's tables: a session keeps each file open that it has ever read, once, as a cache."""
    return sum(CACHED not in _target(handle) for handle in Path(f"/proc/{pid}/fd").iterdir())


def _target(handle: Path) -> str:
    with suppress(OSError):  # closed meanwhile
        return str(handle.readlink())
    return ""


def _parents() -> dict[int, int]:
    """The parent of every process."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        if stat := _read(int(entry.name), "stat"):
            found[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    return found


def _descendants(pid: int, parents: Mapping[int, int]) -> list[int]:
    """All that descend from a process."""
    children = defaultdict(list)
    for child, parent in parents.items():
        children[parent].append(child)
    found, left = [], [pid]
    while left:
        left += (new := children[left.pop()])
        found += new
    return found


def _kind(pid: int) -> str:
    mapped = _read(pid, "maps")
    return next(name for name, library in LIBRARIES.items() if library in mapped)


def _read(pid: int, name: str) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    return ""


def _sizes(folder: Path, apart: set[Path]) -> Iterator[int]:
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if Path(where, name) not in apart]
        yield from (_size(path) for name in files if (path := Path(where, name)) not in apart)


def _size(path: Path) -> int:
    """On the disk."""
    with suppress(OSError):
        return path.lstat().st_blocks * 512
    return 0
