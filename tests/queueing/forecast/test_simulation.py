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
from queueing.pipelines import SlotShare
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


def lab(
    *, slots: int = 1, spread: float = 0.0, doubt: float = 0.0, turns: bool = False, batch_size: int = 10
) -> LabSetup:
    paces = {stage: Pace(Duration(seconds, spread, doubt)) for stage, seconds in SECONDS.items()}
    lanes = (
        Lane("speech", ("transcribe",), 1, STT, batched=True),
        Lane("extract", ("extract",), slots),
        Lane("rate", ("rate",), slots),
    )
    return LabSetup(replace(LIMITS, batch_size=batch_size), lanes, paces, Duration(SWAP), turns)


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


@pytest.mark.parametrize("turns", [False, True])
@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("students", [1, 7, 10, 30])
def test_a_class_takes_as_long_as_the_arithmetic_of_the_rehearsal_says(students: int, slots: int, turns: bool) -> None:
    work = bounds.StageTimes(10, 15, 25, SWAP, slots, in_turns=turns)
    last = max(ends(waiting(students), NodeState("n", STT, ready_in=SWAP / 2), slots=slots, turns=turns).values())
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
    (found,) = simulate([replace(runs, audio=60.0)], [RATES], by_length).values()
    assert found.at == 5 + 0.5 * 60


def test_what_runs_holds_its_slot_until_it_is_through() -> None:
    runs, waits = waiting(2, stage=2)
    assert ends([replace(runs, node="n", elapsed=20), waits], RATES) == {1: 5, 2: 5 + 25}


def test_what_runs_on_one_node_holds_no_slot_of_another() -> None:
    runs, *wait = waiting(3, stage=2)
    found = ends([replace(runs, node="m"), *wait], LISTENS, replace(RATES, name="m"))
    assert found == {1: 25, 2: SWAP + 25, 3: 25 + 25}


def test_what_ran_on_a_node_that_is_gone_is_taken_over_by_another_one() -> None:
    ran, waits = waiting(2, stage=2)
    assert ends([replace(ran, node="gone"), waits], RATES) == {1: 25, 2: 25 + 25}


@pytest.mark.parametrize("due_in", [0.5, 50.0])
def test_what_is_put_off_is_not_begun_before_its_time(due_in: float) -> None:
    (later,) = waiting(1, stage=2)
    assert ends([replace(later, due_in=due_in)], RATES) == {1: due_in + 25}


def test_evaluation_that_has_lasted_for_a_while_gives_way_to_uploads_when_its_time_is_over() -> None:
    uploads, rated = waiting(1), [replace(each, task=10 + each.task) for each in waiting(2, stage=2)]
    patient = ends([*uploads, *rated], replace(RATES, dwelt=570.0))
    assert patient == {11: 25, 12: 50, 1: 50 + SWAP + 10 + SWAP + 15 + 25}
    over = ends([*uploads, *rated], replace(RATES, dwelt=580.0))
    assert over == {11: 25, 12: 25 + SWAP + 10 + SWAP + 25, 1: 25 + SWAP + 10 + SWAP + 25 + 25}


@pytest.mark.parametrize("ready_in", [0.5, 5.0])
def test_a_node_that_loads_a_model_for_uploads_transcribes_them_before_it_does_anything_else(ready_in: float) -> None:
    rated = LiveTask(9, STEPS[2:], turn=9)
    found = ends([*waiting(1), rated], replace(LISTENS, ready_in=ready_in))
    assert found[9] == ready_in + 10 + SWAP + 25


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


def test_the_model_whose_turn_it_is_uses_all_its_slots() -> None:
    extracts, comes = waiting(2, stage=1)
    found = ends([replace(extracts, node="n"), replace(comes, due_in=5.0)], RATES, slots=2, turns=True)
    assert found == {1: 5 + 15 + SWAP + 25, 2: 5 + 15 + SWAP + 25}


