"""The oracle of `python -m tests.chaos coach` sees what would be wrong; see docs/proof.md."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.askers import AskedQuestion, wrong
from tests.doubles import words

MARK = "mark7x1x"
TEXT = words.answer(f"What about {MARK}?", None, 0)
ASKED = AskedQuestion(MARK, answer=TEXT)
RIGHT = (TEXT, "answered", 1, "done", "", ["interrupted", "succeeded"])


def row(**changes: Any) -> tuple[Any, ...]:
    names = ("answer", "end", "restarts", "state", "error", "outcomes")
    return tuple((dict(zip(names, RIGHT, strict=True)) | changes).values())


def test_nothing_is_wrong_with_one_whole_answer_that_was_read() -> None:
    assert list(wrong(ASKED, [RIGHT])) == []


def test_two_deaths_on_a_question_and_a_stream_that_was_cut_off_are_no_loss() -> None:
    poisoned = row(state="failed", error="poison", outcomes=["crashed", "crashed"], end="")
    assert list(wrong(ASKED, [poisoned])) == []
    assert list(wrong(replace(ASKED, streamed=True), [row(state="cancelled", outcomes=["cancelled"], end="")])) == []


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([], "is there 0 times"),
        ([RIGHT, RIGHT], "is there 2 times"),
        ([row(state="running", outcomes=[""], end="")], "is running "),
        ([row(state="cancelled", outcomes=["cancelled"], end="")], "is cancelled "),
        ([row(state="failed", error="unexpected", outcomes=["permanent"], end="")], "is failed unexpected"),
        ([row(outcomes=["succeeded", "succeeded"])], "is done after ['succeeded', 'succeeded']"),
    ],
)
def test_what_is_lost_doubled_or_for_ever_being_answered_is_seen(rows: list[tuple[Any, ...]], problem: str) -> None:
    assert problem in list(wrong(ASKED, rows))


def test_anothers_answer_is_seen_in_the_row_and_with_its_reader() -> None:
    others = TEXT.replace(MARK, "mark8x1x")
    assert any(each.startswith("was answered") for each in wrong(ASKED, [row(answer=others)]))
    assert any("has read" in each for each in wrong(replace(ASKED, answer=others), [RIGHT]))
