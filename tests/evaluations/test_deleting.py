"""A person deletes a submission: all of it goes, nothing of it comes back, and what runs meanwhile finds nothing."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.http import HttpRequest

from evaluations import actions
from evaluations.access import permissions
from evaluations.actions import submissions
from evaluations.api import submissions as api
from evaluations.live import messages
from evaluations.media import seekable, store
from evaluations.models import Deletion, Evaluation, Submission, Transcript, Upload
from evaluations.views import submissions as views
from queueing.exceptions import ClaimLost, Infrastructure, Interrupted
from queueing.models import Attempt, Event, Task
from tests.conftest import Cast
from tests.evaluations.material import claim, finish, hand_in, write_results
from tests.evaluations.uploads.conftest import Tus, disk, upload_at
from tests.evaluations.views.conftest import signed_in

__all__ = ["disk"]

pytestmark = pytest.mark.django_db(transaction=True)

CONTENT = b"fLaC" + bytes(range(256)) * 40  # begins as a recording does
CLIENT = "b3c8d0a4-5f27-4d2b-9a46-0e8f5d1c7a90"


def files(disk: Path) -> list[Path]:
    return [path for path in disk.rglob("*") if path.is_file()]


def test_everything_of_it_goes_and_nothing_of_another_one(cast: Cast, disk: Path) -> None:
    gone, other = hand_in(cast.ada, cast.classroom), hand_in(cast.bo, cast.classroom)
    write_results(gone)
    finish(gone)
    folder = store.locate(gone.path).parent
    for name in (store.COPY, f"{store.COPY}.part", "original.damaged-1"):
        (folder / name).write_bytes(b"copy")
    assert actions.delete(submission=gone, by=cast.ada)
    assert [row.pk for row in Submission.objects.all()] == [other.pk]
    assert not any(kind.objects.exists() for kind in (Transcript, Evaluation, Attempt))
    assert not Event.objects.exclude(task__submission=other).exclude(kind="delete").exists()
    assert files(disk) == [store.locate(other.path)]
    deletion = Deletion.objects.get()
    assert (deletion.pk, deletion.student, deletion.by) == (gone.pk, cast.ada, cast.ada)
    assert deletion.files_gone_at is not None


def test_who_did_it_and_to_what_stays_in_the_record_of_the_queue(cast: Cast) -> None:
    gone = hand_in(cast.ada, cast.classroom)
    task = gone.evaluation_task
    actions.delete(submission=gone, by=cast.teacher)
    said = Event.objects.get(kind="delete").detail
    assert said == {"by": str(cast.teacher.pk), "submission": str(gone.pk), "tasks": [task.pk]}


def test_the_second_of_two_deletions_finds_nothing(cast: Cast) -> None:
    gone = hand_in(cast.ada, cast.classroom)
    assert actions.delete(submission=gone, by=cast.ada)
    assert not actions.delete(submission=gone, by=cast.teacher)
    assert Deletion.objects.get().by == cast.ada
    assert Event.objects.filter(kind="delete").count() == 1


@pytest.mark.parametrize("ending", ["advance", "fail", "hand_back"])
def test_a_worker_that_was_at_it_has_lost_its_claim(cast: Cast, ending: str) -> None:
    gone = hand_in(cast.ada, cast.classroom)
    task = claim(gone)
    actions.delete(submission=gone, by=cast.ada)
    task.note_progress(3, 20)
    with pytest.raises(ClaimLost):
        task.advance(took=1.0) if ending == "advance" else getattr(task, ending)(Interrupted(), took=1.0)
    assert not any(kind.objects.exists() for kind in (Task, Attempt, Transcript))


@pytest.mark.parametrize("moment", ["claimed", "recorded"])
def test_a_deletion_waits_for_what_a_worker_is_writing_and_takes_it_along(cast: Cast, moment: str) -> None:
    gone = hand_in(cast.ada, cast.classroom)
    task = claim(gone) if moment == "recorded" else None
    deleting = threading.Thread(target=in_thread, args=(gone, cast))
    with transaction.atomic():
        if task is None:
            claim(gone)
        else:
            task.advance(took=1.0)
        deleting.start()
        deleting.join(0.5)
        assert deleting.is_alive()
        write_results(gone)
        Submission.objects.filter(pk=gone.pk).update(duration=3.0)
    deleting.join()
    assert not any(kind.objects.exists() for kind in (Submission, Transcript, Task))


def in_thread(gone: Submission, cast: Cast) -> None:
    try:
        actions.delete(submission=gone, by=cast.ada)
    finally:
        connection.close()


def test_the_same_file_handed_in_afterwards_is_a_new_submission(cast: Cast) -> None:
    ada = Tus(cast.ada)
    first = ada.send(CONTENT)["Submission-Id"]
    actions.delete(submission=Submission.objects.get(), by=cast.ada)
    again = ada.send(CONTENT)
    assert again["Submission-New"] == "1"
    assert again["Submission-Id"] != first
    store.verify(Submission.objects.get().path, Submission.objects.get().sha256)


def test_the_upload_that_brought_it_is_gone_too(cast: Cast) -> None:
    ada = Tus(cast.ada)
    url = ada.start(len(CONTENT))
    ada.patch(url, 0, CONTENT)
    actions.delete(submission=Submission.objects.get(), by=cast.ada)
    assert ada.head(url).status_code == 404
    assert not Upload.objects.exists()


def test_a_recorder_that_repeats_its_request_brings_nothing_back(cast: Cast, disk: Path) -> None:
    ada = Tus(cast.ada)
    ada.patch(ada.start(len(CONTENT), client=CLIENT), 0, CONTENT)
    actions.delete(submission=Submission.objects.get(), by=cast.ada)
    answer = ada.create(len(CONTENT), client=CLIENT)
    assert (answer.status_code, answer.json()["code"]) == (410, "deleted")
    assert not any(kind.objects.exists() for kind in (Upload, Submission))
    assert not files(disk)


def test_bytes_that_arrive_while_it_is_deleted_are_a_new_submission(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = hand_in(cast.ada, cast.classroom, content=CONTENT)
    take_again = submissions._accept_again

    def delete_first(*arguments: Any) -> bool:
        actions.delete(submission=known, by=cast.ada)
        return take_again(*arguments)

    monkeypatch.setattr(submissions, "_accept_again", delete_first)
    assert Tus(cast.ada).send(CONTENT)["Submission-New"] == "1"
    kept = Submission.objects.get()
    assert kept.pk != known.pk
    store.verify(kept.path, kept.sha256)


def test_files_that_could_not_be_removed_are_removed_by_the_next_upkeep(
    cast: Cast, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = hand_in(cast.ada, cast.classroom)
    with monkeypatch.context() as away:
        away.setattr(store, "remove", lambda submission_id: (_ for _ in ()).throw(Infrastructure(code="disk_failed")))
        assert actions.delete(submission=gone, by=cast.ada)
    assert (disk / "media" / gone.path).exists()
    assert actions.remove_files_of_deleted() == 1
    assert not files(disk)
    assert actions.remove_files_of_deleted() == 0


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("step", ["unlink", "rmdir", "iterdir", "is_dir"])
def test_what_was_deleted_while_the_store_was_read_only_goes_once_it_is_writable(
    cast: Cast, disk: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    gone = hand_in(cast.ada, cast.classroom)
    folder, real = (disk / "media" / gone.path).parent, getattr(Path, step)

    def refuse(path: Path, *args: Any, **kwargs: Any) -> Any:
        if folder in (path, path.parent):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *args, **kwargs)

    other = hand_in(cast.bo, cast.classroom)
    with monkeypatch.context() as read_only:
        read_only.setattr(Path, step, refuse)
        assert actions.delete(submission=gone, by=cast.ada)
        assert actions.delete(submission=other, by=cast.bo)
        assert actions.remove_files_of_deleted() == 1
        assert Deletion.objects.get(files_gone_at=None).pk == gone.pk
    actions.remove_files_of_deleted()
    assert not files(disk)
    assert not Deletion.objects.filter(files_gone_at=None).exists()


def test_a_disk_that_is_not_mounted_is_asked_again(cast: Cast, disk: Path) -> None:
    gone = hand_in(cast.ada, cast.classroom)
    (disk / "media").rename(disk / "unmounted")
    actions.delete(submission=gone, by=cast.ada)
    assert Deletion.objects.get().files_gone_at is None
    (disk / "unmounted").rename(disk / "media")
    actions.remove_files_of_deleted()
    assert not files(disk)


def test_what_comes_into_the_folder_while_it_is_removed_goes_too(
    cast: Cast, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = hand_in(cast.ada, cast.classroom)
    folder, remove, late = store.locate(gone.path).parent, Path.rmdir, [f"{store.COPY}.part"]

    def come_late(path: Path) -> None:
        if path == folder and late:
            (path / late.pop()).touch()
        remove(path)

    monkeypatch.setattr(Path, "rmdir", come_late)
    actions.delete(submission=gone, by=cast.ada)
    assert not folder.exists()


def test_a_copy_for_players_that_is_being_made_does_not_come_back(
    cast: Cast, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = hand_in(cast.ada, cast.classroom)
    original = store.locate(gone.path)

    def written(*_: object, **__: object) -> bool:
        actions.delete(submission=gone, by=cast.ada)
        return True

    monkeypatch.setattr(seekable, "_written", written)
    seekable.seekable(original)
    assert not original.parent.exists()


def test_open_dashboards_are_told(cast: Cast) -> None:
    gone, other = hand_in(cast.ada, cast.classroom), hand_in(cast.ada, cast.classroom)
    (first,) = messages.find_updates([(cast.ada.pk, messages.NOTHING)], 0.0)
    assert first is not None
    task = gone.evaluation_task
    actions.delete(submission=gone, by=cast.teacher)
    (second,) = messages.find_updates([(cast.ada.pk, first.sent)], 0.0)
    assert second is not None
    removed, *others = map(json.loads, second.texts)
    assert (removed["type"], removed["status"]) == ("task_update", "deleted")
    assert (removed["task_id"], removed["submission_id"]) == (task.pk, str(gone.pk))
    assert removed["sequence"] == task.sequence + 1  # later than all that was sent of it
    assert all("html" in message for message in others if message["type"] == "task_update")
    assert set(second.sent.rows) == {other.evaluation_task.pk}


def test_without_scripts_a_page_asks_first_and_says_what_goes(cast: Cast) -> None:
    gone = hand_in(cast.ada, cast.classroom, name="me.mp4")
    client = signed_in(cast.ada)
    asked = client.get(f"/submissions/{gone.pk}/delete").content.decode()
    assert "The video, its transcript and its result are deleted." in asked
    assert "can’t be undone" in asked
    assert Submission.objects.exists()
    after = client.post(f"/submissions/{gone.pk}/delete", follow=True)
    assert after.redirect_chain == [("/", 302)]
    assert "“me.mp4” was deleted." in after.content.decode()
    assert not Submission.objects.exists()


def test_a_teacher_is_led_back_to_the_class(cast: Cast) -> None:
    gone = hand_in(cast.ada, cast.classroom)
    after = signed_in(cast.teacher).post(f"/submissions/{gone.pk}/delete")
    assert after["Location"] == f"/classes/{cast.classroom.pk}/"


def test_scripts_are_told_which_row_goes_or_where_to_go(cast: Cast) -> None:
    client = signed_in(cast.ada)
    rows_page, own_page = hand_in(cast.ada, cast.classroom), hand_in(cast.ada, cast.classroom)
    htmx = {"HX-Request": "true", "HX-Current-URL": "http://testserver/"}
    answer = client.post(f"/submissions/{rows_page.pk}/delete", headers=htmx)
    assert str(rows_page.pk) in answer["HX-Trigger"]
    htmx["HX-Current-URL"] = f"http://testserver/submissions/{own_page.pk}/"
    assert client.post(f"/submissions/{own_page.pk}/delete", headers=htmx)["HX-Redirect"] == "/"


def test_the_place_in_the_class_is_free_again(cast: Cast) -> None:
    cast.classroom.max_submissions = 1
    cast.classroom.save()
    ada = Tus(cast.ada)
    ada.send(CONTENT)
    assert ada.create(5).json()["code"] == "too_many_submissions"
    actions.delete(submission=Submission.objects.get(), by=cast.ada)
    assert upload_at(str(ada.create(5)["Location"])).student == cast.ada


def test_files_that_somebody_else_removes_at_the_same_moment_are_gone(
    cast: Cast, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upkeep may be at it."""
    gone, rmdir = hand_in(cast.ada, cast.classroom), Path.rmdir

    def second(folder: Path) -> None:
        rmdir(folder)
        rmdir(folder)

    monkeypatch.setattr(Path, "rmdir", second)
    assert actions.delete(submission=gone, by=cast.ada)
    assert Deletion.objects.get().files_gone_at is not None
    assert not files(disk)


