"""A student in a class: their submissions, their allowance, and unlocking."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape

import pytest
from axes.models import AccessAttempt
from django.conf import settings
from django.test import Client
from django.utils.timezone import localtime, now

from evaluations.errors.refusals import RefusedError
from evaluations.models import StudentAllowance
from evaluations.uploads import intake, limits
from tests.conftest import PASSWORD, Cast
from tests.evaluations.material import hand_in, write_results
from tests.evaluations.views.conftest import signed_in

HOUR = timedelta(hours=1)


@pytest.fixture
def teacher(cast: Cast) -> Client:
    return signed_in(cast.teacher)


def page_of(cast: Cast) -> str:
    return f"/classes/{cast.classroom.pk}/students/{cast.ada.pk}/"


def text_of(client: Client, url: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", client.get(url).content.decode())).split())


def begin(cast: Cast) -> str:
    """The code of the error with which an upload of Ada's is refused; empty: it began."""
    try:
        intake.begin(student=cast.ada, classroom=cast.classroom, name="a.mp4", length=5)
    except RefusedError as refused:
        return refused.code
    return ""


def test_it_shows_what_was_handed_in_and_what_is_left(cast: Cast, teacher: Client) -> None:
    rating = write_results(hand_in(cast.ada, cast.classroom, name="mine.mp4"))
    page = text_of(teacher, page_of(cast))
    assert "mine.mp4" in page
    assert "They may hand in 19 more." in page
    assert f"/classes/{cast.classroom.pk}/review/{rating.submission_id}/" in teacher.get(page_of(cast)).content.decode()


def test_more_submissions_are_allowed_to_one_student(cast: Cast, teacher: Client) -> None:
    cast.classroom.max_submissions = 1
    cast.classroom.save()
    hand_in(cast.ada, cast.classroom)
    assert begin(cast) == "too_many_submissions"
    assert teacher.post(page_of(cast), {"more_submissions": 1, "deadline": ""}).status_code == 302
    assert StudentAllowance.objects.get().by == cast.teacher
    assert begin(cast) == ""
    assert limits.allowed(cast.bo, cast.classroom).submissions == 1


def test_nothing_begins_after_the_deadline_but_what_was_begun_ends(cast: Cast, teacher: Client) -> None:
    begun = intake.begin(student=cast.ada, classroom=cast.classroom, name="a.mp4", length=5)
    cast.classroom.deadline = now() - HOUR
    cast.classroom.save()
    with pytest.raises(RefusedError) as caught:
        intake.begin(student=cast.ada, classroom=cast.classroom, name="b.mp4", length=5)
    named = f"{localtime(cast.classroom.deadline):%H:%M}"
    assert caught.value.code == "deadline_passed"
    assert named in caught.value.detail
    assert named in text_of(signed_in(cast.ada), f"/classes/{cast.classroom.pk}/record/")
    begun.refresh_from_db()
    intake.append(begun, offset=0, chunk=b"12345")
    assert intake.complete(begun)
    later = localtime(now() + HOUR)
    teacher.post(page_of(cast), {"more_submissions": 0, "deadline": f"{later:%Y-%m-%dT%H:%M}"})
    assert begin(cast) == ""
    assert f"{later:%H:%M}" in text_of(signed_in(cast.ada), f"/classes/{cast.classroom.pk}/record/")


@pytest.mark.parametrize(
    "fields",
    [
        {"more_submissions": -1},
        {"more_submissions": 101},
        {"more_submissions": "x"},
        {"more_submissions": 1, "deadline": "yesterday"},
        {},
    ],
)
def test_an_allowance_that_makes_no_sense_is_refused(cast: Cast, teacher: Client, fields: dict[str, object]) -> None:
    assert teacher.post(page_of(cast), fields).status_code == 400
    assert not StudentAllowance.objects.exists()


def test_a_student_who_is_locked_out_is_let_in_again(cast: Cast, teacher: Client) -> None:
    stranger = Client()
    for _ in range(settings.AXES_FAILURE_LIMIT):
        stranger.post("/login/", {"username": "ada", "password": "wrong"})
    right = {"username": "ada", "password": PASSWORD}
    assert stranger.post("/login/", right).status_code != 302
    assert "Signing in is locked" in text_of(teacher, page_of(cast))
    teacher.post(page_of(cast), {"unlock": "1"})
    assert not AccessAttempt.objects.exists()
    assert stranger.post("/login/", right).status_code == 302


def test_a_student_of_another_class_is_not_found(cast: Cast, teacher: Client) -> None:
    foreign = f"/classes/{cast.classroom.pk}/students/{cast.outsider.pk}/"
    assert teacher.get(foreign).status_code == 404
    assert teacher.post(foreign, {"unlock": "1"}).status_code == 404
