"""At capacity new uploads are asked to wait, and nothing that began is refused."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from pytest_django import Settings

from evaluations.models import Submission
from queueing.models import Pause, Task, Worker
from queueing.models.phase import SYSTEM
from queueing.states import State
from tests.conftest import Cast
from tests.evaluations.material import finish, foretell, hand_in
from tests.evaluations.uploads.conftest import Tus

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small_lab(settings: Settings) -> None:
    settings.CAPACITY = 2


def test_a_new_upload_is_asked_to_wait_in_words(cast: Cast, ada: Tus) -> None:
    for _ in range(2):
        hand_in(cast.bo, cast.classroom)
    answer = ada.create(1000)
    said = answer.json()
    assert (answer.status_code, said["code"], answer["Retry-After"]) == (503, "at_capacity", "120")
    assert said["title"] == "The lab is at capacity"
    assert said["todo"] == "Your recording is safe on this device. It is sent by itself when there is room."
    german = ada.client.post("/api/uploads/", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "9"} | GERMAN)
    assert german.json()["title"] == "Das Labor ist ausgelastet"


GERMAN = {"Accept-Language": "de"}


def test_what_has_begun_goes_on_and_is_handed_in(cast: Cast, ada: Tus) -> None:
    client = str(uuid.uuid4())
    begun = ada.start(8, client=client)
    for _ in range(2):
        hand_in(cast.bo, cast.classroom)
    assert ada.create(8).status_code == 503

    assert ada.start(8, client=client) == begun, "its creation, repeated after a lost answer"
    assert ada.patch(begun, 0, b"half").status_code == 204
    assert ada.head(begun)["Upload-Offset"] == "4"
    assert "Submission-Id" in ada.patch(begun, 4, b"half")


def test_what_is_arriving_counts_and_what_was_left_does_not(cast: Cast, ada: Tus, bo: Tus) -> None:
    hand_in(cast.bo, cast.classroom)
    arriving = bo.start(8)
    assert ada.client.delete(ada.start(1), headers={"Tus-Resumable": "1.0.0"}).status_code == 204
    bo.patch(arriving, 0, b"half")
    assert ada.create(8).status_code == 503


def test_the_wait_is_until_enough_of_the_line_has_ended(cast: Cast, ada: Tus) -> None:
    first, _second = (hand_in(cast.bo, cast.classroom) for _ in range(2))
    foretell(first, 20, 40.2)
    assert ada.create(8)["Retry-After"] == "41"

    finish(first)
    assert ada.create(8).status_code == 201


def test_uploads_can_be_paused_by_hand_and_go_on(ada: Tus) -> None:
    call_command("queue_pause", "uploads", "--reason", "We move the computer", "--for", "45s")
    answer = ada.create(8)
    assert answer.status_code == 503
    assert "We move the computer" in answer.json()["what"]
    assert 40 <= int(answer["Retry-After"]) <= 45
    assert not Pause.objects.active().filter(what__in=Pause.WORK).exists(), "work is not held up"

    call_command("queue_resume", "uploads")
    assert ada.create(8).status_code == 201


def test_a_gpu_that_others_have_filled_counts_where_no_other_node_works(ada: Tus) -> None:
    for node in ("lab-1", "lab-2"):
        Worker.objects.create(node=node, pid=1)
    Pause.objects.start("everything", node="lab-1", by=SYSTEM, reason="91% of the GPU's memory is taken", seconds=15)
    assert ada.create(8).status_code == 201

    Pause.objects.start("everything", node="lab-2", by=SYSTEM, reason="91% of the GPU's memory is taken", seconds=15)
    assert ada.create(8).status_code == 503


def test_a_disk_that_only_has_its_reserve_left_asks_to_wait_and_to_tell_somebody(
    ada: Tus, settings: Settings, disk: Path
) -> None:
    settings.DISK_RESERVE_BYTES = shutil.disk_usage(disk).free * 2
    answer = ada.create(8)
    assert (answer.status_code, answer["Retry-After"]) == (503, "600")
    assert "tell your teacher" in answer.json()["what"]


def test_sixty_students_at_half_the_room_are_all_told_and_all_served(cast: Cast, settings: Settings) -> None:
    settings.CAPACITY = 30
    students = [Tus(User.objects.create(username=f"student-{number}")) for number in range(60)]
    cast.classroom.students.set(User.objects.filter(username__startswith="student-"))
    told, most, waiting = 0, 0, students
    while waiting:
        later = []
        for student in waiting:
            answer = student.create(8)
            if answer.status_code == 201:
                student.patch(answer["Location"], 0, uuid.uuid4().bytes[:8])
                continue
            assert (answer.status_code, answer.json()["code"]) == (503, "at_capacity")
            assert int(answer["Retry-After"]) > 0
            told += 1
            later.append(student)
        most = max(most, Task.objects.live().count())
        for submission in Submission.objects.filter(tasks__state__in=[State.QUEUED, State.RUNNING]):
            finish(submission)
        waiting = later
    assert (told, most) == (30, 30)
    assert Submission.objects.count() == 60
    assert not Task.objects.exclude(state=State.DONE).exists()
