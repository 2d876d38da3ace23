"""The coach on the page of a result."""

from __future__ import annotations

import re

import pytest

from evaluations.coaching.questions import asking
from evaluations.models import CoachQuestion, Submission
from queueing.states import State
from tests.conftest import Cast
from tests.evaluations.material import HOSTILE, hand_in, write_results
from tests.evaluations.views.conftest import signed_in

HTMX = {"HX-Request": "true"}


@pytest.fixture
def submission(cast: Cast) -> Submission:
    found = hand_in(cast.ada, cast.classroom)
    write_results(found)
    return found


def test_a_question_is_asked_shown_in_line_and_stopped_without_a_script(cast: Cast, submission: Submission) -> None:
    ada = signed_in(cast.ada)
    address = f"/submissions/{submission.pk}/"
    assert "What can I do better next time?" in ada.get(address).content.decode()
    page = ada.post(f"{address}coach/ask", {"question": "Was I loud enough?"}, follow=True).content.decode()
    assert "Was I loud enough?" in page
    assert "Number 1 in line." in page
    question = CoachQuestion.objects.get()
    page = ada.post(f"/coach/{question.pk}/stop", follow=True).content.decode()
    assert "cancelled" in page
    assert question.task.__class__.objects.get(pk=question.task_id).state == State.CANCELLED


def test_an_answer_is_there_after_a_reload_in_its_middle_and_polled_until_it_ends(
    cast: Cast, submission: Submission
) -> None:
    question = asking.ask(submission=submission, student=cast.ada, text="Why?", language="en")
    CoachQuestion.objects.update(answer="You spoke")
    ada, address = signed_in(cast.ada), f"/submissions/{submission.pk}/coach/"
    page = ada.get(f"/submissions/{submission.pk}/").content.decode()
    assert "You spoke" in page
    state = re.search(r"coach/\?state=(\w+)", page)
    assert state
    assert ada.get(address, {"state": state[1]}).status_code == 204
    CoachQuestion.objects.update(answer="You spoke calmly.", end="answered")
    asking.stop(question, by=cast.ada)
    fragment = ada.get(address, {"state": state[1]}).content.decode()
    assert "You spoke calmly." in fragment
    assert "hx-get" not in fragment


def test_why_a_question_is_refused_is_said_beside_it_and_it_is_not_lost(cast: Cast, submission: Submission) -> None:
    ada = signed_in(cast.ada)
    for _ in range(3):
        asking.ask(submission=submission, student=cast.ada, text="Why?", language="en")
    panel = ada.post(f"/submissions/{submission.pk}/coach/ask", {"question": "And now?"}, headers=HTMX).content.decode()
    assert "Your other questions come first" in panel
    assert ">And now?</textarea>" in panel


def test_hostile_words_stay_words(cast: Cast, submission: Submission) -> None:
    asking.ask(submission=submission, student=cast.ada, text=HOSTILE, language="en")
    CoachQuestion.objects.update(answer=HOSTILE)
    page = signed_in(cast.ada).get(f"/submissions/{submission.pk}/").content.decode()
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_a_teacher_reads_and_asks_nothing_and_without_a_coach_nobody_does(cast: Cast, submission: Submission) -> None:
    asking.ask(submission=submission, student=cast.ada, text="Was I loud enough?", language="en")
    page = signed_in(cast.teacher).get(f"/submissions/{submission.pk}/").content.decode()
    assert "Was I loud enough?" in page
    assert "coach/ask" not in page
    assert (
        "Your teacher can read what you ask."
        in signed_in(cast.ada).get(f"/submissions/{submission.pk}/").content.decode()
    )
    cast.classroom.has_coach = False
    cast.classroom.save()
    assert "coach/ask" not in signed_in(cast.ada).get(f"/submissions/{submission.pk}/").content.decode()
