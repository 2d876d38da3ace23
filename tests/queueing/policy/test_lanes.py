"""Who is next, without a clock or a database."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from queueing.pipelines import SlotShare
from queueing.policy.lanes import MAX_PASSED_OVER, Lane, next_room, rooms, whose_turn
from queueing.policy.phases import Demand

EXTRACT, RATE = Lane("mistral", ("extract",), 3), Lane("llama", ("rate",), 2)
LANES = [EXTRACT, RATE]


def test_stages_with_engines_of_their_own_work_side_by_side() -> None:
    assert rooms(LANES, {"extract": 3, "rate": 1}) == [(RATE, 1)]
    assert rooms(LANES, {}) == [(EXTRACT, 3), (RATE, 2)]


def test_of_engines_that_take_turns_only_the_one_that_is_loaded_may_take_work() -> None:
    assert rooms(LANES, {"rate": 1}, only="llama") == [(RATE, 1)]
    assert rooms(LANES, {"extract": 3}, only="mistral") == []
    assert rooms(LANES, {}, only="mistral") == [(EXTRACT, 3)]


def turn(demands: dict[str, Demand], holder: str | None, held_seconds: float = 10) -> str:
    engine = whose_turn(LANES, demands, holder, held_seconds=held_seconds, max_dwell_seconds=600)
    return next(lane for lane in LANES if lane.engine == engine).stages[0]


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


def test_an_engine_that_is_loaded_but_not_asked_for_any_more_gives_way() -> None:
    """Its lane went with a change of settings."""
    waiting = {"rate": Demand(due=1)}
    assert whose_turn(LANES, waiting, "phi", held_seconds=1, max_dwell_seconds=600) == "llama"
    assert whose_turn(LANES, {}, "phi", held_seconds=1, max_dwell_seconds=600) == "mistral"


def test_what_only_runs_elsewhere_takes_no_turn() -> None:
    assert turn({"rate": Demand(running=1, oldest_seconds=900)}, None) == "extract"


def test_an_engine_has_waited_as_long_as_the_oldest_of_its_work() -> None:
    lanes = [Lane("mistral", ("extract",), 1), Lane("llama", ("rate", "answer"), 1), Lane("llama", ("ask",), 1)]
    demands = {"extract": Demand(due=1, oldest_seconds=500)}
    for stage in ("rate", "answer", "ask"):
        waited = {**demands, stage: Demand(due=1, oldest_seconds=600)}
        assert whose_turn(lanes, waited, None, held_seconds=0, max_dwell_seconds=600) == "llama"


COACH = Lane("llama", ("answer",), 3, pipeline="coach", priority=1, max_slots=1)
CLASS = Lane("llama", ("rate",), 3, pipeline="evaluation")


def test_pipelines_share_the_slots_of_their_engine_and_each_keeps_to_its_own() -> None:
    assert rooms([CLASS, COACH], {}) == [(CLASS, 3), (COACH, 1)]
    assert rooms([CLASS, COACH], {"answer": 1}) == [(CLASS, 2)]
    assert rooms([CLASS, COACH], {"rate": 2}) == [(CLASS, 1), (COACH, 1)]
    assert rooms([CLASS, COACH], {"rate": 3}) == []


def test_a_lane_never_has_more_slots_than_its_engine() -> None:
    assert rooms([Lane("llama", ("answer",), 2, max_slots=5)], {})[0][1] == 2


def test_a_free_slot_goes_to_the_higher_priority_and_to_the_first_of_equals() -> None:
    both = [(CLASS, 1), (COACH, 1)]
    assert next_room(both, {}) == (COACH, 1)
    assert next_room([(CLASS, 1), (RATE, 1)], {}) == (CLASS, 1)
    assert next_room([], {}) is None


def test_who_was_passed_over_often_enough_comes_before_any_priority() -> None:
    both = [(CLASS, 1), (COACH, 1)]
    assert next_room(both, {CLASS: MAX_PASSED_OVER - 1}) == (COACH, 1)
    assert next_room(both, {CLASS: MAX_PASSED_OVER}) == (CLASS, 1)
    other = Lane("llama", ("summarise",), 3, pipeline="summary")
    assert next_room([*both, (other, 1)], {CLASS: 4, other: 5}) == (other, 1)


def test_two_models_of_two_pipelines_take_turns_like_two_stages_of_one() -> None:
    lanes = [Lane("mistral", ("extract",), 1), Lane("llama", ("answer",), 1, pipeline="coach", priority=9)]
    stream = {"extract": Demand(due=5), "answer": Demand(due=1)}
    assert whose_turn(lanes, stream, "mistral", held_seconds=599, max_dwell_seconds=600) == "mistral"
    assert whose_turn(lanes, stream, "mistral", held_seconds=600, max_dwell_seconds=600) == "llama"


pipelines = st.lists(st.tuples(st.integers(-2, 2), st.none() | st.integers(1, 3)), min_size=2, max_size=4)


@given(pipelines, st.integers(1, 3), st.integers(0, 1 << 32))
def test_no_pipeline_waits_for_ever_for_a_slot_whatever_the_others_priorities(
    kinds: list[tuple[int, int | None]], slots: int, seed: int
) -> None:
    """All of them always have work, and tasks end in any order: each gets a slot before so many others have."""
    chance = random.Random(seed)
    lanes = [
        Lane("llama", (f"stage{number}",), slots, pipeline=str(number), priority=priority, max_slots=most)
        for number, (priority, most) in enumerate(kinds)
    ]
    running: list[str] = []
    passed_over: Counter[Lane] = Counter()
    since: Counter[Lane] = Counter()  # tasks of others since each lane's last one, while it had room
    for _ in range(300):
        while found := rooms(lanes, Counter(running)):
            taken = next_room(found, passed_over)
            assert taken is not None
            running.append(taken[0].stages[0])
            passed_over[taken[0]] = since[taken[0]] = 0
            for lane, _room in found:
                if lane != taken[0]:
                    passed_over[lane] += 1
                    since[lane] += 1
                    assert since[lane] <= MAX_PASSED_OVER + len(lanes) - 2 + 1
        assert len(running) <= slots
        running.pop(chance.randrange(len(running)))


GUEST = Lane("llama", ("answer",), 3, pipeline="coach", max_slots=5, share=SlotShare(slots=1, one_in=4))


def test_a_lane_with_a_share_has_all_slots_while_the_others_have_nothing_to_do() -> None:
    assert rooms([CLASS, GUEST], {}, empty=[CLASS]) == [(GUEST, 3)]
    assert rooms([CLASS, GUEST], {"answer": 2}, empty=[CLASS]) == [(GUEST, 1)]


def test_beside_others_at_work_it_has_its_share_whichever_engine_they_use() -> None:
    assert rooms([CLASS, GUEST], {}) == [(CLASS, 3), (GUEST, 1)]
    assert rooms([CLASS, GUEST], {"rate": 1}, empty=[CLASS]) == [(GUEST, 1)]
    assert rooms([EXTRACT, CLASS, GUEST], {"extract": 1}, empty=[EXTRACT, CLASS]) == [(GUEST, 1)]
    assert rooms([CLASS, GUEST], {"answer": 1}) == [(CLASS, 2)]


def test_it_yields_to_its_own_priority_and_higher_ones_only() -> None:
    low = replace(CLASS, priority=-1)
    assert rooms([low, GUEST], {}) == [(low, 3), (GUEST, 3)]
    assert next_room([(low, 3), (GUEST, 3)], {}) == (GUEST, 3)
    assert next_room([(CLASS, 3), (GUEST, 1)], {}) == (CLASS, 3)


def test_it_comes_first_after_so_many_tasks_of_the_others() -> None:
    both = [(CLASS, 1), (GUEST, 1)]
    assert next_room(both, {GUEST: 3}) == (CLASS, 1)
    assert next_room(both, {GUEST: 4}) == (GUEST, 1)


@given(st.integers(1, 4), st.integers(1, 15), st.integers(0, 1 << 32))
def test_while_both_have_work_a_share_is_what_it_gets_and_no_more(slots: int, one_in: int, seed: int) -> None:
    """Tasks end in any order. Of any `one_in + 1` that begin at most one is its."""
    chance = random.Random(seed)
    rate, answer = replace(CLASS, slots=slots), replace(GUEST, slots=slots, share=SlotShare(1, one_in))
    running: list[str] = []
    begun: list[str] = []
    passed_over: Counter[Lane] = Counter()
    for _ in range(200):
        while found := rooms([rate, answer], Counter(running)):
            taken = next_room(found, passed_over)
            assert taken is not None
            begun.append(taken[0].stages[0])
            running.append(begun[-1])
            passed_over[taken[0]] = 0
            passed_over.update(lane for lane, _room in found if lane != taken[0])
        assert running.count("answer") <= 1
        running.pop(0 if "answer" in running[:1] else chance.randrange(len(running)))
    for start in range(len(begun) - one_in):
        assert begun[start : start + one_in + 1].count("answer") <= 1
    assert begun.count("answer") >= len(begun) // (one_in + slots + 1) - 1


def test_work_with_a_share_holds_no_turn_that_others_wait_for() -> None:
    lanes = [EXTRACT, CLASS, replace(GUEST, engine="llama")]
    asked = {"extract": Demand(due=1), "answer": Demand(due=9)}
    how = {"held_seconds": 10.0, "max_dwell_seconds": 600.0}
    assert whose_turn(lanes, asked, "llama", **how) == "mistral"
    assert whose_turn(lanes, asked, "mistral", **how) == "mistral"
    assert whose_turn(lanes, {"answer": Demand(due=9)}, "mistral", **how) == "llama"
    assert whose_turn(lanes, {**asked, "rate": Demand(due=1)}, "llama", **how) == "llama"
