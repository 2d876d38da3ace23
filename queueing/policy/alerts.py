"""Pure: what an operator must be told of. Facts in, the alerts that should be active out; each names its cure.

Each rule looks at one kind. What it no longer returns has ended: the caller resolves it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from queueing.policy.growth import MIB, ProcessMemory

MIN_ATTEMPTS: Final = 5  # of the last ones; fewer say nothing of a rate


class Severity(StrEnum):
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Threshold:
    """From where on it is a warning, and from where on critical. `critical` below `warning`: low values are bad."""

    warning: float
    critical: float

    def severity(self, value: float) -> Severity | None:
        sign = -1 if self.critical < self.warning else 1
        if sign * value >= sign * self.critical:
            return Severity.CRITICAL
        return Severity.WARNING if sign * value >= sign * self.warning else None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Each comes from the setting of the same name, with ALERT_ before it."""

    queue_size: Threshold = Threshold(20, 50)  # tasks that wait in one stage
    wait_seconds: Threshold = Threshold(900, 1800)  # of the task that has waited longest in its stage
    late_seconds: Threshold = Threshold(60, 120)  # that a task has been in work beyond the longest of the last ones
    error_percent: Threshold = Threshold(10, 25)  # of the last twenty attempts
    gpu_memory_percent: Threshold = Threshold(80, 95)
    gpu_celsius: Threshold = Threshold(80, 90)
    disk_free_percent: Threshold = Threshold(10, 3)
    clock_seconds: Threshold = Threshold(5, 60)  # between a node's clock and the database's
    down_seconds: Threshold = Threshold(0, 300)  # that a model server has been left alone
    growth_mb: Threshold = Threshold(8, 64)  # that a process of ours gains with each task
    backup_days: Threshold = Threshold(7, 30)  # since the last backup
    certificate_days: Threshold = Threshold(30, 7)  # until the lab's own certificate ends


@dataclass(frozen=True, slots=True)
class FiringAlert:
    """What should be known now. Of one kind and subject there is one at a time."""

    kind: str
    severity: Severity
    text: str  # for operators, in English
    cure: str
    subject: str = ""  # the stage, server or node it is about; empty: the lab as a whole
    value: float | None = None  # in the unit of the kind's threshold


@dataclass(frozen=True, slots=True)
class StageFacts:
    waiting: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class RunningFacts:
    task: int
    stage: str
    seconds: float  # since it was claimed
    longest_seconds: float | None  # that one of the last ones computed; None: there are none


