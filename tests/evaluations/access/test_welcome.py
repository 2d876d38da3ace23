"""What a student is told once: at the first page after signing in, and after the lab was away."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils.timezone import now

from evaluations.models import Classroom, Submission
from queueing.exceptions import Permanent, Transient
from queueing.models import Event, Worker
from queueing.states import State
from tests.conftest import Cast
from tests.evaluations.material import fail, hand_in

pytestmark = pytest.mark.django_db

BACK = "Back after maintenance; your videos are being processed now."
CLASS_BACK = "Back after maintenance; the videos of this class are being processed now."
OFFERED = "press “Try again” beside it"
RETRIED = "It is tried again now."


def _signed_in(cast: Cast) -> Client:
    client = Client()
    client.force_login(cast.ada)
    return client


def _page(client: Client) -> str:
    return client.get("/").content.decode()


def test_what_failed_is_offered_at_the_next_sign_in_once(cast: Cast) -> None:
    video = hand_in(cast.ada, cast.classroom)
    fail(video, Permanent("broken", code="engine_refuses"))
    client = _signed_in(cast)

    assert OFFERED in _page(client)
    assert OFFERED not in _page(client)
    assert video.evaluation_task.state == State.FAILED


def test_a_class_can_have_it_tried_again_once_by_itself(cast: Cast) -> None:
    Classroom.objects.filter(pk=cast.classroom.pk).update(retries_at_sign_in=True)
    video = hand_in(cast.ada, cast.classroom)
    fail(video, Permanent("broken", code="engine_refuses"))

    assert RETRIED in _page(_signed_in(cast))
    assert video.evaluation_task.state == State.QUEUED
    assert Event.objects.filter(task=video.evaluation_task, kind="retry").latest("pk").detail["reason"] == "at sign-in"

    fail(video, Permanent("broken", code="engine_refuses"))
    said = _page(_signed_in(cast))
    assert OFFERED in said
    assert video.evaluation_task.state == State.FAILED, "once in all"


@pytest.mark.parametrize("code", ["unreadable", "file_missing"])
def test_a_file_at_fault_is_neither_offered_nor_tried_again(cast: Cast, code: str) -> None:
    Classroom.objects.filter(pk=cast.classroom.pk).update(retries_at_sign_in=True)
    video = hand_in(cast.ada, cast.classroom)
    fail(video, Permanent("broken", code=code))

    said = _page(_signed_in(cast))
    assert OFFERED not in said
    assert RETRIED not in said
    assert video.evaluation_task.state == State.FAILED


def test_another_students_failures_are_not_touched(cast: Cast) -> None:
    Classroom.objects.filter(pk=cast.classroom.pk).update(retries_at_sign_in=True)
    video = hand_in(cast.bo, cast.classroom)
    fail(video, Transient("broken", code="engine_busy"))
    _signed_in(cast)
    assert video.evaluation_task.state == State.FAILED


def test_after_a_restart_with_work_left_it_is_said_once(cast: Cast) -> None:
    video = hand_in(cast.ada, cast.classroom)
    was_away(minutes=5, since_left=video)
    client = _signed_in(cast)
    assert BACK in _page(client)
    assert BACK not in _page(client)


def test_a_page_that_is_open_is_told_by_what_it_polls_and_only_once(cast: Cast) -> None:
    video = hand_in(cast.ada, cast.classroom)
    client = _signed_in(cast)
    assert BACK not in _page(client)
    was_away(minutes=5, since_left=video)
    assert BACK in client.get("/submissions/fragment/").content.decode()
    assert BACK not in client.get("/submissions/fragment/").content.decode()
    assert BACK not in _page(client)


def test_a_teacher_sees_it_while_something_of_the_class_is_left(cast: Cast) -> None:
    video = hand_in(cast.ada, cast.classroom)
    was_away(minutes=5, since_left=video)
    teacher = Client()
    teacher.force_login(cast.teacher)
    page = f"/classes/{cast.classroom.pk}/"
    assert CLASS_BACK in teacher.get(page, headers={"HX-Request": "true"}).content.decode()
    video.evaluation_task.cancel(by="test")
    assert CLASS_BACK not in teacher.get(page).content.decode()


def test_it_is_not_said_where_nothing_was_left_nor_after_a_moment(cast: Cast) -> None:
    client = _signed_in(cast)
    was_away(minutes=5)
    assert BACK not in _page(client), "nothing of Ada's is left"

    Worker.objects.all().delete()
    video = hand_in(cast.ada, cast.classroom)
    was_away(minutes=0, since_left=video)
    assert BACK not in _page(client), "a worker was restarted, nobody noticed"

    Worker.objects.all().delete()
    Worker.objects.create(node="lab-pc", pid=1)
    assert BACK not in _page(client), "the first start there ever was"


def was_away(*, minutes: float, since_left: Submission | None = None) -> None:
    """A worker left so long before the one of now began, just after the submission was handed in."""
    began, left = now() - timedelta(seconds=5), now() - timedelta(seconds=5, minutes=minutes)
    Worker.objects.create(node="lab-pc", pid=1, started_at=left - timedelta(hours=1), stopped_at=left)
    Worker.objects.create(node="lab-pc", pid=2, started_at=began)
    if since_left:
        Submission.objects.filter(pk=since_left.pk).update(created_at=left - timedelta(minutes=1))