def test_a_turn_ends_when_it_has_lasted_as_long_as_a_phase_may_and_the_next_one_lasts_as_well() -> None:
    setup = replace(lab(slots=2, turns=True), limits=replace(LIMITS, max_dwell_seconds=30))
    forms = [replace(each, steps=STEPS[1:2], waited=0.0) for each in waiting(6)]
    rated = [LiveTask(10 + n, STEPS[2:], turn=10 + n) for n in range(4)]
    found = {task: moment.at for task, moment in simulate([*forms, *rated], [RATES], setup).items()}
    turn = 30 + SWAP
    assert found == {1: 15, 2: 15, 3: 30, 4: 30, **dict.fromkeys((10, 11), turn + 25)} | {
        **dict.fromkeys((12, 13), turn + 2 * 25),
        **dict.fromkeys((5, 6), turn + 2 * 25 + SWAP + 15),
    }


def test_who_waits_in_a_batch_that_nobody_has_open_is_served_all_the_same() -> None:
    assert ends(waiting(1, batch=7), LISTENS) == ends(waiting(1), LISTENS)
    assert ends(waiting(1, batch=7), replace(LISTENS, batch=7, taken=1)) == ends(waiting(1), LISTENS)


RATED = 15 + 25
"""Seconds for one alone, once it is transcribed and the models are swapped."""


def last_of(line: list[LiveTask], *nodes: NodeState, **how: float) -> float:
    return max(ends(line, *nodes, **how).values())


def test_who_comes_while_a_batch_is_transcribed_joins_it_as_long_as_it_has_places() -> None:
    ninth, tenth = (replace(each, due_in=5.0) for each in waiting(10)[8:])
    all_at_once = 10 * 10 + SWAP + 15 + 10 * 25
    assert last_of([*waiting(9), tenth], LISTENS) == all_at_once
    assert last_of([*waiting(8), ninth, tenth], LISTENS) == all_at_once
    eleventh = LiveTask(11, STEPS, turn=11, waited=60.0, due_in=5.0)
    found = ends([*waiting(10), eleventh], LISTENS)
    assert found.pop(11) == all_at_once + SWAP + 10 + SWAP + RATED
    assert max(found.values()) == all_at_once


def test_who_comes_while_the_last_of_a_batch_is_transcribed_joins_it_though_evaluation_has_work() -> None:
    late = LiveTask(3, STEPS, turn=3, waited=60.0, due_in=15.0)
    assert last_of([*waiting(2), late], LISTENS) == 3 * 10 + SWAP + 15 + 3 * 25


def test_what_comes_while_the_last_is_evaluated_is_evaluated_beside_it_though_uploads_wait() -> None:
    rates, late = LiveTask(8, STEPS[2:], turn=8, node="n"), LiveTask(9, STEPS[2:], turn=9, due_in=10.0)
    found = ends([*waiting(1), rates, late], RATES, slots=2)
    assert found == {8: 25, 9: 10 + 25, 1: 35 + SWAP + 10 + SWAP + RATED}


@pytest.mark.parametrize(("due_in", "end"), [(20.0, 20 + 10), (26.0, 100 + 10)])
def test_an_upload_waits_for_others_only_where_the_speech_model_is_not_kept_loaded(due_in: float, end: float) -> None:
    limits = replace(LIMITS, batch_max_wait_seconds=100, idle_unload_seconds=15)
    line = [LiveTask(1, STEPS[:1], turn=1), LiveTask(2, STEPS[:1], turn=2, due_in=due_in)]
    found = simulate(line, [LISTENS], replace(lab(), limits=limits))
    assert found[1].at == 10
    assert found[2].at == pytest.approx(end, abs=0.1)


def test_an_open_batch_of_which_nothing_waits_any_more_is_closed_for_the_next_one() -> None:
    assert last_of(waiting(1), replace(LISTENS, batch=7, taken=10)) == 10 + SWAP + RATED


