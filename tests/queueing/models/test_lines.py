"""Lines with rules of their own: served in order, one task per owner at a time, with room for so many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection, transaction

from queueing import actions, failpoints
from queueing.exceptions import ClaimLost, Interrupted, LineFullError, OwnerLimitError
from queueing.models import Overflow, Task, Worker
from queueing.models.clock import in_seconds
from queueing.states import State
from tests.processes.conftest import wait_until
from tests.queueing import notes
from tests.queueing.notes import JOT, NOTES, Jot

Ask = Callable[..., Task]
ROOM, OWN = 1000, 3


@pytest.fixture
def ask(enqueue: Callable[..., Task]) -> Iterator[Ask]:
    """One more task about the same submission, in a line that is served in order."""
    submission = enqueue().submission_id
    count = iter(range(10**6))

    def make(owner: str = "", *, rank: int = 0) -> Task:
        number = str(next(count))
        return Task.objects.enqueue(
            submission_id=submission, pipeline=NOTES, owner_key=owner or number, subject=number, rank=rank
        )

    with notes.registered(Jot(), in_order=True, one_per_owner=True, max_waiting=ROOM, max_waiting_per_owner=OWN):
        yield make


def crowd(task: Task, number: int) -> None:
    """So many more in the line, each of an owner of their own."""
    Task.objects.bulk_create(
        Task(submission_id=task.submission_id, pipeline=NOTES, stage=JOT, owner_key=f"c{n}", subject=f"c{n}", turn=0)
        for n in range(number)
    )


def take(worker: Worker, limit: int = 1) -> list[Task]:
    return Task.objects.claim(worker=worker, stages=[JOT], lease_seconds=30, limit=limit, one_per_owner=True)


def places(*tasks: Task) -> list[int | None]:
    found = Task.objects.filter(pipeline=NOTES).positions()
    return [found.get(task.pk) for task in tasks]


def test_about_each_subject_of_a_submission_one_task_lives(ask: Ask) -> None:
    task = ask()
    with pytest.raises(IntegrityError), transaction.atomic():
        Task.objects.enqueue(submission_id=task.submission_id, pipeline=NOTES, owner_key="x", subject=task.subject)
    assert ask().submission_id == task.submission_id


def test_first_in_is_first_out_and_a_higher_rank_comes_before(ask: Ask, worker: Worker) -> None:
    asked = [ask("a"), ask("a"), ask("b"), ask("c", rank=1), ask("d")]
    assert places(*asked) == [2, 3, 4, 1, 5]
    assert [task.owner_key for task in take(worker, limit=5)] == ["c", "a", "b", "d"]
    assert places(*asked) == [0, 1, 0, 0, 0]


@pytest.mark.parametrize("verb", actions.PUT)
def test_where_tasks_are_served_in_order_nobody_is_put_elsewhere(verb: str, ask: Ask) -> None:
    first, second = ask(), ask()
    why = {first.pk: "served in the order they came"}
    assert actions.forecast(verb, tasks=[first]).skipped == why
    report = actions.act(verb, tasks=[first], by="test", reason="a bus")
    assert (report.moved, report.skipped) == ((), why)
    assert places(first, second) == [1, 2]


def test_of_one_owner_one_task_runs_and_the_next_one_follows_when_it_ends(ask: Ask, worker: Worker) -> None:
    first, second = ask("a"), ask("a")
    (running,) = take(worker, limit=5)
    assert running.pk == first.pk
    assert take(worker) == []
    running.advance(took=0)
    assert [task.pk for task in take(worker)] == [second.pk]


@pytest.mark.django_db(transaction=True)
def test_of_one_owner_one_task_is_claimed_though_another_one_comes_before_it_meanwhile(
    ask: Ask, worker: Worker
) -> None:
    """The first claim is not committed yet when a question of a higher rank comes and the other worker claims."""
    ask("a")

    def claim_elsewhere() -> list[Task]:
        try:
            return take(worker)
        finally:
            connection.close()

    def come_between() -> None:
        failpoints.plan("claim.locked", None)
        threads.submit(ask_elsewhere).result()
        claimed.append(threads.submit(claim_elsewhere))
        wait_until(lambda: others_wait_for_a_lock() or claimed[0].done())

    def ask_elsewhere() -> None:
        try:
            ask("a", rank=1)
        finally:
            connection.close()

    claimed: list[Future[list[Task]]] = []
    with ThreadPoolExecutor(2) as threads:
        failpoints.plan("claim.locked", come_between)
        assert len(take(worker)) == 1
        assert claimed[0].result() == []


def others_wait_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return bool(cursor.fetchone()[0])


def test_an_owners_next_task_does_not_overtake_one_that_is_put_off(ask: Ask, worker: Worker) -> None:
    first, _ = ask("a"), ask("a")
    take(worker)[0].hand_back(Interrupted(), 60, took=0)
    assert take(worker) == []
    Task.objects.filter(pk=first.pk).update(not_before=in_seconds(0))
    assert [task.pk for task in take(worker)] == [first.pk]


def test_a_task_that_is_tried_again_comes_back_to_its_place(ask: Ask, worker: Worker) -> None:
    first, second = ask(), ask()
    assert first.cancel(by="test")
    first.refresh_from_db()
    assert first.retry(by="test")
    assert places(first, second) == [1, 2]


def test_what_is_served_in_order_changes_no_turn_of_the_others(ask: Ask, enqueue: Callable[..., Task]) -> None:
    """A low turn in it must not let whoever hands in next come before everybody else."""
    enqueue()
    late = enqueue()
    Task.objects.filter(pipeline="evaluation").update(turn=7)
    ask(rank=50)
    assert Task.objects.next_turn("somebody") == Task.objects.get(pk=late.pk).turn


def test_an_owner_has_at_most_so_many_waiting_beside_one_that_runs(ask: Ask, worker: Worker) -> None:
    for _ in range(OWN):
        ask("a")
    with pytest.raises(OwnerLimitError):
        ask("a")
    take(worker)
    ask("a")
    with pytest.raises(OwnerLimitError):
        ask("a")
    ask("b")


@pytest.mark.django_db(transaction=True)
def test_of_fifteen_at_once_exactly_so_many_enter_as_there_is_room_for(ask: Ask) -> None:
    """1,005 askers: 1,000 wait, five are refused, and the places are those of the order of arrival."""
    crowd(ask(), ROOM - 11)

    def try_to_ask(number: int) -> bool:
        try:
            ask(f"late {number}")
        except LineFullError:
            Overflow.objects.count_one(NOTES)
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(5) as threads:
        entered = Counter(threads.map(try_to_ask, range(15)))
    assert entered == {True: 10, False: 5}
    line = Task.objects.filter(pipeline=NOTES, state=State.QUEUED)
    assert line.count() == ROOM
    assert Task.objects.filter(pipeline=NOTES).positions() == {
        pk: place for place, pk in enumerate(line.order_by("pk").values_list("pk", flat=True), start=1)
    }
    assert Overflow.objects.get(pk=NOTES).refused == 5


def test_text_is_saved_only_by_whoever_has_the_claim(ask: Ask, worker: Worker) -> None:
    ask()
    (stale,) = take(worker)
    with stale.kept():
        pass
    assert Task.objects.get(pk=stale.pk).requeue(by="test")
    with pytest.raises(ClaimLost), stale.kept():
        raise AssertionError("it is somebody else's")
