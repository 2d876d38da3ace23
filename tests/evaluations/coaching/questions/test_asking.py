"""Who may ask what, and the life of a question in the line."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from unittest.mock import patch

import pytest
from django.conf import LazySettings

from evaluations import actions
from evaluations.coaching.questions import asking, line
from evaluations.coaching.questions.pipeline import pipeline
from evaluations.errors.refusals import RefusedError, refusal
from evaluations.models import Classroom, CoachQuestion, Submission, Transcript
from queueing import pipelines
from queueing.models import Overflow, Task
from tests.conftest import Cast

Ask = Callable[..., CoachQuestion]
Claim = Callable[[CoachQuestion], Task]


def refused(ask: Callable[[], object]) -> RefusedError:
    with pytest.raises(RefusedError) as found:
        ask()
    return found.value


def test_a_question_goes_through_the_line_and_every_place_is_told(ask: Ask, claim: Claim, cast: Cast) -> None:
    """Through a whole life: third, second, first, being answered, ended; and unknown to everybody else."""
    before = [ask(), ask()]
    question = ask()

    def place() -> int:
        return line.position(question.pk, cast.ada.pk)

    seen = [place()]
    for one in before:
        claim(one).advance(took=0)
        seen.append(place())
    task = claim(question)
    seen.append(place())
    task.advance(took=0)
    assert [*seen, place()] == [3, 2, 1, 0, line.ENDED]
    assert line.position(question.pk, cast.bo.pk) == line.position(uuid.uuid4(), cast.ada.pk) == line.UNKNOWN


@pytest.mark.parametrize("text", ["", " \n", "\0", "a" * 2001])
def test_what_is_no_question_is_refused(ask: Ask, text: str) -> None:
    error = refused(lambda: ask(text))
    assert (error.status, error.code) == (422, "no_question")
    assert not CoachQuestion.objects.exists()


def test_the_longest_question_is_taken_whole(ask: Ask) -> None:
    assert len(ask("a" * 2000).text) == 2000


def test_a_class_without_a_coach_and_a_video_without_a_transcript_are_refused(ask: Ask, submission: Submission) -> None:
    Transcript.objects.all().delete()
    assert refused(ask).code == "nothing_to_ask_about"
    Classroom.objects.update(has_coach=False)
    submission.classroom.refresh_from_db()
    assert refused(ask).code == "coach_off"


def test_a_student_has_three_waiting_beside_the_one_that_is_answered(ask: Ask, claim: Claim) -> None:
    first = ask()
    claim(first)
    for _ in range(3):
        ask()
    error = refused(ask)
    assert (error.status, error.code) == (409, "questions_waiting")
    assert CoachQuestion.objects.count() == 4


def test_a_full_line_says_how_long_to_wait_and_counts_who_was_refused(
    ask: Ask, submission: Submission, cast: Cast, settings: LazySettings
) -> None:
    settings.COACH_QUEUE = 1
    with patch.dict(pipelines._registry, {"coach": pipeline()}):
        asking.ask(submission=submission, student=cast.bo, text="Why?", language="en")
        error = refused(ask)
    assert (error.status, error.code) == (503, "coach_full")
    assert int(error.headers["Retry-After"]) == 2 * line.SUPPOSED_SECONDS
    assert error.detail == "Estimated wait: less than a minute."
    assert b'"estimate": {"low_seconds": 20.0, "high_seconds": 40.0}' in refusal(error).content
    assert Overflow.objects.get().refused == 1
    assert CoachQuestion.objects.count() == 1


def test_questions_of_a_class_with_a_higher_priority_come_first(ask: Ask, submission: Submission, cast: Cast) -> None:
    first = ask()
    submission.classroom.coach_priority = 1
    urgent = asking.ask(submission=submission, student=cast.bo, text="Why?", language="en")
    read = line.read()
    assert [read.place(urgent.task_id), read.place(first.task_id)] == [1, 2]


def test_a_question_is_deleted_with_its_submission(ask: Ask, claim: Claim, submission: Submission, cast: Cast) -> None:
    claim(ask())
    ask()
    assert actions.delete(submission=submission, by=cast.ada)
    assert not CoachQuestion.objects.exists()
    assert not Task.objects.exists()


def test_a_question_can_be_stopped_once(ask: Ask, claim: Claim, cast: Cast) -> None:
    question = ask()
    claim(question)
    assert asking.stop(question, by=cast.ada)
    assert not asking.stop(question, by=cast.ada)
    assert line.position(question.pk, cast.ada.pk) == line.ENDED


def test_a_model_whose_words_mean_nothing_is_no_coach(ask: Ask, settings: LazySettings) -> None:
    settings.LLM_CAN_JUDGE = False
    assert refused(ask).code == "coach_off"