@dataclass(frozen=True, slots=True)
class LabFacts:
    """What the database knows; the same whoever reads it."""

    stages: Mapping[str, StageFacts] = field(default_factory=dict)
    running: Sequence[RunningFacts] = ()
    attempts: int = 0  # of the last twenty within an hour that succeeded or failed
    failed_attempts: int = 0
    workers_alive: int = 1
    blocked: Mapping[str, str] = field(default_factory=dict)  # node → why
    shut: Mapping[str, tuple[str, float, bool]] = field(default_factory=dict)  # server → error, seconds, given up


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What only a process on the node can see. None: unknown, or there is none."""

    node: str
    gpu_used: float | None = None  # share of its memory
    gpu_celsius: float | None = None
    disk_free: float | None = None  # share of the disk that DATA_DIR is on
    disk: str = ""
    clock_ahead_seconds: float | None = None  # of the database's
    models: tuple[str, ...] = ()  # that its worker keeps in memory
    silent: Mapping[str, str] | None = None  # model server → why it does not answer; None: not asked
    unheard: frozenset[str] = frozenset()  # model servers of which it is not known yet
    memory: tuple[ProcessMemory, ...] = ()  # of its worker and of the models' processes


LAB_KINDS: Final = frozenset(
    {"queue_size", "long_wait", "task_late", "error_rate", "no_worker", "node_blocked", "server_away"}
)
NODE_KINDS: Final = frozenset({"gpu_memory", "gpu_temperature", "disk_space", "clock_skew", "memory_growth"})
BACKUP_OLD: Final = "backup_old"
CERTIFICATE_ENDS: Final = "certificate_ends"
NOT_STARTED_SECONDS: Final = 600.0  # how long a stage may take of which nothing is known yet


def of_lab(facts: LabFacts, limits: Thresholds) -> list[FiringAlert]:
    """The active alerts of LAB_KINDS."""
    return [*_lines(facts, limits), *_late(facts, limits), *_errors(facts, limits), *_stopped(facts, limits)]


def of_node(facts: NodeFacts, limits: Thresholds) -> list[FiringAlert]:
    """The active alerts of NODE_KINDS."""
    found = []
    if facts.gpu_used is not None and (grade := limits.gpu_memory_percent.severity(100 * facts.gpu_used)):
        text = f"{facts.gpu_used:.0%} of the GPU's memory on {facts.node} is in use"
        cure = "end other programs on the GPU (nvidia-smi), or take smaller models"
        found.append(FiringAlert("gpu_memory", grade, text, cure, facts.node, round(100 * facts.gpu_used, 1)))
    if facts.gpu_celsius is not None and (grade := limits.gpu_celsius.severity(facts.gpu_celsius)):
        text = f"the GPU on {facts.node} is at {facts.gpu_celsius:.0f} °C"
        cure = "clear its fans and the air around it; `manage.py queue_drain` lets it cool"
        found.append(FiringAlert("gpu_temperature", grade, text, cure, facts.node, facts.gpu_celsius))
    if facts.disk_free is not None and (grade := limits.disk_free_percent.severity(100 * facts.disk_free)):
        text = f"{facts.disk_free:.0%} of the disk of {facts.disk} on {facts.node} is free"
        cure = f"free some space (du -xsh {facts.disk}/*), or move DATA_DIR to a larger disk"
        found.append(FiringAlert("disk_space", grade, text, cure, facts.node, round(100 * facts.disk_free, 1)))
    if facts.clock_ahead_seconds is not None:
        apart = abs(facts.clock_ahead_seconds)
        if grade := limits.clock_seconds.severity(apart):
            way = "ahead of" if facts.clock_ahead_seconds > 0 else "behind"
            text = f"the clock of {facts.node} is {apart:.0f} s {way} the database's"
            cure = "let both take their time from the network (timedatectl set-ntp true)"
            found.append(FiringAlert("clock_skew", grade, text, cure, facts.node, round(apart, 1)))
    return [*found, *_growth(facts, limits)]


def _growth(facts: NodeFacts, limits: Thresholds) -> Iterator[FiringAlert]:
    """Of the process that grows most."""
    worst = max(facts.memory, key=lambda one: one.per_task or 0.0, default=None)
    if worst and worst.per_task and (grade := limits.growth_mb.severity(worst.per_task / MIB)):
        gain, size = worst.per_task / MIB, worst.bytes / MIB
        text = f"memory grows with each task: {worst.name} on {facts.node} by {gain:.0f} MB, to {size:.0f} MB now"
        cure = "it is begun anew by itself when it is too large; if this comes back, update what runs that model"
        yield FiringAlert("memory_growth", grade, text, cure, facts.node, round(gain, 1))


def of_backup(days: float, limits: Thresholds, *, ever: bool) -> list[FiringAlert]:
    """The active alert of BACKUP_OLD, if it is. Not `ever` one was made: `days` since the first video was handed in.

    That is no more than a warning: the school may back the machine up by means that nobody here knows of.
    """
    grade = limits.backup_days.severity(days)
    if grade is None:
        return []
    text = f"the last backup is {days:.0f} days old" if ever else f"no backup was made in the first {days:.0f} days"
    cure = "`manage.py backup DIR`, best every night (docs/operator.md); ALERT_BACKUP_DAYS, if it is done otherwise"
    return [FiringAlert(BACKUP_OLD, grade if ever else Severity.WARNING, text, cure, value=round(days, 1))]


def of_certificate(days: float, limits: Thresholds, *, folder: str) -> list[FiringAlert]:
    """The active alert of CERTIFICATE_ENDS, if it is: so many `days` are left, of a certificate in `folder`."""
    grade = limits.certificate_days.severity(days)
    if grade is None:
        return []
    text = f"the lab's certificate ends in {days:.0f} days" if days > 0 else "the lab's certificate has ended"
    cure = f"`up --lab` renews it: is {folder} its user's, and not full? A new authority is needed every ten years only"
    return [FiringAlert(CERTIFICATE_ENDS, grade, text, cure, value=round(days, 1))]


def _lines(facts: LabFacts, limits: Thresholds) -> Iterator[FiringAlert]:
    for stage, line in facts.stages.items():
        if grade := limits.queue_size.severity(line.waiting):
            text = f"{line.waiting} tasks wait for {stage}"
            cure = "`manage.py queue_status` shows what is worked on; more nodes or LLM_SLOTS shorten the line"
            yield FiringAlert("queue_size", grade, text, cure, stage, line.waiting)
        if line.waiting and (grade := limits.wait_seconds.severity(line.oldest_seconds)):
            text = f"a task has waited for {stage} for {line.oldest_seconds / 60:.0f} min"
            cure = "`manage.py queue_status` names what holds it up: a pause, a server, a phase"
            yield FiringAlert("long_wait", grade, text, cure, stage, round(line.oldest_seconds))


def _late(facts: LabFacts, limits: Thresholds) -> Iterator[FiringAlert]:
    for one in facts.running:
        beyond = one.seconds - (NOT_STARTED_SECONDS if one.longest_seconds is None else one.longest_seconds)
        if grade := limits.late_seconds.severity(beyond):
            text = f"task {one.task} has been in {one.stage} for {one.seconds / 60:.0f} min, longer than the last ones"
            cure = f"what hangs is ended by itself; else requeue task {one.task} in the admin"
            yield FiringAlert("task_late", grade, text, cure, f"task {one.task}", round(beyond))


def _errors(facts: LabFacts, limits: Thresholds) -> Iterator[FiringAlert]:
    if facts.attempts < MIN_ATTEMPTS or not facts.failed_attempts:
        return
    percent = 100 * facts.failed_attempts / facts.attempts
    if grade := limits.error_percent.severity(percent):
        text = f"{facts.failed_attempts} of the last {facts.attempts} attempts failed"
        cure = "`manage.py queue_status` counts the failures by their code; docs/errors.md says what each means"
        yield FiringAlert("error_rate", grade, text, cure, value=round(percent, 1))


def _stopped(facts: LabFacts, limits: Thresholds) -> Iterator[FiringAlert]:
    if not facts.workers_alive:
        waits = any(line.waiting for line in facts.stages.values()) or bool(facts.running)
        grade = Severity.CRITICAL if waits else Severity.WARNING
        cure = "start it (manage.py run_phase_worker, or manage.py up); `manage.py doctor` says what keeps it from that"
        yield FiringAlert("no_worker", grade, "no worker is alive: nothing is worked on", cure)
    for node, why in facts.blocked.items():
        text = f"the GPU of {node} is blocked: {why}"
        yield FiringAlert("node_blocked", Severity.CRITICAL, text, "do what it says; `manage.py doctor`", node)
    for server, (error, seconds, given_up) in facts.shut.items():
        if graded := Severity.CRITICAL if given_up else limits.down_seconds.severity(seconds):
            cure = "start that server; tasks wait, and go on by themselves when it answers"
            yield FiringAlert("server_away", graded, f"{server} does not answer: {error}", cure, server, round(seconds))
