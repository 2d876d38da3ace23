"""The line, simulated forward: the arithmetic by hand for small ones, what must always hold for any."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from introeval.rehearsal import bounds
from queueing.forecast.pace import Duration, Pace
from queueing.forecast.simulation import (
    MIN_PROGRESS,
    NEAR_THE_END,
    LabSetup,
    LiveTask,
    Moment,
    NodeState,
    StageStep,
    simulate,
)
from queueing.policy.lanes import Lane
from queueing.policy.phases import Limits
from queueing.states import PhaseName

STT, EVAL = PhaseName.STT, PhaseName.EVAL
LIMITS = Limits(batch_size=10, batch_max_wait_seconds=3, max_dwell_seconds=600, idle_unload_seconds=60)
STEPS = (
    StageStep("transcribe", STT, 0, batched=True),
    StageStep("extract", EVAL, 1),
    StageStep("rate", EVAL, 2),
)
SECONDS = {"transcribe": 10.0, "extract": 15.0, "rate": 25.0}
SWAP = 5.0


def lab(*, slots: int = 1, spread: float = 0.0, doubt: float = 0.0, turns: bool = False) -> LabSetup:
    paces = {stage: Pace(Duration(seconds, spread, doubt)) for stage, seconds in SECONDS.items()}
    lanes = (
        Lane("speech", ("transcribe",), 1, STT, batched=True),
        Lane("extract", ("extract",), slots),
        Lane("rate", ("rate",), slots),
    )
    return LabSetup(LIMITS, lanes, paces, Duration(SWAP), turns)


def waiting(number: int, *, batch: int | None = None, stage: int = 0, waited: float = 60.0) -> list[LiveTask]:
    return [LiveTask(task, STEPS[stage:], turn=task, batch=batch, waited=waited) for task in range(1, number + 1)]


IDLE, LISTENS, RATES = NodeState("n", None), NodeState("n", STT), NodeState("n", EVAL)


def ends(line: list[LiveTask], *nodes: NodeState, **how: float) -> dict[int, float]:
    return {task: moment.at for task, moment in simulate(line, nodes, lab(**how)).items()}  # type: ignore[arg-type]


def test_one_alone_is_transcribed_swapped_and_rated() -> None:
    assert ends(waiting(1), IDLE) == {1: SWAP + 10 + SWAP + 15 + 25}
    assert ends(waiting(1), LISTENS) == {1: 10 + SWAP + 15 + 25}
    assert ends(waiting(1, stage=1), RATES) == {1: 15 + 25}


def test_an_upload_waits_for_others_to_join_its_batch() -> None:
    (end,) = ends(waiting(1, waited=1.0), IDLE).values()
    assert end == pytest.approx(2 + SWAP + 10 + SWAP + 15 + 25, abs=0.1)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("students", [1, 7, 10, 30])
def test_a_class_takes_as_long_as_the_arithmetic_of_the_rehearsal_says(students: int, slots: int) -> None:
    work = bounds.StageTimes(10, 15, 25, SWAP, slots)
    last = max(ends(waiting(students), NodeState("n", STT, ready_in=SWAP / 2), slots=slots).values())
    assert last == pytest.approx(bounds.lower_bound(students, work, batch_size=10), abs=0.5)


def test_what_runs_is_nearly_through_by_its_pace_or_by_its_own_speed() -> None:
    (runs,) = waiting(1, stage=2)
    assert ends([replace(runs, node="n", elapsed=20)], RATES) == {1: 5}
    assert ends([replace(runs, node="n", elapsed=100)], RATES) == {1: 25 * NEAR_THE_END}
    assert ends([replace(runs, node="n", elapsed=30, progress=0.75)], RATES) == {1: 10}


@pytest.mark.parametrize(
    ("elapsed", "progress", "left"),
    [
        (30, 0.75, Moment(10, (2 * 0.25) ** 2, 0.25)),  # by its own speed; what is unsure shrinks with what is left
        (0.1, 0.9, Moment(25 * NEAR_THE_END * 0.1, (2 * 0.1) ** 2, 0.1)),  # too quick to be believed
        (20, MIN_PROGRESS, Moment(180, (2 * 0.9) ** 2, 0.9)),
        (30, 1.2, Moment(0)),
    ],
)
def test_how_sure_the_end_of_what_runs_is(elapsed: float, progress: float, left: Moment) -> None:
    (runs,) = waiting(1, stage=2)
    running = replace(runs, node="n", elapsed=elapsed, progress=progress)
    (found,) = simulate([running], [RATES], lab(spread=2, doubt=1)).values()
    assert (found.at, found.variance, found.doubt) == pytest.approx((left.at, left.variance, left.doubt))


def test_what_runs_is_held_against_the_pace_for_its_own_length() -> None:
    by_length = replace(lab(), paces={**lab().paces, "rate": Pace(Duration(25.0), base=5.0, slope=0.5)})
    (runs,) = waiting(1, stage=2)
    (found,) = simulate([replace(runs, node="n", elapsed=20, audio=60.0)], [RATES], by_length).values()
    assert found.at == 5 + 0.5 * 60 - 20


def test_what_is_put_off_is_not_begun_before_its_time() -> None:
    (later,) = waiting(1, stage=2)
    assert ends([replace(later, due_in=50.0)], RATES) == {1: 50 + 25}


def test_models_that_take_turns_cost_a_turn_per_batch() -> None:
    line = waiting(2, batch=1, stage=1)
    assert ends(line, RATES, turns=True) == {1: 2 * 15 + SWAP + 25, 2: 2 * 15 + SWAP + 2 * 25}


def test_the_model_that_is_loaded_finishes_its_work_before_the_turn_changes() -> None:
    extracted, forms = LiveTask(3, STEPS[2:], turn=3, batch=1), waiting(2, batch=1, stage=1)
    turn = SWAP + 2 * 15 + SWAP
    found = ends([*forms, extracted], replace(RATES, holder="rate"), turns=True)
    assert found == {3: 25, 1: 25 + turn + 25, 2: 25 + turn + 2 * 25}


def test_lanes_of_one_engine_have_one_turn_though_one_of_them_has_no_work() -> None:
    alone = lab(turns=True)
    coach = Lane("rate", ("answer",), 1, pipeline="coach")
    shared = replace(alone, lanes=(*alone.lanes, coach), paces={**alone.paces, "answer": Pace(Duration(5.0))})
    found = simulate(waiting(1, stage=1), [RATES], shared)
    assert found == {1: Moment(15 + SWAP + 25)}


def test_who_waits_in_a_batch_that_nobody_has_open_is_served_all_the_same() -> None:
    assert ends(waiting(1, batch=7), LISTENS) == ends(waiting(1), LISTENS)
    assert ends(waiting(1, batch=7), replace(LISTENS, batch=7, taken=1)) == ends(waiting(1), LISTENS)


def test_two_nodes_share_the_work() -> None:
    one, two = ends(waiting(20), IDLE), ends(waiting(20), IDLE, NodeState("m", None))
    assert max(two.values()) < max(one.values()) * 0.7


def test_without_a_node_or_a_pace_nothing_is_known() -> None:
    assert simulate(waiting(2), [], lab()) == {}
    unknown = LiveTask(9, (StageStep("summarise", EVAL, 3),), turn=0)
    assert simulate([*waiting(2), unknown], [RATES], lab()) == {}  # of the same pipeline: it is ahead of somebody


def test_a_pipeline_of_unknown_pace_leaves_the_forecast_of_the_others_as_it_is() -> None:
    unknown = LiveTask(9, (StageStep("summarise", EVAL, 3),), turn=0, pipeline="summary")
    assert simulate([*waiting(2), unknown], [RATES], lab()) == simulate(waiting(2), [RATES], lab())


def test_a_pipeline_that_shares_an_engine_is_simulated_with_its_own_slots_and_priority() -> None:
    alone = lab()
    coach = Lane("rate", ("answer",), 1, pipeline="coach", priority=1)
    shared = replace(alone, lanes=(*alone.lanes, coach), paces={**alone.paces, "answer": Pace(Duration(5.0))})
    asked = [LiveTask(100 + n, (StageStep("answer", EVAL, 3),), turn=n, pipeline="coach") for n in range(4)]
    found = {task: moment.at for task, moment in simulate([*waiting(1, stage=2), *asked], [RATES], shared).items()}
    assert found == {100: 5, 101: 10, 102: 15, 1: 40, 103: 45}  # three answers, then the rating's turn


def test_how_unsure_it_is_grows_with_what_must_happen_one_after_the_other() -> None:
    moments = simulate(waiting(3, stage=2), [RATES], lab(spread=2, doubt=1))
    assert moments == {n: Moment(25.0 * n, 4.0 * n, 1.0 * n) for n in (1, 2, 3)}


pairs = st.tuples(st.integers(0, 2), st.floats(0, 600))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.floats(0, 600), min_size=1, max_size=45),
    st.sampled_from([IDLE, LISTENS, RATES, NodeState("n", STT, ready_in=3.0), NodeState("n", EVAL, dwelt=700.0)]),
    st.integers(1, 4),
    st.booleans(),
    st.lists(pairs, max_size=12),
)
def test_everybody_ends_in_turn_and_another_one_behind_changes_nothing_before_its_batch(
    waits: list[float], node: NodeState, slots: int, turns: bool, evaluated: list[tuple[int, float]]
) -> None:
    uploads = [LiveTask(100 + n, STEPS, turn=n, waited=waited) for n, waited in enumerate(sorted(waits, reverse=True))]
    older = [
        LiveTask(n, STEPS[1:] if late else STEPS[2:], turn=n, batch=1, waited=w)
        for n, (late, w) in enumerate(evaluated)
    ]
    found = simulate([*older, *uploads], [node], lab(slots=slots, spread=1, doubt=0.5, turns=turns))
    assert found.keys() == {work.task for work in [*older, *uploads]}  # nobody waits for ever
    assert all(moment.at > 0 and moment.variance > 0 and moment.doubt > 0 for moment in found.values())
    in_turn = [found[work.task].at for work in uploads]
    assert in_turn == sorted(in_turn)