def test_what_needs_no_batch_is_listened_to_beside_one_before_anything_is_evaluated() -> None:
    alone = lab()
    captions = Lane("captions", ("caption",), 1, STT, pipeline="captions")
    both = replace(alone, lanes=(*alone.lanes, captions), paces={**alone.paces, "caption": Pace(Duration(5.0))})
    line = [
        *waiting(1, batch=7),
        LiveTask(8, (StageStep("caption", STT, 3),), turn=8, pipeline="captions"),
        LiveTask(9, STEPS[2:], turn=9),
    ]
    found = simulate(line, [replace(LISTENS, batch=7, taken=1)], both)
    assert {task: moment.at for task, moment in found.items()} == {8: 5, 9: 10 + SWAP + 25, 1: 10 + SWAP + 25 + 25}
    (end,) = simulate(line[1:2], [IDLE], both).values()
    assert end.at == SWAP + 5


@pytest.mark.parametrize("size", [1, 2, 3])
def test_batches_of_any_size_are_filled_before_they_are_evaluated(size: int) -> None:
    one = size * 10 + SWAP + 15 + size * 25
    assert last_of(waiting(size), LISTENS, batch_size=size) == one
    assert last_of(waiting(2 * size), LISTENS, batch_size=size) == 2 * one + SWAP
    late = LiveTask(99, STEPS, turn=99, waited=60.0, due_in=5.0)
    assert last_of([*waiting(size), late], LISTENS, batch_size=size) == one + SWAP + 10 + SWAP + RATED


def test_what_failed_keeps_its_place_in_a_batch() -> None:
    line = [*waiting(1, batch=7), *[replace(each, task=each.task + 10, turn=each.turn + 10) for each in waiting(2)]]
    first = 2 * 10 + SWAP + 15 + 2 * 25
    assert last_of(line, replace(LISTENS, batch=7, taken=9)) == first + SWAP + 10 + SWAP + RATED
    assert last_of(line, replace(LISTENS, batch=7, taken=8)) == 3 * 10 + SWAP + 15 + 3 * 25


def test_the_places_of_a_batch_that_was_closed_are_not_counted_for_the_next_one() -> None:
    later = [LiveTask(10 + n, STEPS, turn=10 + n, waited=60.0, due_in=30.0) for n in range(10)]
    first = 2 * 10 + SWAP + 15 + 2 * 25
    found = ends([*waiting(2, batch=7), *later], replace(LISTENS, batch=7, taken=2))
    assert max(found.values()) == first + SWAP + 10 * 10 + SWAP + 15 + 10 * 25
    few = [*waiting(1, batch=7), *later[:2]]
    first = 10 + SWAP + 15 + 25
    assert last_of(few, replace(LISTENS, batch=7, taken=1), batch_size=2) == first + SWAP + 2 * 10 + SWAP + 15 + 2 * 25


def test_an_open_batch_that_a_person_interrupts_is_closed_and_its_uploads_join_the_next_one() -> None:
    line = [
        *waiting(2, batch=7),
        *[LiveTask(10 + n, STEPS, turn=10 + n, waited=60.0) for n in range(5)],
        LiveTask(20, STEPS[2:], turn=20),
    ]
    found = ends(line, replace(LISTENS, batch=7, taken=10, wanted=EVAL, wanted_for=1.0))
    assert found.pop(20) == SWAP + 25
    assert max(found.values()) == SWAP + 25 + SWAP + 7 * 10 + SWAP + 15 + 7 * 25
    assert sorted(found, key=lambda task: found[task]) == [1, 2, 10, 11, 12, 13, 14]


def test_an_open_batch_that_a_person_interrupts_is_transcribed_by_another_node() -> None:
    held = replace(LISTENS, batch=7, taken=2, wanted=EVAL, wanted_for=1000.0)
    rated = LiveTask(20, STEPS[2:], turn=20)
    assert ends([*waiting(2, batch=7), rated], held, replace(IDLE, name="m")) == {
        20: SWAP + 25,
        # The other one had loaded evaluation for the rating that the first one took.
        1: 2 * SWAP + 10 + 15 + 25,
        2: 2 * SWAP + 2 * 10 + SWAP + 15 + 25,
    }


