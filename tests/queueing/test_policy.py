"""Decisions, without a clock or a database."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueing.exceptions import (
    Crashed,
    Infrastructure,
    Interrupted,
    OutOfMemory,
    Permanent,
    StageError,
    Transient,
)
from queueing.policy import (
    Demand,
    FailTask,
    HandBack,
    Lane,
    Limits,
    RetryLater,
    Snapshot,
    Tries,
    after_failure,
    next_phase,
    rooms,
    whose_turn,
)
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
    assert chosen(PhaseName.EVAL, NOTHING, idle_seconds=61) is None
    assert chosen(None, NOTHING) is None


BUSY = Snapshot(unbatched=Demand(due=10), batch=Demand(due=3), evaluation=Demand(due=3))


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


EXTRACT, RATE = Lane("mistral", ("extract",), 3), Lane("llama", ("rate",), 2)
LANES = [EXTRACT, RATE]


def test_stages_with_engines_of_their_own_work_side_by_side() -> None:
    assert rooms(LANES, {"mistral": 3, "llama": 1}) == [(RATE, 1)]
    assert rooms(LANES, {}) == [(EXTRACT, 3), (RATE, 2)]


def test_of_engines_that_take_turns_only_the_one_that_is_loaded_may_take_work() -> None:
    assert rooms(LANES, {"llama": 1}, only="llama") == [(RATE, 1)]
    assert rooms(LANES, {"mistral": 3}, only="mistral") == []
    assert rooms(LANES, {}, only="mistral") == [(EXTRACT, 3)]


def turn(demands: dict[str, Demand], holder: str | None, held_seconds: float = 10) -> str:
    lane = whose_turn(LANES, demands, holder, held_seconds=held_seconds, max_dwell_seconds=600)
    return lane.stages[0]


def test_evaluation_begins_with_the_first_stage_that_has_work() -> None:
    assert turn({"extract": Demand(due=1), "rate": Demand(due=9, oldest_seconds=500)}, None) == "extract"
    assert turn({"rate": Demand(due=1)}, None) == "rate"
    assert turn({}, None) == "extract"


def test_the_engine_that_is_loaded_keeps_its_turn_while_it_has_work() -> None:
    waiting = Demand(due=9, oldest_seconds=500)
    assert turn({"extract": Demand(due=1), "rate": waiting}, "mistral") == "extract"
    assert turn({"extract": Demand(running=1), "rate": waiting}, "mistral") == "extract"
    assert turn({"extract": waiting, "rate": Demand(running=1)}, "llama") == "rate"
    assert turn({"rate": waiting}, "mistral") == "rate"
    assert turn({}, "llama") == "rate"


def test_a_turn_ends_after_the_time_that_a_phase_may_last_if_others_wait() -> None:
    both = {"extract": Demand(due=5), "rate": Demand(due=1)}
    assert turn(both, "mistral", held_seconds=599) == "extract"
    assert turn(both, "mistral", held_seconds=600) == "rate"
    assert turn({"extract": Demand(due=5)}, "mistral", held_seconds=5000) == "extract"


def test_who_has_waited_for_a_whole_phase_begins() -> None:
    demands = {"extract": Demand(due=5, oldest_seconds=100), "rate": Demand(due=1, oldest_seconds=600)}
    assert turn(demands, None) == "rate"
    demands["extract"] = Demand(due=5, oldest_seconds=700)
    assert turn(demands, None) == "extract"


@given(st.integers(0, 1 << 32), st.floats(0.2, 1.5))
def test_turns_never_flap_and_nobody_waits_for_one_for_ever(seed: int, load: float) -> None:
    """Two hours, simulated: 5 s for a form, 8 s for a rating, 15 s for a turn. Work of either kind may come at any
    time, also more than can be done; in the end all of it is done."""
    chance = random.Random(seed)
    cost, lane = {"extract": 5.0, "rate": 8.0}, {"extract": "mistral", "rate": "llama"}
    waits: dict[str, list[float]] = {"extract": [], "rate": []}
    now, held_since, holder, arrives = 0.0, 0.0, "extract", 0.0
    without_turn = 0.0  # since when the other engine has had work and no turn
    while now < 7200 or any(waits.values()):
        while arrives <= min(now, 7200):
            waits[chance.choice(["extract", "extract", "rate"])].append(arrives)
            arrives += chance.expovariate(load / 8)
        demands = {s: Demand(due=len(w), oldest_seconds=now - w[0]) for s, w in waits.items() if w}
        other = "rate" if holder == "extract" else "extract"
        without_turn = without_turn if waits[other] else now
        assert now - without_turn <= 600 + cost[holder]
        if turn(demands, lane[holder], now - held_since) == other:
            assert not waits[holder] or now - held_since >= 600, "a turn was cut short"
            holder, now = other, now + 15
            held_since = without_turn = now
        elif waits[holder]:
            waits[holder].pop(0)
            now += cost[holder]
            if holder == "extract":
                waits["rate"].append(now)
        else:
            now = max(now + 1, min(arrives, 7200))


def test_forms_that_take_whole_evaluation_phases_do_not_keep_ratings_waiting_for_ever() -> None:
    """Each phase begins with more forms to extract than it has time for, and uploads end it."""
    now, extract, rate, rated = 0.0, [0.0] * 130, list[float](), 0
    for _ in range(6):
        demands = {"extract": Demand(len(extract), 0, now - extract[0])}
        demands |= {"rate": Demand(len(rate), 0, now - rate[0])} if rate else {}
        if turn(demands, None) == "extract":
            rate += [now + 5.0 * done for done in range(1, 121)]
            extract = extract[120:]
        else:
            rated += len(rate[:75])
            rate = rate[75:]
        now += 600 + 100
        extract += [now] * 130
    assert rated >= 75


def decide(error: StageError, *, failures: int = 0, crashes: int = 0) -> FailTask | RetryLater | HandBack:
    tries = Tries(failures, crashes, max_attempts=3, max_crashes=2, backoff_seconds=10)
    return after_failure(error, tries, random.Random(1))


@pytest.mark.parametrize("kind", [Transient, OutOfMemory])
def test_a_real_failure_gets_three_attempts(kind: type[StageError]) -> None:
    assert isinstance(decide(kind()), RetryLater)
    assert isinstance(decide(kind(), failures=1), RetryLater)
    assert isinstance(decide(kind(), failures=2), FailTask)


def test_what_fits_in_no_way_is_tried_once_more() -> None:
    """F41: by a speech engine that tried all that is lighter; F55: a language server gets three attempts, see above."""
    error = OutOfMemory("in no way", code="does_not_fit")
    assert isinstance(decide(error), RetryLater)
    failed = decide(error, failures=1)
    assert isinstance(failed, FailTask)
    assert failed.error.code == "does_not_fit"


def test_the_first_retry_comes_within_two_minutes_and_later_ones_later() -> None:
    tries = Tries(0, 0, max_attempts=3, max_crashes=2, backoff_seconds=10)
    delays = [after_failure(Transient(), tries, random.Random(seed)) for seed in range(100)]
    seconds = [delay.delay_seconds for delay in delays if isinstance(delay, RetryLater)]
    assert len(seconds) == 100
    assert 5 <= min(seconds) < max(seconds) <= 15


def test_a_bad_input_fails_at_once() -> None:
    failed = decide(Permanent("broken", code="unreadable"))
    assert isinstance(failed, FailTask)
    assert failed.error.code == "unreadable"


@pytest.mark.parametrize("kind", [Infrastructure, Interrupted])
def test_what_is_nobodys_fault_burns_no_attempt_however_often(kind: type[StageError]) -> None:
    assert isinstance(decide(kind(), failures=2, crashes=1), HandBack)
    assert not kind.burns_attempt


def test_a_task_that_kills_its_worker_twice_is_poison() -> None:
    assert isinstance(decide(Crashed()), RetryLater)
    second = decide(Crashed(), crashes=1)
    assert isinstance(second, FailTask)
    assert second.error.code == "poison"


def test_a_task_under_which_a_model_hangs_twice_says_so() -> None:
    hung = Crashed("no progress", code="hung")
    assert isinstance(decide(hung), RetryLater)
    second = decide(hung, crashes=1)
    assert isinstance(second, FailTask)
    assert second.error.code == "hung"
