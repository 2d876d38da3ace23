"""The queue's verbs in any order that Hypothesis can think of, beside a model of what each must do.

    python -m tests.chaos machine --examples 2000

One thread, so that each verb's effect can be foretold; what comes between two steps of a verb is the explorer's part.
"""

from __future__ import annotations

import argparse
import unittest
from collections import defaultdict
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from evaluations.stages.names import Stage
from queueing import pipelines
from queueing.exceptions import ClaimLost, Crashed, Infrastructure, Interrupted, Permanent, Transient
from queueing.models import Attempt, Event, Pause, Task, Worker, in_seconds
from queueing.states import ENDED, IN_PLACE, LIVE, TRANSITIONS, PhaseName, State, Status
from tests.chaos.world import LEASE_SECONDS, NAME, PIPELINE, STAGES, submissions

OWNERS = ("a", "b", "c")
NODES = ("m", "n")
OUTCOMES = ("advance", "fail", "transient", "crashed", "hand_back")
MAX_TASKS = 8
Row = dict[str, Any]

# Which one of those there are. Not `integers`: Hypothesis mixes in constants of all modules that happen to be imported,
# and the same test would try something else in a run of its own than in a run of all.
some = st.sampled_from(range(1_000))


class QueueMachine(RuleBasedStateMachine):
    """Tasks, three workers, and everything that anybody has held in hand of them, current and stale."""

    def __init__(self) -> None:
        super().__init__()
        self.undo = ExitStack()
        self.undo.enter_context(patch.object(pipelines, "_registry", {NAME: PIPELINE}))
        self.undo.enter_context(transaction.atomic())
        self.undo.callback(transaction.set_rollback, True)
        self.submissions = submissions(MAX_TASKS)
        self.workers = [Worker.objects.create(node=node, pid=1) for node in (*NODES, NODES[0])]
        self.claims: list[Task] = []  # as they were claimed
        self.seen: list[Task] = []  # as somebody read them
        self.before: dict[int, Row] = {}
        self.places: dict[int, int] = {}  # after the last step

    def teardown(self) -> None:
        self.undo.close()

    # What is there

    def rows(self) -> dict[int, Row]:
        return {row["id"]: dict(row) for row in Task.objects.order_by("pk").values()}

    def lapsed(self) -> set[int]:
        return set(Task.objects.expired().values_list("pk", flat=True))

    def is_current(self, task: Task) -> bool:
        row = self.rows()[task.pk]
        return (row["state"], row["epoch"]) == (State.RUNNING, task.epoch)

    def expect(self, task: Task, **changes: Any) -> None:
        """Exactly this has changed of the task since the last step, beside what every move changes."""
        row, before = self.rows()[task.pk], self.before[task.pk]
        assert row["sequence"] == before["sequence"] + 1
        assert {key: row[key] for key in changes} == changes

    def expect_nothing(self) -> None:
        assert self.rows() == self.before

    # Students and time

    @precondition(lambda self: len(self.before) < MAX_TASKS)
    @rule(owner=st.sampled_from(OWNERS))
    def enqueue(self, owner: str) -> None:
        had_some = Task.objects.live().filter(owner_key=owner).exists()
        submission = self.submissions[len(self.before)]
        task = Task.objects.enqueue(submission_id=submission.pk, pipeline=NAME, owner_key=owner)
        if not had_some:
            ahead = Task.objects.filter(state=State.QUEUED, stage=STAGES[0], batch=None).filter(turn__lte=task.turn)
            owners = list(ahead.exclude(pk=task.pk).values_list("owner_key", flat=True))
            assert len(owners) == len(set(owners)), "somebody is served twice before this owner's first"

    @precondition(lambda self: self.claims)
    @rule(which=some, silent=st.booleans())
    def a_lease_runs_out(self, which: int, silent: bool) -> None:
        claim = self.claims[which % len(self.claims)]
        Task.objects.filter(pk=claim.pk, state=State.RUNNING).update(lease_until=in_seconds(-1))
        if silent:
            Worker.objects.filter(tasks=claim.pk).update(last_heartbeat_at=in_seconds(-2 * LEASE_SECONDS))

    @rule()
    def delays_pass(self) -> None:
        Task.objects.filter(state=State.QUEUED).update(not_before=in_seconds(-1))

    # Workers

    @precondition(lambda self: self._running())
    @rule(which=some)
    def one_takes_over(self, which: int) -> None:
        """What an epoch is for, as one step: by chance the three of it come one after another too seldom."""
        running = self._running()
        task_id = running[which % len(running)]
        Task.objects.filter(pk=task_id).update(lease_until=in_seconds(-1))
        lapsed = Task.objects.get(pk=task_id)
        self.seen.append(lapsed)  # by others, too
        assert lapsed.rescue(Interrupted())
        worker = self.workers[which % len(self.workers)]
        self.claims += Task.objects.claim(
            worker=worker, stages=STAGES, lease_seconds=LEASE_SECONDS, limit=MAX_TASKS, beside=set()
        )

    @rule(which=some, limit=st.sampled_from([1, 2, 3]), stages=st.sampled_from([STAGES, STAGES[:1], STAGES[1:]]))
    def claim(self, which: int, limit: int, stages: tuple[Stage, ...]) -> None:
        worker = self.workers[which % len(self.workers)]
        beside = {each.pk for each in self.claims if each.worker_id == worker.pk and self.is_current(each)}
        expected = self._first_in_line(limit, stages, beside)
        claimed = Task.objects.claim(
            worker=worker, stages=stages, lease_seconds=LEASE_SECONDS, limit=limit, beside=beside
        )
        assert [task.pk for task in claimed] == expected
        for task in claimed:
            self.expect(task, state=State.RUNNING, epoch=self.before[task.pk]["epoch"] + 1, worker_id=worker.pk)
        self.claims += claimed

    def _running(self) -> list[int]:
        return [pk for pk, row in self.before.items() if row["state"] == State.RUNNING]

    def _first_in_line(self, limit: int, stages: tuple[Stage, ...], beside: set[int]) -> list[int]:
        due = Task.objects.due().filter(stage__in=stages).exclude(pk__in=beside)
        rows = [row for row in due.values() if not (beside and row["crashes"])]
        rows.sort(
            key=lambda row: (row["batch_id"] or 1 << 40, STAGES.index(Stage(row["stage"])), row["turn"], row["id"])
        )
        picked = rows[:limit]
        if picked and picked[0]["crashes"]:
            return [picked[0]["id"]]  # one that a worker died on is worked on alone
        return [row["id"] for row in picked if not row["crashes"]]

    @precondition(lambda self: self.claims)
    @rule(which=some, how=st.sampled_from(OUTCOMES))
    def record_an_outcome(self, which: int, how: str) -> None:
        claim = self.claims[which % len(self.claims)]
        current = self.is_current(claim)
        try:
            self._say(claim, how)
        except ClaimLost:
            assert not current
            self.expect_nothing()
            return
        assert current, "a claim that is not good any more changed something"
        before = self.before[claim.pk]
        match how:
            case "advance" if before["stage"] == STAGES[-1]:
                self.expect(claim, state=State.DONE, stage=STAGES[-1])
            case "advance":
                self.expect(claim, state=State.QUEUED, stage=STAGES[1], failures=0, crashes=0)
            case "fail":
                self.expect(claim, state=State.FAILED, stage=before["stage"], error_code="unreadable")
            case "transient":
                self.expect(claim, state=State.QUEUED, failures=before["failures"] + 1, crashes=before["crashes"])
            case "crashed":
                self.expect(claim, state=State.QUEUED, failures=before["failures"], crashes=before["crashes"] + 1)
            case "hand_back":
                self.expect(claim, state=State.QUEUED, failures=before["failures"], crashes=before["crashes"])

    def _say(self, claim: Task, how: str) -> None:
        match how:
            case "advance":
                claim.advance(took=1)
            case "fail":
                claim.fail(Permanent("bad", code="unreadable"), took=1)
            case "transient":
                claim.retry_later(Transient(), 60, took=1)
            case "crashed":
                claim.retry_later(Crashed(), 0, took=1)
            case "hand_back":
                claim.hand_back(Infrastructure(), 0, took=1)

    @rule(which=some, forgets=st.booleans())
    def beat(self, which: int, forgets: bool) -> None:
        worker = self.workers[which % len(self.workers)]
        held = {claim.pk for claim in self.claims if claim.worker_id == worker.pk}
        held = set(sorted(held)[1:]) if forgets else held
        rows, lapsed = self.rows(), self.lapsed()
        owned = {pk for pk in held if rows[pk]["worker_id"] == worker.pk and pk not in lapsed}
        assert Task.objects.extend_leases(worker, held, 2 * LEASE_SECONDS) == owned
        after = self.rows()
        assert {pk for pk in after if after[pk]["lease_until"] != rows[pk]["lease_until"]} == owned

    @rule(node=st.sampled_from(NODES))
    def join(self, node: str) -> None:
        Task.objects.fill_batch(node, 2)

    @rule(node=st.sampled_from(NODES))
    def close(self, node: str) -> None:
        for task in Task.objects.filter(batch__node=node, batch__phase=PhaseName.STT):
            assert task.batch is not None
            task.batch.close_transcription()

    # Upkeep and people, who act on what they have read some time ago

    @precondition(lambda self: self.before)
    @rule(which=some)
    def read(self, which: int) -> None:
        self.seen.append(Task.objects.get(pk=[*self.before][which % len(self.before)]))

    def _read_before(self, which: int, *, afresh: bool) -> Task:
        if afresh or not self.seen:
            self.read(which)
            return self.seen[-1]
        return self.seen[which % len(self.seen)]

    @precondition(lambda self: self.before)
    @rule(which=some, afresh=st.booleans(), died=st.booleans(), once_too_often=st.booleans())
    def rescue(self, which: int, afresh: bool, died: bool, once_too_often: bool) -> None:
        seen = self._read_before(which, afresh=afresh)
        may = self.is_current(seen) and seen.pk in self.lapsed()
        if once_too_often:
            assert seen.give_up(Permanent("it died", code="poison")) == may
        else:
            assert seen.rescue(Crashed() if died else Interrupted()) == may
        if not may:
            self.expect_nothing()
        elif once_too_often:
            self.expect(seen, state=State.FAILED, error_code="poison")
        else:
            self.expect(seen, state=State.QUEUED, crashes=self.before[seen.pk]["crashes"] + died)

    @precondition(lambda self: self.before)
    @rule(
        which=some, afresh=st.booleans(), verb=st.sampled_from(["cancel", "retry", "requeue", "put_first", "put_last"])
    )
    def a_person_acts(self, which: int, afresh: bool, verb: str) -> None:
        seen = self._read_before(which, afresh=afresh)
        before = self.before[seen.pk]
        sources, _ = TRANSITIONS[verb]
        may = before["epoch"] == seen.epoch and before["state"] in sources
        assert getattr(seen, verb)(by="teacher", reason="a bus") == may
        if not may:
            self.expect_nothing()
        elif verb == "cancel":
            self.expect(seen, state=State.CANCELLED, worker_id=None)
        elif verb in IN_PLACE:
            self.expect(seen, state=State.QUEUED)
        elif verb == "requeue":
            self.expect(seen, state=State.QUEUED, worker_id=None, failures=before["failures"])
        else:
            self.expect(seen, state=State.QUEUED, stage=before["stage"], failures=0, crashes=0, retried=True)

    @rule(what=st.sampled_from(list(Pause.What)), drain=st.booleans(), on=st.booleans())
    def pause(self, what: Pause.What, drain: bool, on: bool) -> None:
        if on:
            Pause.objects.start(what, node=NODES[0], drain=drain, by="teacher", reason="a test")
        else:
            Pause.objects.filter(what=what).end(by="teacher")
        standing = set(Pause.objects.active().values_list("what", "drain"))
        snapshot = Task.objects.snapshot(NODES[0])
        everything = any(each == Pause.What.EVERYTHING for each, _ in standing)
        assert snapshot.paused == {
            phase for phase in PhaseName if everything or phase in {each for each, _ in standing}
        }
        assert snapshot.drained == any(drain for _, drain in standing)
        assert not Task.objects.snapshot(NODES[1]).paused

    # What must hold whatever has happened

    @invariant()
    def all_is_well(self) -> None:
        self.numbers_only_grow()
        self.the_history_has_no_gap()
        self.what_the_columns_say_fits_together()
        self.nobody_has_two_turns_at_once()
        self.everybody_has_a_word_and_a_place()

    def numbers_only_grow(self) -> None:
        rows = self.rows()
        for pk, before in self.before.items():
            assert rows[pk]["epoch"] >= before["epoch"]
            assert rows[pk]["sequence"] >= before["sequence"]
        self.before = rows

    def the_history_has_no_gap(self) -> None:
        events, attempts = defaultdict(list), defaultdict(list)
        for pk, *event in Event.objects.order_by("sequence").values_list("task", "sequence", "state"):
            events[pk].append(event)
        for pk, *attempt in Attempt.objects.order_by("epoch").values_list("task", "epoch", "outcome"):
            attempts[pk].append(attempt)
        for pk, row in self.before.items():
            assert [number for number, _ in events[pk]] == [*range(1, row["sequence"] + 1)]
            assert events[pk][-1][1] == row["state"]
            assert [epoch for epoch, _ in attempts[pk]] == [*range(1, row["epoch"] + 1)]
            still_open = [epoch for epoch, outcome in attempts[pk] if not outcome]
            assert still_open == ([row["epoch"]] if row["state"] == State.RUNNING else [])

    def what_the_columns_say_fits_together(self) -> None:
        for row in self.before.values():
            running, ended = row["state"] == State.RUNNING, row["state"] in ENDED
            assert (row["worker_id"] is not None) == (row["lease_until"] is not None) == running
            assert (row["finished_at"] is not None) == ended
            assert (row["error_code"] == "") or not (running or row["state"] == State.DONE)

    def nobody_has_two_turns_at_once(self) -> None:
        turns = [(row["owner_key"], row["turn"]) for row in self.before.values() if row["state"] in LIVE]
        assert len(turns) == len(set(turns))

    def everybody_has_a_word_and_a_place(self) -> None:
        line, rows = Task.objects.line(), self.before
        places = line.positions
        assert set(places) == {pk for pk, row in rows.items() if row["state"] in LIVE}
        assert {pk for pk, place in places.items() if place == 0} == {
            pk for pk, row in rows.items() if row["state"] == State.RUNNING and row["stage"] == STAGES[-1]
        }
        in_line = sorted(place for place in places.values() if place)
        assert in_line == [*range(1, len(in_line) + 1)]
        for pk, place in places.items():
            if place > self.places.get(pk, place):
                own = next(entry.again for entry in line.entries if entry.task == pk)
                assert own or line.put_ahead(pk), "a place rose, and nobody was put ahead"
        self.places = places
        assert {task.status for task in Task.objects.select_related("batch")} <= set(Status)


def try_out(examples: int, *, at_length: bool, steps: int = 40) -> None:
    """Raises: what Hypothesis found to break something, with the sequence of rules that led to it.

    `at_length`: other examples at each run, and a failure is shortened, which takes minutes. Else always the same ones.
    """
    run_state_machine_as_test(
        QueueMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            print_blob=True,
            derandomize=not at_length,
            report_multiple_bugs=False,
            phases=(Phase.generate, Phase.shrink) if at_length else (Phase.generate,),
            suppress_health_check=[*HealthCheck],
        ),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--examples", type=int, default=1000, help="sequences of rules (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Returns the exit status: 0 when nothing broke."""
    case = unittest.FunctionTestCase(lambda: try_out(options.examples, at_length=True))
    result = unittest.TextTestRunner(verbosity=0).run(case)
    return 0 if result.wasSuccessful() else 1