def test_while_a_person_wants_uploads_transcribed_batch_after_batch_is() -> None:
    found = ends(waiting(4), replace(LISTENS, wanted=STT, wanted_for=1000.0), batch_size=2)
    transcribed = 4 * 10 + SWAP  # nothing is left to transcribe: then the wish is over, whatever its time
    assert found == {n: transcribed + 15 + n * 25 for n in (1, 2, 3, 4)}
    assert found != ends(waiting(4), LISTENS, batch_size=2)


@pytest.mark.parametrize("node", [LISTENS, RATES])
@pytest.mark.parametrize("wanted", [STT, EVAL])
def test_a_wish_that_keeps_others_from_working_changes_no_forecast(node: NodeState, wanted: PhaseName) -> None:
    held = ends(waiting(4), replace(node, wanted=wanted, wanted_for=100.0))
    assert held == ends(waiting(4), node)
    assert sorted(held) == [1, 2, 3, 4]


def test_a_phase_that_was_entered_for_uploads_takes_them_though_evaluation_has_work_again() -> None:
    comes = LiveTask(9, STEPS[2:], turn=9, due_in=2.0)
    found = ends([*waiting(1), comes], IDLE)
    assert found == {9: SWAP + 10 + SWAP + 25, 1: SWAP + 10 + SWAP + 2 * 25}  # extracted while the other one is rated


def in_order(line: list[LiveTask], setup: LabSetup, node: NodeState = RATES) -> list[int]:
    found = simulate(line, [node], setup)
    return sorted(found, key=lambda task: found[task].at)


def test_the_first_batch_comes_first_and_what_is_in_none_last() -> None:
    line = [LiveTask(1, STEPS[2:], turn=1), LiveTask(2, STEPS[2:], 2, batch=5), LiveTask(3, STEPS[2:], 3, batch=4)]
    assert in_order(line, lab()) == [3, 2, 1]


def test_of_one_batch_the_first_stage_comes_first_and_of_one_stage_who_is_next_in_turn() -> None:
    """Where one engine serves both stages, all forms are extracted and then all are rated."""
    both = replace(lab(), lanes=(lab().lanes[0], Lane("llm", ("extract", "rate"), 1)))
    line = [LiveTask(1, STEPS[2:], 0), LiveTask(2, STEPS[1:2], turn=2), LiveTask(3, STEPS[1:2], turn=1)]
    assert in_order(line, both) == [3, 2, 1]


def test_a_batch_whose_evaluation_was_interrupted_is_rated_before_the_next_ones_forms_are_extracted() -> None:
    both = replace(
        lab(batch_size=2),
        lanes=(lab().lanes[0], Lane("llm", ("extract", "rate"), 1)),
        limits=replace(LIMITS, batch_size=2, max_dwell_seconds=20),
    )
    found = {task: moment.at for task, moment in simulate(waiting(4), [LISTENS], both).items()}
    assert found == {1: 110, 2: 135, 3: 190, 4: 215}


def test_new_batches_come_after_those_that_there_are() -> None:
    """Even if they are transcribed on another node while those still wait for their ratings."""
    older = [replace(each, task=10 + each.task, batch=3) for each in waiting(6, stage=2)]
    found = ends([*waiting(1), *older], replace(LISTENS, name="m", ready_in=1.0), RATES)
    assert found[1] == max(found.values())


def test_of_models_that_take_turns_the_one_begins_whose_work_has_waited_for_a_whole_phase() -> None:
    def line(waited: float) -> list[LiveTask]:
        return [LiveTask(1, STEPS[1:2], 1, waited=60.0), LiveTask(2, STEPS[2:], 2, waited=waited)]

    assert ends(line(599.0), RATES, turns=True) == {1: 15, 2: 15 + SWAP + 25}
    assert ends(line(600.0), RATES, turns=True) == {2: 25, 1: 25 + SWAP + 15}


