"""What the GPU is for, without a clock or a database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from queueing.policy.phases import Decision, Demand, Limits, Snapshot, next_phase, wish_is_over
from queueing.states import PhaseName

LIMITS = Limits(batch_size=10, batch_max_wait_seconds=3, max_dwell_seconds=600, idle_unload_seconds=60)
NOTHING = Snapshot()


def chosen(
    current: PhaseName | None, snapshot: Snapshot, *, dwelt_seconds: float = 100, idle_seconds: float = 0
) -> PhaseName | None:
    return next_phase(current, snapshot, LIMITS, dwelt_seconds=dwelt_seconds, idle_seconds=idle_seconds).phase


def test_uploads_wait_for_others_to_join_their_batch() -> None:
    assert chosen(None, Snapshot(unbatched=Demand(due=1, oldest_seconds=1))) is None
    assert chosen(None, Snapshot(unbatched=Demand(due=1, oldest_seconds=3))) == PhaseName.STT


def test_a_full_batch_starts_at_once() -> None:
    assert chosen(None, Snapshot(unbatched=Demand(due=10))) == PhaseName.STT


def test_a_batch_is_transcribed_to_its_end_before_the_switch() -> None:
    waiting = Demand(due=9, oldest_seconds=5000)
    assert chosen(PhaseName.STT, Snapshot(batch=Demand(due=1), evaluation=waiting)) == PhaseName.STT
    assert chosen(PhaseName.STT, Snapshot(batch=Demand(running=1), evaluation=waiting)) == PhaseName.STT
    assert chosen(PhaseName.STT, Snapshot(evaluation=waiting)) == PhaseName.EVAL


def test_a_transcribed_batch_is_evaluated_before_the_next_one_starts() -> None:
    snapshot = Snapshot(unbatched=Demand(due=20, oldest_seconds=30), evaluation=Demand(due=3))
    assert chosen(PhaseName.STT, snapshot) == PhaseName.EVAL
    assert chosen(PhaseName.EVAL, snapshot) == PhaseName.EVAL


def test_a_person_can_have_evaluation_give_way_sooner_for_a_time() -> None:
    snapshot = Snapshot(unbatched=Demand(due=1, oldest_seconds=5000), evaluation=Demand(due=3), often=True)
    assert chosen(PhaseName.EVAL, snapshot, dwelt_seconds=59) == PhaseName.EVAL
    assert chosen(PhaseName.EVAL, snapshot, dwelt_seconds=60) == PhaseName.STT


def test_waiting_uploads_interrupt_evaluation_after_its_maximum_dwell_only() -> None:
    snapshot = Snapshot(unbatched=Demand(due=1, oldest_seconds=5000), evaluation=Demand(due=3))
    assert chosen(PhaseName.EVAL, snapshot, dwelt_seconds=599) == PhaseName.EVAL
    assert chosen(PhaseName.EVAL, snapshot, dwelt_seconds=600) == PhaseName.STT
    assert chosen(PhaseName.EVAL, Snapshot(evaluation=Demand(due=3)), dwelt_seconds=5000) == PhaseName.EVAL


def test_a_long_backlog_of_both_kinds_does_not_make_the_phases_flap() -> None:
    """Sixty old uploads, simulated: 10 s each to transcribe, 13 s to evaluate, 15 s for a hand-over."""
    now, unbatched, batch, evaluation, entered = 700.0, 60, 0, 0, 0.0
    current: PhaseName | None = None
    backlogs: list[int] = []
    while unbatched + batch + evaluation:
        snapshot = Snapshot(Demand(unbatched, 0, now), Demand(batch, 0, now), Demand(evaluation, 0, 5.0))
        wanted = chosen(current, snapshot, dwelt_seconds=now - entered)
        if wanted != current:
            current, now, entered = wanted, now + 15, now + 15
            backlogs.append(evaluation)
        elif current == PhaseName.STT and not batch:
            batch = min(10, unbatched)
            unbatched -= batch
        elif current == PhaseName.STT:
            batch, evaluation, now = batch - 1, evaluation + 1, now + 10
        else:
            evaluation, now = evaluation - 1, now + 13
    assert max(backlogs) <= 10
    assert len(backlogs) <= 12


@pytest.mark.parametrize(("blocked", "other"), [(PhaseName.EVAL, PhaseName.STT), (PhaseName.STT, PhaseName.EVAL)])
def test_while_one_phase_is_blocked_the_other_one_works(blocked: PhaseName, other: PhaseName) -> None:
    both = Snapshot(unbatched=Demand(due=10), evaluation=Demand(due=3))
    assert next_phase(None, both, LIMITS, dwelt_seconds=0, idle_seconds=0, blocked=blocked).phase == other


def test_an_open_batch_of_a_worker_that_died_is_finished_first() -> None:
    assert chosen(None, Snapshot(batch=Demand(due=2), evaluation=Demand(due=5))) == PhaseName.STT


def test_an_idle_model_stays_loaded_for_a_while_and_goes() -> None:
    assert chosen(PhaseName.EVAL, NOTHING, idle_seconds=59) == PhaseName.EVAL
    assert chosen(PhaseName.EVAL, NOTHING, idle_seconds=60) is None
    assert chosen(None, NOTHING) is None


STT, EVAL = PhaseName.STT, PhaseName.EVAL
FULL, OLD, OPEN, RATING = Demand(due=10), Demand(due=1, oldest_seconds=3), Demand(due=1), Demand(due=1)


@pytest.mark.parametrize(
    ("current", "snapshot", "blocked", "phase", "why"),
    [
        (EVAL, Snapshot(FULL, OPEN, RATING, drained=True, wanted=STT), None, None, "drained"),
        (EVAL, Snapshot(OLD, evaluation=RATING, wanted=STT), EVAL, STT, "a person asked for it"),
        (STT, Snapshot(batch=Demand(due=9, running=1), wanted=EVAL), None, EVAL, "a person asked for it"),
        (EVAL, Snapshot(evaluation=RATING, wanted=STT), None, EVAL, "transcripts are being evaluated"),
        (EVAL, Snapshot(OLD, evaluation=RATING), EVAL, STT, "evaluation is blocked"),
        (EVAL, Snapshot(batch=OPEN, evaluation=RATING), EVAL, STT, "evaluation is blocked"),
        (STT, Snapshot(batch=OPEN, evaluation=RATING), STT, EVAL, "transcription is blocked"),
        (STT, Snapshot(batch=OPEN, evaluation=RATING), None, STT, "the batch is being transcribed"),
        (EVAL, Snapshot(FULL, evaluation=RATING), None, EVAL, "transcripts are being evaluated"),
        (None, Snapshot(FULL, OPEN, RATING), None, STT, "an open batch waits for transcription"),
        (STT, Snapshot(FULL, evaluation=RATING), None, EVAL, "transcripts wait for evaluation"),
        (EVAL, Snapshot(OLD), None, STT, "uploads wait for transcription"),
        (STT, Snapshot(), None, STT, "no work; the model stays loaded for a while"),
        (None, Snapshot(), None, None, "no work"),
    ],
)
def test_a_decision_says_why(
    current: PhaseName | None, snapshot: Snapshot, blocked: PhaseName | None, phase: PhaseName | None, why: str
) -> None:
    """Operators read it in the log, where a node drains for the next phase."""
    found = next_phase(current, snapshot, LIMITS, dwelt_seconds=100, idle_seconds=0, blocked=blocked)
    assert found == Decision(phase, why)


@pytest.mark.parametrize("waiting", [Snapshot(FULL, evaluation=RATING), Snapshot(batch=OPEN, evaluation=RATING)])
def test_a_phase_that_has_lasted_long_enough_says_that_uploads_have_waited(waiting: Snapshot) -> None:
    found = next_phase(EVAL, waiting, LIMITS, dwelt_seconds=600, idle_seconds=0)
    assert found == Decision(STT, "uploads have waited for a whole evaluation phase")


def test_a_blocked_phase_does_not_begin_the_other_one_without_work() -> None:
    assert next_phase(EVAL, NOTHING, LIMITS, dwelt_seconds=0, idle_seconds=0, blocked=EVAL).phase == EVAL
    early = Snapshot(unbatched=Demand(due=1, oldest_seconds=2), evaluation=RATING)
    assert next_phase(EVAL, early, LIMITS, dwelt_seconds=0, idle_seconds=0, blocked=EVAL).phase == EVAL
    assert next_phase(None, Snapshot(FULL), LIMITS, dwelt_seconds=0, idle_seconds=0, blocked=STT).phase == STT


BUSY = Snapshot(unbatched=Demand(due=10, oldest_seconds=500), batch=Demand(due=3), evaluation=Demand(due=3))


@pytest.mark.parametrize(("paused", "other"), [(PhaseName.EVAL, PhaseName.STT), (PhaseName.STT, PhaseName.EVAL)])
@pytest.mark.parametrize("current", [None, *PhaseName])
def test_while_one_phase_is_paused_the_other_one_works(
    current: PhaseName | None, paused: PhaseName, other: PhaseName
) -> None:
    assert chosen(current, replace(BUSY, paused=frozenset({paused}))) == other


def test_what_runs_in_a_phase_that_is_paused_is_finished_before_the_switch() -> None:
    running = replace(BUSY, evaluation=Demand(due=3, running=1), paused=frozenset({PhaseName.EVAL}))
    assert chosen(PhaseName.EVAL, running) == PhaseName.EVAL


def test_a_queue_that_is_paused_altogether_keeps_its_model_for_a_while_and_then_lets_it_go() -> None:
    paused = replace(BUSY, paused=frozenset(PhaseName))
    assert chosen(PhaseName.EVAL, paused, idle_seconds=10) == PhaseName.EVAL
    assert chosen(PhaseName.EVAL, paused, idle_seconds=61) is None


def test_a_drained_node_has_nothing_loaded_whatever_waits() -> None:
    assert chosen(PhaseName.STT, replace(BUSY, drained=True, wanted=PhaseName.STT)) is None


@pytest.mark.parametrize("wanted", PhaseName)
@pytest.mark.parametrize("current", [None, *PhaseName])
def test_the_phase_that_a_person_asked_for_comes_before_the_policys_own_choice(
    current: PhaseName | None, wanted: PhaseName
) -> None:
    assert chosen(current, replace(BUSY, wanted=wanted)) == wanted


@pytest.mark.parametrize("current", [None, *PhaseName])
@pytest.mark.parametrize(
    ("snapshot", "blocked"),
    [
        (Snapshot(evaluation=RATING, wanted=STT), None),
        (Snapshot(evaluation=Demand(running=1), wanted=STT), None),
        (Snapshot(batch=OPEN, wanted=EVAL), None),
        (Snapshot(OLD, wanted=EVAL), None),
        (Snapshot(OLD, OPEN, RATING, paused=frozenset({STT}), wanted=STT), None),
        (Snapshot(OLD, OPEN, RATING, paused=frozenset({EVAL}), wanted=EVAL), None),
        (Snapshot(OLD, OPEN, RATING, wanted=STT), STT),
        (Snapshot(OLD, OPEN, RATING, wanted=EVAL), EVAL),
    ],
)
def test_a_wish_ends_when_its_phase_can_do_nothing_and_the_other_one_could(
    current: PhaseName | None, snapshot: Snapshot, blocked: PhaseName | None
) -> None:
    assert wish_is_over(current, snapshot, blocked=blocked)
    found = next_phase(current, snapshot, LIMITS, dwelt_seconds=0, idle_seconds=0, blocked=blocked)
    assert found.why != "a person asked for it"


@pytest.mark.parametrize("wanted", PhaseName)
def test_on_a_node_without_work_a_wish_is_fulfilled_and_then_over(wanted: PhaseName) -> None:
    idle = Snapshot(wanted=wanted)
    for elsewhere in {None, *PhaseName} - {wanted}:
        assert (wish_is_over(elsewhere, idle), chosen(elsewhere, idle)) == ("", wanted)
    assert wish_is_over(wanted, idle) == "nothing is left to do"


@pytest.mark.parametrize(
    "snapshot",
    [
        replace(BUSY, wanted=STT),
        replace(BUSY, wanted=EVAL),
        Snapshot(unbatched=Demand(due=1), evaluation=RATING, wanted=STT),  # before its batch would be ready
        Snapshot(batch=Demand(running=1), evaluation=RATING, wanted=STT),
        Snapshot(batch=Demand(due=9, running=1), wanted=EVAL),  # what is being transcribed is evaluated next
        replace(BUSY, paused=frozenset(PhaseName), wanted=STT),
        replace(BUSY, drained=True, wanted=STT),
        BUSY,
    ],
)
@pytest.mark.parametrize("current", [None, *PhaseName])
def test_a_wish_stands_while_it_keeps_nothing_from_working(current: PhaseName | None, snapshot: Snapshot) -> None:
    assert not wish_is_over(current, snapshot)


ASKED = Demand(due=4, oldest_seconds=20)


def test_work_with_a_share_has_the_gpu_while_no_upload_waits() -> None:
    assert chosen(None, Snapshot(shared=ASKED)) == EVAL
    assert chosen(STT, Snapshot(shared=ASKED)) == EVAL
    assert chosen(EVAL, Snapshot(shared=Demand(running=1)), dwelt_seconds=5000) == EVAL


def test_work_with_a_share_neither_brings_nor_holds_the_phase_while_uploads_wait() -> None:
    assert chosen(EVAL, Snapshot(FULL, shared=ASKED)) == STT
    assert chosen(EVAL, Snapshot(batch=OPEN, shared=Demand(running=1))) == STT
    assert chosen(None, Snapshot(FULL, shared=ASKED)) == STT
    assert chosen(EVAL, Snapshot(FULL, evaluation=RATING, shared=ASKED)) == EVAL


def test_work_with_a_share_gets_the_gpu_at_last_though_no_transcript_ever_comes_to_be_evaluated() -> None:
    patient = Demand(due=4, oldest_seconds=LIMITS.max_dwell_seconds)
    assert chosen(STT, Snapshot(FULL, shared=patient)) == EVAL
    assert chosen(EVAL, Snapshot(FULL, shared=patient)) == STT  # after those that have room


def test_while_evaluation_is_paused_work_with_a_share_is_no_work() -> None:
    paused = Snapshot(shared=ASKED, paused=frozenset({EVAL}))
    assert chosen(None, paused) is None
