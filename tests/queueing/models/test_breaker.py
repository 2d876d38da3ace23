"""A model server that is left alone, probed and restarted: the row that all nodes share."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection

from queueing.exceptions import Infrastructure, StageError, Transient
from queueing.models import Breaker, Event, Task, Worker, in_seconds
from queueing.models.breaker import BreakerQuerySet
from queueing.policy import breaker
from queueing.policy.breaker import BreakerConfig, BreakerState, Move

CONFIG = BreakerConfig()
GONE = Infrastructure("nobody answers", code="engine_unavailable")
UNFIT = Infrastructure("'tiny' does not support chat", code="engine_unfit")
LATE = Transient("no whole answer", code="too_slow")
URL = "http://gpu-1:11434"
ME, OTHER = uuid.uuid4(), uuid.uuid4()


def fail(error: StageError = GONE) -> bool:
    return Breaker.objects.fail(URL, error, node="n", config=CONFIG)


def row() -> Breaker:
    return Breaker.objects.now().get(server=URL)


def pass_time(seconds: float) -> None:
    """As if `seconds` had gone by for the row."""
    breaker = row()
    earlier = timedelta(seconds=seconds)
    breaker.open_until = breaker.open_until and breaker.open_until - earlier
    breaker.restarted_at = [at - earlier for at in breaker.restarted_at]
    breaker.save()


@pytest.fixture
def opened(db: None) -> None:
    assert [fail(), fail(), fail()] == [False, False, True]


def test_three_failures_in_a_row_open_it_once_and_say_so(opened: None) -> None:
    assert not fail()  # a fourth call that was under way
    assert (row().openings, row().failures, row().error_code) == (1, 3, "engine_unavailable")
    assert row().breaker_state.pausing
    assert Event.objects.get(kind="breaker_open").detail == {"server": URL, "error": "nobody answers"}


def test_an_answer_in_between_starts_the_count_anew(db: None) -> None:
    fail(), fail()
    assert Breaker.objects.filter(server=URL).close() == 1
    assert not fail()
    assert row().openings == 0
    assert not Event.objects.filter(kind="breaker_close").exists()  # it never was open


@pytest.mark.parametrize("error", [LATE, UNFIT])
def test_one_call_that_proves_it_opens_it(db: None, error: StageError) -> None:
    assert fail(error)


def test_after_its_pause_one_probes_and_its_failure_opens_it_again_for_longer(opened: None) -> None:
    assert not Breaker.objects.reserve(URL, worker=ME, seconds=30)
    pass_time(2)
    assert Breaker.objects.reserve(URL, worker=ME, seconds=30)
    assert not Breaker.objects.reserve(URL, worker=OTHER, seconds=30)
    assert not Breaker.objects.stay_open(URL, GONE, worker=OTHER, config=CONFIG)
    assert Breaker.objects.stay_open(URL, GONE, worker=ME, config=CONFIG)
    assert row().openings == 2
    pass_time(3.5)
    assert not Breaker.objects.reserve(URL, worker=ME, seconds=30)
    pass_time(0.5)
    assert Breaker.objects.reserve(URL, worker=ME, seconds=30)


def test_a_worker_that_dies_while_it_probes_keeps_nobody_from_probing(opened: None) -> None:
    pass_time(2)
    assert Breaker.objects.reserve(URL, worker=ME, seconds=30)
    assert Breaker.objects.extend(URL, worker=ME, seconds=30)
    pass_time(30)
    assert Breaker.objects.reserve(URL, worker=OTHER, seconds=30)
    assert not Breaker.objects.extend(URL, worker=ME, seconds=30)
    assert not Breaker.objects.release(URL, worker=ME)


def test_closing_forgets_the_outage_but_not_the_restarts_of_the_last_minutes(opened: None) -> None:
    pass_time(2)
    assert restart(row())
    assert Breaker.objects.all().close(node="n", by="admin:1", reason="new cable") == 1
    assert Breaker.objects.all().close() == 0
    found = row()
    assert (found.failures, found.openings, found.restarts, found.open_until) == (0, 0, 0, None)
    assert len(found.restarted_at) == 1
    assert found.closed_by == "admin:1"
    assert Event.objects.get(kind="breaker_close").detail["by"] == "admin:1"


def restart(seen: Breaker, worker: uuid.UUID = ME) -> bool:
    return Breaker.objects.restart(seen, node="n", worker=worker, action="docker restart x", seconds=30)


def outage() -> None:
    """A server that never comes back, and workers that die over each restart."""
    assert fail(LATE)
    begun = 0
    for minute in range(20):
        pass_time(60)
        if breaker.next_move(row().breaker_state, CONFIG, can_restart=True) is Move.RESTART:
            begun += restart(row(), worker=uuid.uuid4())
        elif Breaker.objects.reserve(URL, worker=ME, seconds=30):
            Breaker.objects.stay_open(URL, GONE, worker=ME, config=CONFIG)
        assert minute < 10 or row().given_up
    assert begun == 3
    assert Event.objects.filter(kind="server_restart").count() == 3
    assert (row().open_until or row().now) - row().now > timedelta(seconds=50)


def test_a_restart_is_counted_before_it_is_run_so_that_a_crash_forgets_none(db: None) -> None:
    """F56: three are counted, whoever began them and whatever became of them; then it is given up."""
    outage()


def at_once(verb: Callable[[uuid.UUID], object], nodes: int = 4) -> int:
    """How many of several nodes, which do it at the same moment, succeed."""
    start, done = Barrier(nodes), []

    def node() -> None:
        worker = uuid.uuid4()
        start.wait(10)
        done.append(bool(verb(worker)))
        connection.close()

    threads = [Thread(target=node) for _ in range(nodes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done)


def race() -> None:
    """Several nodes go through outages of one server together."""
    for _ in range(5):
        assert at_once(lambda worker: fail()) == 1
        assert row().failures >= 3
        pass_time(2)
        assert at_once(lambda worker: Breaker.objects.reserve(URL, worker=worker, seconds=30)) == 1
        seen = row()  # all of them saw the same row
        assert at_once(partial(restart, seen)) == 1
        assert at_once(lambda worker: Breaker.objects.filter(server=URL).close()) >= 1
    assert len(row().restarted_at) == 5
    assert Event.objects.filter(kind="breaker_close").count() == 5


@pytest.mark.django_db(transaction=True)
def test_of_several_nodes_one_probes_one_restarts_and_one_reports_that_it_opened() -> None:
    """F45, F56: races of real connections on one row."""
    race()


# Planted faults: what must not get past these tests.


def probe_whoever_probes(self: BreakerQuerySet, server: str, *, worker: uuid.UUID, seconds: float) -> bool:
    return bool(self.filter(server=server).update(asked_by=worker, open_until=in_seconds(seconds)))


def restart_whatever_others_do(self: BreakerQuerySet, seen: Breaker, *, worker: uuid.UUID, **_: Any) -> bool:
    changes = {"restarts": seen.restarts + 1, "restarted_at": [*seen.restarted_at, seen.now], "asked_by": worker}
    return bool(self.filter(server=seen.server).update(**changes))


def restart_without_budget(state: BreakerState, config: BreakerConfig) -> bool:
    return all(age >= config.restart_grace for age in state.restart_ages)


PLANTED: dict[str, tuple[Any, str, Any, Callable[[], None]]] = {
    "two nodes probe": (BreakerQuerySet, "reserve", probe_whoever_probes, race),
    "two nodes restart": (BreakerQuerySet, "restart", restart_whatever_others_do, race),
    "there is no budget": (breaker, "may_restart", restart_without_budget, outage),
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, name, wrong, scenario = PLANTED[fault]
    monkeypatch.setattr(where, name, wrong)
    with pytest.raises(AssertionError):
        scenario()


def test_what_a_dead_node_found_hides_nothing_from_a_living_one(db: None) -> None:
    dead, living = (Worker.objects.create(node=node, pid=1) for node in ("dead", "living"))
    Breaker.objects.note_silence("dead", {URL: "it hangs"})
    Breaker.objects.note_silence("living", {URL: "no route to it"})
    assert (row().silent_to, row().silence) == ("dead", "it hangs")
    Worker.objects.filter(pk=dead.pk).update(stopped_at=in_seconds(0))
    assert not Breaker.objects.down().exists()
    Breaker.objects.note_silence("living", {URL: "no route to it"})
    assert Breaker.objects.down().get().silence == "no route to it"
    since = row().silent_since
    Worker.objects.filter(pk=living.pk).update(stopped_at=in_seconds(0))  # late with a heartbeat: it is its own still
    Breaker.objects.note_silence("living", {URL: "no route to it"})
    assert row().silent_since == since


def test_whoever_was_not_heard_yet_has_not_answered(db: None) -> None:
    Breaker.objects.note_silence("n", {URL: "it hangs", "http://left": "it hangs"})
    Breaker.objects.note_silence("n", {}, unheard={URL})  # its worker has begun anew
    assert row().silence == "it hangs"
    assert Breaker.objects.get(server="http://left").silent_since is None, "nobody asks it any more"
    Breaker.objects.note_silence("n", {})
    assert row().silent_since is None


def test_nothing_of_a_shut_server_is_due_until_its_pause_is_over(enqueue: Callable[..., Task], opened: None) -> None:
    for stage in ("extract", "rate", "transcribe"):
        Task.objects.filter(pk=enqueue().pk).update(stage=stage)
    servers = {"extract": URL, "rate": "http://gpu-2"}
    snapshot = Task.objects.snapshot("n", servers=servers)
    assert (snapshot.evaluation.due, snapshot.unbatched.due, snapshot.troubled) == (1, 1, frozenset({URL}))
    Breaker.objects.update(open_until=in_seconds(-1))
    assert Task.objects.snapshot("n", servers=servers).evaluation.due == 2
    assert Task.objects.snapshot("n").troubled == set()