def test_two_nodes_share_the_work() -> None:
    one, two = ends(waiting(20), IDLE), ends(waiting(20), IDLE, NodeState("m", None))
    assert max(two.values()) < max(one.values()) * 0.7


def test_without_a_node_or_a_pace_nothing_is_known() -> None:
    assert simulate(waiting(2), [], lab()) == simulate([], [RATES], lab()) == {}
    assert simulate([replace(each, node="gone") for each in waiting(1)], [], lab()) == {}
    unknown = LiveTask(9, (StageStep("summarise", EVAL, 3),), turn=0)
    assert simulate([*waiting(2), unknown], [RATES], lab()) == {}  # of the same pipeline: it is ahead of somebody


def test_a_pipeline_of_unknown_pace_leaves_the_forecast_of_the_others_as_it_is() -> None:
    unknown = LiveTask(9, (StageStep("summarise", EVAL, 3),), turn=0, pipeline="summary")
    assert simulate([*waiting(2), unknown], [RATES], lab()) == simulate(waiting(2), [RATES], lab())


def test_a_pipeline_that_shares_an_engine_is_simulated_with_its_own_slots_and_priority() -> None:
    alone = lab()
    coach = Lane("rate", ("answer",), 1, pipeline="coach", priority=1)
    shared = replace(alone, lanes=(*alone.lanes, coach), paces={**alone.paces, "answer": Pace(Duration(5.0))})
    asked = [LiveTask(100 + n, (StageStep("answer", EVAL, 3),), turn=n, pipeline="coach") for n in range(7)]
    found = simulate([*waiting(2, stage=2), *asked], [RATES], shared)
    # Three answers, then a rating's turn.
    assert sorted(found, key=lambda task: found[task].at) == [100, 101, 102, 1, 103, 104, 105, 2, 106]
    assert (found[102].at, found[1].at, found[106].at) == (15, 15 + 25, 2 * (15 + 25) + 5)


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


def asked(number: int) -> list[LiveTask]:
    return [LiveTask(1000 + n, (StageStep("answer", EVAL, 3),), turn=0, pipeline="coach") for n in range(number)]


def with_coach(setup: LabSetup, seconds: float, *, slots: int, one_in: int = SlotShare().one_in) -> LabSetup:
    """As the coach is registered."""
    coach = Lane("rate", ("answer",), slots, pipeline="coach", max_slots=5, share=SlotShare(1, one_in))
    return replace(setup, lanes=(*setup.lanes, coach), paces={**setup.paces, "answer": Pace(Duration(seconds))})


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("seconds", [6.0, 12.0])
def test_asking_prolongs_a_class_of_thirty_by_five_per_cent_at_most_and_is_answered_all_along(
    slots: int, seconds: float
) -> None:
    """A hundred questions wait from the start. An answer of 150 tokens takes a quarter to a half of a rating's time."""
    alone = last_of(waiting(30), IDLE, slots=slots)
    found = simulate([*waiting(30), *asked(100)], [IDLE], with_coach(lab(slots=slots), seconds, slots=slots))
    assert len(found) == 130
    class_ends = max(found[task].at for task in range(1, 31))
    assert class_ends <= 1.05 * alone
    answers = sorted(found[task].at for task in found if task >= 1000)
    assert sum(at <= class_ends for at in answers) >= 30 // (SlotShare().one_in + slots) - 1


def test_without_its_share_the_same_questions_would_prolong_the_class_far_more() -> None:
    """What the bound above is worth."""
    setup = with_coach(lab(slots=3), 12.0, slots=3)
    greedy = replace(setup, lanes=(*setup.lanes[:-1], replace(setup.lanes[-1], share=None, priority=1)))
    found = simulate([*waiting(30), *asked(100)], [IDLE], greedy)
    assert max(found[task].at for task in range(1, 31)) > 1.2 * last_of(waiting(30), IDLE, slots=3)
