"""What takes part in the contest: a queue in PostgreSQL and its worker, told to do nothing as fast as it can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Command:
    """How to start a worker, in the repository's root; `environment` is added to this process's."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Drained:
    """By the contender's own records, made with the database's clock or this machine's, which are the same."""

    tasks: int  # that succeeded
    seconds: float  # from the first claim to the last finish


class Contender(Protocol):
    """A queue in its own tables of the one database, with the same no-op task as the others."""

    family: str
    """Its name without its setting: the best setting of each family is compared."""
    name: str
    tables: tuple[str, ...]
    """Those that grow with its tasks."""

    def prepare(self) -> None:
        """Make its tables, and whatever its tasks refer to."""

    def clear(self) -> None:
        """Forget every task."""

    def enqueue(self, count: int) -> None:
        """Add tasks that are due at once, committed when it returns."""

    def enqueue_one(self) -> float:
        """Add one task; returns when it was committed, in seconds since the epoch."""

    def multiply_finished(self, times: int) -> None:
        """Copy its one task, which has finished, with all that is kept of it."""

    def worker(self, *, until_drained: bool) -> Command:
        """Its worker in its best documented setting; with `until_drained` it leaves when no task is left."""

    def drained(self, since: datetime) -> Drained:
        """What its worker did after `since`."""
