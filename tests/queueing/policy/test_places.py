"""The place on the way to a result; `tests/chaos/machine.py` checks the same for the queue's verbs on real tables."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import islice
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from queueing.policy.places import Line, LineEntry, PutAhead

STAGES: Final = ("transcribe", "extract", "rate")


def entry(
    task: int, *, turn: int = 0, batch: int | None = None, stage: str = STAGES[0], again: bool = False
) -> LineEntry:
    return LineEntry(task, "evaluation", stage, turn, batch, again=again)


def running(one: LineEntry) -> LineEntry:
    return replace(one, runs=True, finishes=one.stage == STAGES[-1])


@st.composite
def lines(draw: st.DrawFn) -> list[LineEntry]:
    count = draw(st.integers(1, 8))
    found = []
    for task in range(1, count + 1):
        stage = draw(st.sampled_from(STAGES))
        batch = draw(st.integers(1, 3)) if stage != STAGES[0] else draw(st.none() | st.integers(1, 3))
        made = entry(task, turn=draw(st.integers(0, 3)), batch=batch, stage=stage, again=draw(st.booleans()))
        found.append(running(made) if batch and draw(st.booleans()) else made)
    return found


def risen(before: list[LineEntry], after: list[LineEntry]) -> list[int]:
    """Whose place rose."""
    was, now = Line(before).positions, Line(after).positions
    return [task for task, place in now.items() if place > was.get(task, place)]


def change(line: list[LineEntry], which: int, **changes: object) -> list[LineEntry]:
    one = line[which % len(line)]
    return [replace(each, **changes) if each is one else each for each in line]  # type: ignore[arg-type]


@given(lines())
def test_everybody_has_a_place_of_their_own_and_the_last_step_is_place_0(line: list[LineEntry]) -> None:
    places = Line(line).positions
    finishing = {each.task for each in line if each.finishes}
    assert {task for task, place in places.items() if place == 0} == finishing
    assert sorted(place for place in places.values() if place) == [*range(1, len(line) - len(finishing) + 1)]
    assert Line(line).length() == len(line) - len(finishing)


@given(lines(), st.integers(0, 7))
def test_no_step_on_the_way_raises_a_place(line: list[LineEntry], which: int) -> None:
    """From "1st" to "being worked on" to "7th of 7" was three steps of one video."""
    one = line[which % len(line)]
    gone = [each for each in line if each is not one]
    assert not risen(line, gone)  # it got its result, failed for good, was cancelled or deleted
    if not one.runs:
        assert not risen(line, [*gone, running(one)])
    elif not one.finishes:
        following = STAGES[STAGES.index(one.stage) + 1]
        assert not risen(line, change(line, which, stage=following, runs=False))
        assert not risen(line, change(line, which, runs=False))  # interrupted, without losing its batch


@given(lines(), st.integers(0, 7), st.integers(0, 3), st.none() | st.integers(1, 3))
def test_who_is_put_ahead_is_named_to_everybody_behind(
    line: list[LineEntry], which: int, turn: int, batch: int | None
) -> None:
    newcomer = entry(len(line) + 1, turn=turn, batch=batch)
    after = [*line, newcomer]
    assert all(Line(after).put_ahead(task) for task in risen(line, after))

    one = line[which % len(line)]
    came_back = change(line, which, runs=False, finishes=False, again=True)  # from its last step, or a failure
    for before in (line, [each for each in line if each is not one]):
        assert all(Line(came_back).put_ahead(task) or task == one.task for task in risen(before, came_back))

    left = change(line, which, runs=False, finishes=False, again=True, batch=None)  # its batch, for a later one
    assert set(risen(line, left)) <= {one.task, *(each.task for each in line if Line(left).put_ahead(each.task))}


@given(lines(), st.integers(0, 7), st.integers(1, 3))
def test_who_gets_into_a_batch_before_their_turn_is_named(line: list[LineEntry], which: int, batch: int) -> None:
    """As one does that somebody had to wait for, because that one was not due."""
    one = line[which % len(line)]
    waiting = [each for each in line if each.batch is None]
    if one not in waiting or one.key == min(each.key for each in waiting):
        return
    after = change(waiting, waiting.index(one), batch=batch)
    assert all(Line(after).put_ahead(task) for task in risen(waiting, after))


@given(lines(), st.integers(0, 7), st.integers(-9, 9))
def test_whoever_is_passed_by_somebody_put_first_is_told_why(line: list[LineEntry], which: int, turn: int) -> None:
    one = line[which % len(line)]
    after = change(line, which, turn=turn, own_turn=one.turn, reason="a bus")
    found = {task: Line(after).put_ahead(task) for task in risen(line, after)}
    assert all(
        said.reasons == ("a bus",) or (one.again and said.again) for task, said in found.items() if task != one.task
    )
    assert one.task not in found or found[one.task].put_last == "a bus"


def test_each_kind_of_being_put_ahead_is_counted_once() -> None:
    line = [
        entry(1, turn=5),  # who asks
        entry(2, turn=0),  # a newcomer with fewer in the line
        entry(3, turn=9, batch=4, again=True),
        entry(4, turn=9, batch=4),
        entry(5, turn=6),  # behind
        replace(entry(7, turn=-5), own_turn=8, reason="a bus"),
        replace(entry(8, turn=-4), own_turn=5, reason="a bus"),
        replace(entry(9, turn=-3), own_turn=4, reason="it would come first by its own turn"),
        replace(entry(6, turn=0), pipeline="summary"),
    ]
    assert Line(line).put_ahead(1) == PutAhead(again=1, newcomers=2, grouped=1, favoured=2, reasons=("a bus",))
    assert not Line(line).put_ahead(3)
    assert not Line(line).put_ahead(77)


def test_pipelines_have_places_of_their_own() -> None:
    line = Line([entry(1), replace(entry(2), pipeline="summary"), entry(3)])
    assert line.positions == {1: 1, 2: 1, 3: 2}
    assert line.of("summary").positions == {2: 1}


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1 << 32))
def test_of_1005_askers_1000_wait_and_each_knows_their_place_while_others_come_and_go(seed: int) -> None:
    """Five are answered at a time. A place is never wrong, never rises, and ends at 0."""
    chance = random.Random(seed)
    line: list[int] = []
    answered: list[int] = []
    seen: dict[int, int] = {}
    askers = iter(range(1005))

    line += islice(askers, 1000)
    for _ in range(40):
        match chance.choice(["claim", "end", "leave", "come"]):
            case "claim" if len(answered) < 5:
                answered.append(line.pop(0))
            case "end" if answered:
                answered.remove(chance.choice(answered))
            case "leave":
                line.remove(chance.choice(line))
            case "come" if len(line) < 1000:
                line += [one for one in [next(askers, None)] if one is not None]
        entries = [LineEntry(task, "coach", "answer", turn=0) for task in line]
        entries += [LineEntry(task, "coach", "answer", turn=0, runs=True, finishes=True) for task in answered]
        chance.shuffle(entries)
        places = Line(entries).positions
        assert places == {**dict.fromkeys(answered, 0), **{task: n for n, task in enumerate(line, start=1)}}
        assert all(places[task] <= seen.get(task, 1000) for task in places)
        seen |= places
