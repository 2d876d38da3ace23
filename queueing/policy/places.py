"""Pure: the place of each task on its way to a result, and who was put ahead of it.

A place counts the results that come before one's own, in whatever stage they are, so it does not begin anew with each
stage: it is the order of service (`TaskQuerySet.in_turn`) without the stages. Stages that end, claims and results leave
it as it is or lower it. It rises only when somebody is put ahead, and whoever is, can be told from the line as it is:

- `again`: work on it had to begin again, or a person asked for it again; so it came back to a place that it had left;
- `newcomers`: handed in later by somebody who has fewer in the line, and is served first for that;
- `grouped`: it would come later by its turn, but the batch that it is in is worked on first;
- `favoured`: a person put it first, and said why; and who was put last is told why that was.

(With several nodes, a task that returns from one node's batch to another's earlier one is named by none of them.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Final
from uuid import UUID

NO_BATCH: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class LineEntry:
    """A task that has not ended."""

    task: int
    pipeline: str
    stage: str
    turn: int
    batch: int | None = None
    runs: bool = False
    worker: UUID | None = None  # that runs it, while it is on record
    finishes: bool = False  # it runs, in its pipeline's last stage
    again: bool = False  # it began again at least once, or a person asked for it again
    own_turn: int | None = None  # its turn, had no person put it first or last
    reason: str = ""  # why a person did

    @property
    def key(self) -> tuple[int, int, int]:
        return (NO_BATCH if self.batch is None else self.batch, self.turn, self.task)

    @property
    def priority(self) -> int:
        """1: a person put it first; -1: last; 0: its turn is its own."""
        return 0 if self.own_turn is None else (self.turn < self.own_turn) - (self.turn > self.own_turn)

    def is_favoured_over(self, other: LineEntry) -> bool:
        """Whether it comes before the other one only because a person put it first."""
        return self.own_turn is not None and self.priority > 0 and (self.own_turn, self.task) > (other.turn, other.task)


@dataclass(frozen=True, slots=True)
class PutAhead:
    """How many come first that did not always do so, each counted once."""

    again: int = 0
    newcomers: int = 0
    grouped: int = 0
    favoured: int = 0
    reasons: tuple[str, ...] = ()  # of those, each once
    put_last: str = ""  # why it was itself put behind the others

    def __bool__(self) -> bool:
        return bool(self.again or self.newcomers or self.grouped or self.favoured or self.put_last)


class Line:
    """All that has not ended; each pipeline has places of its own."""

    def __init__(self, entries: Iterable[LineEntry]) -> None:
        self.entries = tuple(sorted(entries, key=lambda entry: entry.key))

    @cached_property
    def positions(self) -> dict[int, int]:
        """By task: 0 = its last stage is being worked on, n = it is the n-th of the others to get its result."""
        found: dict[int, int] = {}
        counted: dict[str, int] = {}
        for entry in self.entries:
            counted[entry.pipeline] = counted.get(entry.pipeline, 0) + (not entry.finishes)
            found[entry.task] = 0 if entry.finishes else counted[entry.pipeline]
        return found

    def of(self, pipeline: str) -> Line:
        return Line(entry for entry in self.entries if entry.pipeline == pipeline)

    def length(self) -> int:
        """How many have a place other than 0."""
        return sum(not entry.finishes for entry in self.entries)

    def running(self) -> int:
        return sum(entry.runs for entry in self.entries)

    def waiting(self) -> int:
        return len(self.entries) - self.running()

    def put_ahead(self, task: int) -> PutAhead:
        """Who was put ahead of `task`; nobody, if it isn't in the line."""
        one = next((entry for entry in self.entries if entry.task == task), None)
        if one is None:
            return PutAhead()
        again = newcomers = grouped = 0
        favoured: list[str] = []
        for other in takewhile(lambda entry: entry.key < one.key, self.entries):
            if other.pipeline != one.pipeline or other.finishes:
                continue
            if other.again:
                again += 1
            elif other.is_favoured_over(one):
                favoured.append(other.reason)
            elif (other.turn, other.task) > (one.turn, one.task):
                grouped += 1
            elif other.task > one.task and one.priority >= 0:
                newcomers += 1
        put_last = one.reason if one.priority < 0 else ""
        return PutAhead(again, newcomers, grouped, len(favoured), tuple(dict.fromkeys(favoured)), put_last)
