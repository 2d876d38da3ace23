from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from evaluations.errors import catalogue
from evaluations.pages.rows import timeline
from evaluations.pages.rows.timeline import SpanKind, lanes, spans, summary
from evaluations.stages.names import Stage
from queueing.models import Event
from queueing.states import TRANSITIONS, State
from tests.conftest import Cast
from tests.evaluations.material import claim, hand_in

BEGIN = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)

SIMPLE = [
    (0, "submit", "transcribe"),
    (60, "join", "transcribe"),
    (90, "claim", "transcribe"),
    (120, "advance", "extract"),
    (150, "claim", "extract"),
    (160, "retry_later", "extract"),
    (170, "claim", "extract"),
    (190, "advance", "rate"),
    (190, "claim", "rate"),
    (200, "finish", "rate"),
]


def events(changes: Sequence[tuple[float, str, str]], *, error: str = "invalid_answer") -> list[Event]:
    states = {"submit": State.QUEUED} | {verb: target for verb, (_, target) in TRANSITIONS.items()}
    return [
        Event(
            sequence=number,
            kind=kind,
            stage=stage,
            state=states[kind],
            at=BEGIN + timedelta(seconds=at),
            detail={"error_code": error} if kind in ("fail", "retry_later", "hand_back", "rescue") else {},
        )
        for number, (at, kind, stage) in enumerate(changes, start=1)
    ]


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def test_a_task_waits_and_is_worked_on_in_turn_with_its_failed_tries() -> None:
    found = spans(events(SIMPLE), at(1000))
    assert [(span.what, span.seconds, span.ending) for span in found] == [
        ("Waited for the transcription", 90, ""),
        ("Transcription", 30, "done"),
        ("Waited for the form", 30, ""),
        ("Form", 10, "The model’s answer made no sense; it was tried again"),
        ("Waited for the form", 10, ""),
        ("Form", 20, "done"),
        ("Waited for the rating", 0, ""),
        ("Rating", 10, "done"),
    ]
    assert [span.failed for span in found] == [False, False, False, True, False, False, False, False]
    assert summary(found) == "It waited for 2 min 10 s and was worked on for 1 min 10 s."


def test_the_bars_of_all_stages_share_one_clock() -> None:
    tracks = lanes(spans(events(SIMPLE), at(1000)))
    assert [(lane.title, lane.words) for lane in tracks] == [
        ("Transcription", "waited 1 min 30 s, worked 30 s"),
        ("Form", "waited 40 s, worked 30 s, 2 tries"),
        ("Rating", "worked 10 s"),
    ]
    transcription, form, _ = tracks
    assert [(bar.kind, bar.block.x, bar.block.width) for bar in transcription.bars] == [
        (SpanKind.WAITED, "0.0", "450.0"),
        (SpanKind.WORKED, "450.0", "150.0"),
    ]
    assert form.bars[0].block.x == "600.0"
    assert [bar.failed for bar in form.bars] == [False, True, False, False]


def test_what_goes_on_reaches_to_now() -> None:
    waits = spans(events(SIMPLE[:1]), at(30))
    assert [(span.took, span.ending) for span in waits] == [("30 s so far", "")]
    works = spans(events(SIMPLE[:3]), at(100))
    assert [(span.took, span.ending) for span in works] == [("1 min 30 s", ""), ("10 s so far", "goes on right now")]


def test_a_clock_that_runs_behind_makes_no_negative_time() -> None:
    assert spans(events(SIMPLE[:1]), at(-5))[0].seconds == 0


def test_a_task_that_stood_still_overnight_leaves_room_for_its_bars() -> None:
    stopped = [
        *SIMPLE[:3],
        (120, "fail", "transcribe"),
        (72_000, "retry", "transcribe"),
        (72_030, "claim", "transcribe"),
    ]
    found = spans(events(stopped, error="out_of_memory"), at(72_060))
    assert [span.kind for span in found] == ["waited", "worked", "rested", "waited", "worked"]
    assert found[1].ending == "The model ran out of memory"
    assert found[2].what.startswith("Stood still")
    (lane,) = lanes(found)
    assert [bar.block.width for bar in lane.bars] == ["500.0", "166.7", "166.7", "166.7"]
    assert lane.words == "waited 2 min, worked 1 min, 2 tries"


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("hand_back", f"{catalogue.explain('interrupted').title}; it was tried again"),
        ("rescue", f"{catalogue.explain('interrupted').title}; it was tried again"),
        ("requeue", "put back into the line by somebody"),
        ("cancel", "stopped by somebody"),
        ("fail", catalogue.explain("interrupted").title),
    ],
)
def test_every_way_in_which_work_ends_has_words(verb: str, words: str) -> None:
    found = spans(events([*SIMPLE[:3], (120, verb, "transcribe")], error="interrupted"), at(150))
    assert found[1].ending == words


def test_a_task_cancelled_while_it_waited_says_so() -> None:
    (wait,) = spans(events([SIMPLE[0], (5, "cancel", "transcribe")]), at(100))
    assert (wait.seconds, wait.ending) == (5, "stopped by somebody")


def test_nothing_told_yet_is_an_empty_timeline() -> None:
    assert (spans([], BEGIN), lanes([])) == ([], [])


def test_the_queue_writes_what_the_timeline_reads(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    for _ in Stage:
        claim(submission).advance(took=1.0)
    found = spans(list(submission.evaluation_task.events.order_by("sequence")), datetime.now(UTC))
    assert [(span.stage, span.kind) for span in found] == [
        (stage, kind) for stage in Stage for kind in list(SpanKind)[:2]
    ]
    assert [span.ending for span in found] == ["", "done"] * 3
    assert len(timeline.lanes(found)) == 3
