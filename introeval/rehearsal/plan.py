"""What is rehearsed: the class, the lab, the faults, and how much faster than in a lab time passes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from introeval.rehearsal import bounds
from introeval.rehearsal.bounds import StageTimes
from queueing.policy.phases import Limits
from queueing.policy.retries import RetryLimits
from queueing.worker.options import FORECAST_SECONDS, Options

# How a lab is set up, in its seconds; the defaults of introeval/settings.py.
BATCH_SIZE, BATCH_MAX_WAIT, MAX_DWELL, IDLE_UNLOAD = 10, 3.0, 600.0, 60.0
POLL, STOP_GRACE, BACKOFF, MAX_ATTEMPTS, MAX_CRASHES = 0.9, 10.0, 10.0, 3, 2

# Lower limits of what is scaled: a process must be scheduled within a lease, and an idle worker must not keep the
# processor busy with polling.
MIN_LEASE_SECONDS, MIN_POLL_SECONDS = 2.0, 0.05
HEARTBEATS_PER_LEASE = 6  # a lease is this many heartbeats, as in the lab

KINDS = {
    "kill": "SIGKILL to a worker",
    "stop": "SIGSTOP to a worker at work, until another one has taken its tasks over",
    "pg": "an immediate stop of PostgreSQL, as in a crash",
    "redis": "a restart of Valkey",
    "llm": "the language models do not answer for a while",
    "disk": "the disk is full for a while",
    "twice": "an effect is written twice: to see that the oracle finds it",
}


@dataclass(frozen=True, slots=True)
class RehearsalPlan:
    """All times in the lab's seconds, except `pace`."""

    folder: Path  # the rehearsal's own DATA_DIR
    students: int
    work: StageTimes
    nodes: int = 1
    scale: float = 0.02
    arrive: float = 0.0
    lease: float = 30.0
    seed: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    spread: float = 0.0  # by which share of them the work's times vary, either way
    pace: float | None = None  # real seconds between two faults, on average
    why: str = ""  # how the language models share the memory, and why; for people

    @property
    def lower_bound(self) -> float:
        return self.bound_of(self.students)

    def bound_of(self, handed_in: int) -> float:
        """The shortest makespan of so many hand-ins."""
        return bounds.lower_bound(handed_in, self.work, batch_size=BATCH_SIZE, nodes=self.nodes)

    @property
    def lease_seconds(self) -> float:
        """Real ones."""
        return max(self.lease * self.scale, MIN_LEASE_SECONDS)

    @property
    def gap_seconds(self) -> float:
        """Between two faults, on average: spread over the time that the class takes at least."""
        if self.pace is not None:
            return self.pace
        return self.lower_bound * self.scale / (self.faults.total() + 1)

    def options(self) -> Options:
        """The worker's, in real seconds."""
        return Options(
            limits=Limits(
                batch_size=BATCH_SIZE,
                batch_max_wait_seconds=BATCH_MAX_WAIT * self.scale,
                max_dwell_seconds=MAX_DWELL * self.scale,
                idle_unload_seconds=IDLE_UNLOAD * self.scale,
            ),
            retries=RetryLimits(MAX_ATTEMPTS, MAX_CRASHES, BACKOFF * self.scale),
            lease_seconds=self.lease_seconds,
            heartbeat_seconds=self.lease_seconds / HEARTBEATS_PER_LEASE,
            poll_seconds=max(POLL * self.scale, MIN_POLL_SECONDS),
            stop_grace_seconds=STOP_GRACE * self.scale,
            lock_dir=self.folder / "locks",
            together=not self.work.in_turns,
            forecast_seconds=max(FORECAST_SECONDS * self.scale, MIN_POLL_SECONDS),
        )


def read_faults(text: str) -> Counter[str]:
    """`kill:20,stop:5` → how many of each kind.

    Raises:
        ValueError: it can't be read, or there is no such kind.
    """
    found: Counter[str] = Counter()
    for part in filter(None, (part.strip() for part in text.split(","))):
        kind, _, number = part.partition(":")
        if kind not in KINDS:
            raise ValueError(f"there is no fault {kind!r}; there are {', '.join(KINDS)}")
        found[kind] += int(number or 1)
    return found
