"""What schedules happen in: the product's tables, a pipeline whose stages do nothing but leave a trace, and the oracle.

`chaos_effect` is where a stage's result goes, in the transaction that finishes the attempt and without a constraint:
what the queue lets through twice is there twice. `chaos_audit` is written by a trigger at every change of a task.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from threading import Event
from typing import Any
from unittest.mock import patch

import structlog
from django.contrib.auth.models import User
from django.db import connection
from django.dispatch import Signal

from evaluations.coaching.questions.answering import answer_grew
from evaluations.models import Classroom, Rubric, Submission, Transcript
from evaluations.stages.names import Stage
from queueing import pipelines, signals
from queueing.exceptions import Infrastructure, Interrupted, OutOfMemory, Permanent, StageError, Transient
from queueing.models import Task, Worker
from queueing.pipelines import Pipeline, StageSpec
from queueing.policy.retries import RetryLimits
from queueing.states import PhaseName
from queueing.worker import jobs, upkeep
from tests.chaos.scheduler import Scheduler, pass_on, process_of_this_actor

NAME = "chaos"
STAGES = (Stage.TRANSCRIBE, Stage.RATE)
LEASE_SECONDS = 30.0
PATIENCE = RetryLimits(max_attempts=3, max_crashes=2, backoff_seconds=0.0)
SUBMISSIONS = 4

TABLES = """
    CREATE TABLE IF NOT EXISTS chaos_effect (task bigint, stage text, epoch bigint);
    CREATE TABLE IF NOT EXISTS chaos_audit (
        task bigint, sequence bigint, was text, became text, old_epoch bigint, epoch bigint, lapsed bool, leased bool
    );
    CREATE OR REPLACE FUNCTION chaos_audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO chaos_audit VALUES (
            NEW.id, NEW.sequence, OLD.state, NEW.state, OLD.epoch, NEW.epoch,
            coalesce(OLD.lease_until < statement_timestamp(), false),
            coalesce(NEW.lease_until > statement_timestamp(), false)
        );
        RETURN NULL;
    END $$;
    CREATE OR REPLACE TRIGGER chaos_audit AFTER UPDATE ON queueing_task FOR EACH ROW EXECUTE FUNCTION chaos_audit();
"""
NO_TABLES = """
    DROP TRIGGER IF EXISTS chaos_audit ON queueing_task;
    DROP FUNCTION IF EXISTS chaos_audit;
    DROP TABLE IF EXISTS chaos_effect, chaos_audit;
"""
CLEAR = """
    TRUNCATE queueing_event, queueing_attempt, queueing_task, queueing_batch, queueing_worker, queueing_phase,
             queueing_pause, chaos_effect, chaos_audit, evaluations_coachquestion
"""


def execute(sql: str, params: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall() if cursor.description else []


class ScheduleWorld:
    """One schedule's share of the database: its tasks, what time did to them, how their stages go."""

    def __init__(self, scheduler: Scheduler, submissions: Sequence[Submission]) -> None:
        self.scheduler, self.chance, self.submissions = scheduler, scheduler.chance, submissions
        self.tasks: list[int] = []
        self.ran_out: set[tuple[int, int]] = set()  # claims whose lease time has ended
        self.going: dict[tuple[int, str], list[StageError | None]] = {}  # how the next tries of a stage end
        self.counts: Counter[str] = Counter()

    def hand_in(self, number: int, owner: str) -> None:
        task = Task.objects.enqueue(submission_id=self.submissions[number].pk, pipeline=NAME, owner_key=owner)
        self.tasks.append(task.pk)
        for stage in STAGES:
            self.going[task.pk, stage] = self.chance.choice(WAYS)()

    def let_a_lease_run_out(self, task: int, *, silent: bool) -> bool:
        """Time passes for the holder of `task`; `silent`: and it sent no heartbeat for as long."""
        found = execute(
            "UPDATE queueing_task SET lease_until = statement_timestamp() - interval '1 second' WHERE id = ("
            "SELECT id FROM queueing_task WHERE id = %s AND state = 'running' FOR UPDATE SKIP LOCKED"
            ") RETURNING epoch, worker_id",
            [task],
        )
        for epoch, worker in found:
            self.ran_out.add((task, epoch))
            self.counts["leases run out"] += 1
            if silent:
                execute(
                    "UPDATE queueing_worker SET last_heartbeat_at = statement_timestamp() - interval '1 minute'"
                    " WHERE id = %s",
                    [worker],
                )
        return bool(found)


