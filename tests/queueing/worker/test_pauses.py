"""Pauses, drains, and the phase that a person asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evaluations.stages.names import Stage
from queueing.engines.llm.simulated import SimulatedLanguage
from queueing.models import Attempt, Event, Pause, Phase, Task, in_seconds
from queueing.states import PhaseName, PhaseStep, State
from queueing.worker.process import PhaseWorker
from tests.queueing.worker.working import Enqueue, quick, registered, state, work

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("what", Pause.What)
def test_nothing_begins_in_a_phase_that_is_paused_and_all_of_it_goes_on_afterwards(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker], what: str
) -> None:
    task = ready_to(Stage.EXTRACT)
    Pause.objects.start(what, by="teacher", reason="fire drill")
    with registered(node()) as worker:
        for _ in range(5):
            worker.run_once()
        held = what in (Pause.What.EVERYTHING, Pause.What.EVAL)
        assert (state(task) == State.QUEUED) == held
    assert Pause.objects.all().end(by="teacher") == 1
    work(node(), lambda: state(task) == State.DONE)


def test_a_drain_unloads_what_is_loaded_and_a_resume_loads_it_again(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    ready_to(Stage.RATE)
    with registered(node()) as worker:
        worker.coordinator.switch(PhaseName.EVAL)
        Pause.objects.start(Pause.What.EVERYTHING, node="n", drain=True, by="operator", reason="new GPU")
        worker.run_once()
        assert Phase.objects.get().step == PhaseStep.IDLE
        assert worker.coordinator.resident() == []
        Pause.objects.all().end(by="operator")
        worker.run_once()
        assert Phase.objects.get().step == PhaseStep.ACTIVE


def test_a_wish_for_a_phase_without_work_does_not_keep_a_rating_waiting_and_its_end_is_recorded(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    task = ready_to(Stage.RATE)
    with registered(node()) as worker:
        Phase.request(PhaseName.STT, node="n", hold_seconds=300, by="operator")
        worker.run_once()
        assert state(task) == State.RUNNING
    phase, ended = Phase.objects.get(), Event.objects.get(kind="phase_wish_ended")
    assert (phase.name, phase.wanted, phase.wanted_until) == (PhaseName.EVAL, "", None)
    assert ended.detail == {"name": "stt", "by": "system", "reason": "other work waits, and it has none"}


def test_a_wish_lasts_as_long_as_its_phase_has_work_and_then_the_others_go_on(
    enqueue: Enqueue, ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    uploads, rating = [enqueue() for _ in range(3)], ready_to(Stage.RATE)
    with registered(node()) as worker:
        worker.coordinator.switch(PhaseName.EVAL)
        Phase.request(PhaseName.STT, node="n", hold_seconds=300, by="operator")
    work(node(), lambda: state(rating) == State.DONE)
    transcribed = Attempt.objects.filter(task__in=uploads, stage=Stage.TRANSCRIBE)
    assert Attempt.objects.get(task=rating).began_at > max(one.ended_at for one in transcribed if one.ended_at)
    assert Event.objects.get(kind="phase_wish_ended").detail["by"] == "system"


class PausedWhileLoading(SimulatedLanguage):
    """Somebody pauses evaluation while its model is being loaded."""

    def load(self) -> None:
        Pause.objects.start(Pause.What.EVAL, by="operator", reason="the wrong model")
        super().load()


def test_a_pause_that_is_placed_while_the_model_loads_holds_back_its_first_task(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    task = ready_to(Stage.EXTRACT)
    with registered(node(quick(PausedWhileLoading))) as worker:
        worker.run_once()
        assert worker.coordinator.current == PhaseName.EVAL
        assert state(task) == State.QUEUED


def test_a_full_disk_does_not_shorten_the_pause_of_a_person(db: None) -> None:
    repair = Pause.objects.start(Pause.What.STT, node="n", by="operator", reason="repair")
    Pause.objects.start_or_extend(Pause.What.STT, node="n", reason="no space left", seconds=15)
    repair.refresh_from_db()
    assert (repair.by, repair.reason, repair.until) == ("operator", "repair", None)
    Pause.objects.start_or_extend(Pause.What.EVAL, node="n", reason="no space left", seconds=15)
    assert Pause.objects.active().get(what=Pause.What.EVAL).by == "system"


def test_a_pause_of_another_node_is_none_of_ours(enqueue: Enqueue) -> None:
    Pause.objects.start(Pause.What.EVERYTHING, node="other", by="operator", reason="moving house")
    assert not Task.objects.snapshot("this").paused
    assert Task.objects.snapshot("other").paused == {*PhaseName}


def test_a_pause_ends_by_itself_when_its_time_is_over(db: None) -> None:
    pause = Pause.objects.start(Pause.What.STT, by="system", reason="disk full", seconds=60)
    assert Task.objects.snapshot("n").paused == {PhaseName.STT}
    Pause.objects.filter(pk=pause.pk).update(since=in_seconds(-100), until=in_seconds(-1))
    assert not Task.objects.snapshot("n").paused
    assert not Pause.objects.active().exists()
    assert Pause.objects.all().end(by="x") == 0


def test_on_an_idle_node_the_phase_that_a_person_asked_for_is_entered_and_the_wish_is_over(
    node: Callable[..., PhaseWorker],
) -> None:
    with registered(node()) as worker:
        assert Phase.request(PhaseName.STT, node="n", hold_seconds=60, by="operator")
        for _ in range(3):
            worker.run_once()
        phase = Phase.objects.get()
        assert (phase.name, phase.step, phase.wanted) == (PhaseName.STT, PhaseStep.ACTIVE, "")


def test_a_wish_whose_time_is_over_holds_nothing(enqueue: Enqueue, ready_to: Callable[..., Task]) -> None:
    enqueue(), ready_to(Stage.RATE)
    Phase.objects.create(node="n")
    Phase.request(PhaseName.STT, node="n", hold_seconds=60, by="operator")
    assert Task.objects.snapshot("n").wanted == PhaseName.STT
    Phase.objects.update(wanted_until=in_seconds(-1))
    assert Task.objects.snapshot("n").wanted is None


def test_nobody_can_ask_for_a_phase_of_a_node_that_is_not_there(db: None) -> None:
    assert not Phase.request(PhaseName.STT, node="nowhere", hold_seconds=60, by="operator")


def test_a_draining_that_is_no_longer_wanted_is_taken_back(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    ready_to(Stage.RATE)
    with registered(node()) as worker:
        worker.coordinator.switch(PhaseName.EVAL)
        worker.coordinator.drain(PhaseName.STT, "uploads wait")
        worker.run_once()
    assert Phase.objects.get().step == PhaseStep.ACTIVE
