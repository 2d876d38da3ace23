"""PostgreSQL and Valkey from wheels, so that one command is enough on a bare machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def database_url(data_dir: Path) -> str:
    """Where the embedded PostgreSQL of `data_dir` listens, running or not (a Unix socket)."""
    raise NotImplementedError


def redis_url(data_dir: Path) -> str:
    """Where the embedded Valkey of `data_dir` listens, running or not (a Unix socket)."""
    raise NotImplementedError


def write_once(path: Path, text: str) -> None:
    """Write `text` (mode 0600) unless the file exists; atomic, so that two first starts agree on one content."""
    raise NotImplementedError


@contextmanager
def services_for(argv: Sequence[str]) -> Iterator[None]:
    """What `manage.py` wraps around a command: the embedded services, when the command needs any and none are given."""
    raise NotImplementedError
    yield


@contextmanager
def services(data_dir: Path) -> Iterator[None]:
    """Both servers up, shared by every process that is inside this context for the same `data_dir`."""
    raise NotImplementedError
    yield