WAYS: tuple[Callable[[], list[StageError | None]], ...] = (
    *[list] * 6,  # all goes well
    lambda: [Transient()],
    lambda: [Infrastructure(), OutOfMemory()],
    lambda: [Transient()] * 100,
    lambda: [Permanent("bad", code="unreadable")],
)


class TraceHandler:
    """A stage that computes for a few steps and leaves who it was."""

    def __init__(self, stage: Stage, engine: str) -> None:
        self.stage, self.engine = stage, engine

    def prepare(self, task: Task) -> Task:
        return task

    def compute(self, work: Task, engines: Any, progress: object, stop: Event) -> int:
        world = current()
        with engines.of(self.engine).at_work():
            for _ in range(world.chance.randint(1, 3)):
                pass_on("computes")
                if stop.is_set():
                    raise Interrupted
        ways = world.going[work.pk, self.stage]
        if ways and (error := ways.pop(0)):
            raise error
        return work.epoch

    def save(self, task: Task, result: int) -> None:
        execute("INSERT INTO chaos_effect (task, stage, epoch) VALUES (%s, %s, %s)", [task.pk, self.stage, result])


PIPELINE = Pipeline(
    NAME,
    (
        StageSpec(Stage.TRANSCRIBE, PhaseName.STT, "speech", TraceHandler(Stage.TRANSCRIBE, "speech")),
        StageSpec(Stage.RATE, PhaseName.EVAL, "rate", TraceHandler(Stage.RATE, "rate")),
    ),
)


class _Current:
    world: ScheduleWorld


def current() -> ScheduleWorld:
    return _Current.world


def enter(world: ScheduleWorld) -> ScheduleWorld:
    _Current.world = world
    return world


class ComputeThread:
    """In place of `threading.Thread` in `queueing.worker.jobs`: one more actor of the process that starts it."""

    def __init__(self, target: Callable[..., object], args: tuple[Any, ...], name: str, daemon: bool) -> None:
        self.target, self.args, self.job = target, args, name

    def start(self) -> None:
        process, world = process_of_this_actor(), current()
        task = world.tasks.index(self.args[0].task.pk)
        world.scheduler.spawn(f"{process}.job{task}", lambda: self.target(*self.args), process=process)


@contextmanager
def stage_set() -> Iterator[list[Submission]]:
    """A database and a product made ready for schedules; both are as before afterwards."""
    execute("SET synchronous_commit = off")  # nobody pulls the plug here, and a schedule is 30 commits
    execute(TABLES)
    execute(CLEAR)
    listened_to = (signals.task_changed, signals.phase_changed, signals.upkeep_due, answer_grew)
    silenced = {signal: signal.receivers for signal in listened_to}
    an_hour_ago = upkeep.database_started_at() - timedelta(hours=1)  # else nobody silent would count as dead
    before = structlog.get_config()
    structlog.configure(processors=[_drop], cache_logger_on_first_use=False)
    for signal in silenced:
        _listeners(signal, [])
    try:
        with (
            patch.object(pipelines, "_registry", {NAME: PIPELINE}),
            patch.object(jobs, "Thread", ComputeThread),
            patch.object(upkeep, "database_started_at", lambda: an_hour_ago),
        ):
            yield submissions(SUBMISSIONS)
    finally:
        for signal, receivers in silenced.items():
            _listeners(signal, receivers)
        structlog.configure(**before)
        execute(NO_TABLES)
        execute("RESET synchronous_commit")


def submissions(count: int) -> list[Submission]:
    """Each of a student of its own, and transcribed, so that there is something to ask about."""
    students = [User.objects.get_or_create(username=f"chaos-{number}")[0] for number in range(count)]
    classroom, _ = Classroom.objects.get_or_create(name="chaos", defaults={"rubric": Rubric.default()})
    made = Submission.objects.bulk_create(
        Submission(classroom=classroom, student=student, original_name="x", path="x", size=1, sha256=uuid.uuid4().hex)
        for student in students
    )
    Transcript.objects.bulk_create(
        Transcript(
            submission=one,
            text="x",
            language="en",
            language_probability=1,
            duration=1,
            speech_seconds=1,
            segments=[],
            engine="given",
            model="given",
        )
        for one in made
    )
    return made


def _listeners(signal: Signal, receivers: list[Any]) -> None:
    signal.receivers = receivers
    signal.sender_receivers_cache.clear()


def _drop(*_: object) -> Any:
    raise structlog.DropEvent


def start_worker(name: str) -> Worker:
    return Worker.objects.create(node=name, pid=1)
