"""Who is put first or last: they keep their order, pass nobody too often, and wait for no stream of newcomers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from queueing import actions
from queueing.models import Task, Worker, queue
from queueing.models.clock import in_seconds
from tests.conftest import Cast

Enqueue = Callable[..., Task]


def order() -> list[Task]:
    return list(Task.objects.live().in_turn())


def put(where: str, *tasks: Task) -> actions.Report:
    fresh = Task.objects.filter(pk__in=[task.pk for task in tasks])
    return actions.act(f"put_{where}", tasks=fresh, by="test", reason="a bus")


def test_who_is_put_first_comes_first_and_whoever_is_put_so_later_comes_after_them(
    enqueue: Enqueue, cast: Cast
) -> None:
    tasks = [enqueue(student) for student in (cast.ada, cast.bo, cast.outsider, cast.ada)]
    put("first", tasks[2], tasks[3])
    put("first", tasks[1])
    assert order() == [tasks[2], tasks[3], tasks[1], tasks[0]]
    newcomer = enqueue(cast.bo)
    assert order()[-2:] == [tasks[0], newcomer]  # nobody else gains by it


def test_newcomers_come_behind_who_was_put_first_though_nobody_else_waits(enqueue: Enqueue, cast: Cast) -> None:
    favoured = enqueue(cast.ada)
    put("first", favoured)
    newcomer = enqueue(cast.bo)
    assert order() == [favoured, newcomer]
    put("first", newcomer)
    assert order() == [favoured, newcomer]


def test_nobody_is_passed_by_more_than_so_many(
    enqueue: Enqueue, cast: Cast, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "MAX_PUT_FIRST", 3)
    patient = enqueue(cast.outsider)
    for number in range(5):
        one = enqueue(cast.ada)
        assert bool(put("first", one).moved) == (number < 3)
        (taken,) = Task.objects.claim(worker=worker, stages=[one.stage], lease_seconds=30)
        assert taken == (one if number < 3 else patient)
        if taken == patient:
            break
        taken.advance(took=1.0)
    # It has its turn: the next ones may be put first again.
    assert put("first", enqueue(cast.bo)).moved


def test_who_was_put_last_is_passed_by_newcomers_for_a_bounded_time_only(enqueue: Enqueue, cast: Cast) -> None:
    last, other = enqueue(cast.ada), enqueue(cast.outsider)
    put("last", last)
    early = enqueue(cast.bo)
    assert order() == [other, early, last]
    Task.objects.filter(pk=last.pk).update(staged_at=in_seconds(-queue.MAX_PUT_LAST_SECONDS - 1))
    late = enqueue(cast.teacher)
    assert order() == [other, early, last, late]
    assert put("last", last).skipped == {last.pk: "already put last"}


def test_whose_work_was_put_first_gets_no_second_turn_for_it(enqueue: Enqueue, cast: Cast) -> None:
    favoured, other = enqueue(cast.ada), enqueue(cast.bo)
    put("first", favoured)
    second = enqueue(cast.ada)
    newcomer = enqueue(cast.outsider)
    assert order() == [favoured, other, newcomer, second]


@pytest.mark.parametrize("others", [0, 1])
def test_who_was_put_first_can_be_put_last(others: int, enqueue: Enqueue, cast: Cast) -> None:
    """Its own turn may be behind all turns of the others: it has handed in several, or they were put first, too."""
    waiting = [enqueue(cast.bo) for _ in range(others)]
    *siblings, last = (enqueue(cast.ada) for _ in range(3))
    put("first", *siblings, last)
    put("last", last)
    last.refresh_from_db()
    assert last.priority == "last"
    assert order() == [*siblings, *waiting, last]
    assert put("last", last).skipped == {last.pk: "already put last"}


def test_whose_work_begins_again_has_a_turn_of_its_own(enqueue: Enqueue, cast: Cast) -> None:
    one, other = enqueue(cast.ada), enqueue(cast.bo)
    put("first", other)
    other.refresh_from_db()
    assert (other.priority, order()) == ("first", [other, one])
    assert other.cancel(by="test")
    other.refresh_from_db()
    assert other.retry(by="test")
    other.refresh_from_db()
    assert (other.priority, order()) == ("", [one, other])