def test_files_that_can_not_be_removed_for_whatever_reason_do_not_undo_a_deletion(
    cast: Cast, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = hand_in(cast.ada, cast.classroom)
    with monkeypatch.context() as odd:
        odd.setattr(store, "remove", lambda *args: 1 / 0)
        assert actions.delete(submission=gone, by=cast.ada)
    actions.remove_files_of_deleted()
    assert not files(disk)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/submissions/{}/"),
        ("get", "/submissions/{}/row/"),
        ("get", "/submissions/{}/results/"),
        ("post", "/submissions/{}/retry"),
        ("post", "/submissions/{}/cancel"),
        ("get", "/api/status/{}"),
        ("get", "/api/submissions/{}/results"),
        ("post", "/api/submissions/{}/retry"),
        ("post", "/api/submissions/{}/cancel"),
    ],
)
def test_what_is_deleted_while_it_is_asked_for_is_not_there(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    def found(request: HttpRequest, pk: UUID) -> Submission:
        gone = permissions.get_visible_submission(request, pk)
        actions.delete(submission=gone, by=cast.teacher)
        return gone

    for doors in (views, api):
        monkeypatch.setattr(doors, "get_visible_submission", found)
    asked = getattr(signed_in(cast.ada), method)(path.format(hand_in(cast.ada, cast.classroom).pk))
    assert asked.status_code == 404
    if path.startswith("/api/"):
        assert asked.json()["code"] == "not_found"
