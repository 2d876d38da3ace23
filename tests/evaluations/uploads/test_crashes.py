"""A crash between any two steps leaves something that the next request finishes."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from evaluations import actions
from evaluations.media import store
from evaluations.models import Submission, Upload
from evaluations.uploads import files, intake
from queueing.exceptions import Infrastructure
from queueing.models import Task
from tests.conftest import Cast
from tests.evaluations.uploads.conftest import Tus, upload_at

CONTENT = bytes(range(256)) * 40


def all_but_handed_in(ada: Tus) -> str:
    """An upload whose bytes are all there, as a crash right after the last chunk leaves it."""
    url = ada.start(len(CONTENT))
    intake.append(upload_at(url), offset=0, chunk=CONTENT)
    return url


def test_the_next_look_hands_in_what_is_complete(ada: Tus, disk: Path) -> None:
    url = all_but_handed_in(ada)
    answer = ada.head(url)
    assert answer["Submission-New"] == "1"
    assert (disk / "media" / Submission.objects.get().path).read_bytes() == CONTENT
    assert Task.objects.count() == 1


def test_bytes_that_were_moved_but_not_committed_are_found_again(ada: Tus, disk: Path) -> None:
    url = all_but_handed_in(ada)
    upload = upload_at(url)
    store.keep(disk / "uploads" / str(upload.pk), upload.pk)
    answer = ada.head(url)
    assert answer["Submission-New"] == "1"
    assert (disk / "media" / Submission.objects.get().path).read_bytes() == CONTENT


def test_a_submission_that_is_known_already_is_found_again(ada: Tus, cast: Cast, disk: Path) -> None:
    url = all_but_handed_in(ada)
    copy = disk / "copy"
    copy.write_bytes(CONTENT)
    known, _ = actions.submit(classroom=cast.classroom, student=cast.ada, staged=copy, original_name="copy.mp4")
    assert ada.head(url)["Submission-Id"] == str(known.pk)


def test_scrap_behind_the_offset_is_written_over(ada: Tus, disk: Path) -> None:
    url = ada.start(len(CONTENT))
    ada.patch(url, 0, CONTENT[:5000])
    with (disk / "uploads" / str(upload_at(url).pk)).open("ab") as file:
        file.write(b"a chunk that was written but never committed" * 1000)
    ada.patch(url, 5000, CONTENT[5000:])
    assert (disk / "media" / Submission.objects.get().path).read_bytes() == CONTENT


def test_a_complete_upload_whose_bytes_are_gone_says_so(ada: Tus, disk: Path) -> None:
    url = all_but_handed_in(ada)
    (disk / "uploads" / str(upload_at(url).pk)).unlink()
    assert ada.head(url).status_code == 410
    assert not Submission.objects.exists()


def expire(url: str) -> uuid.UUID:
    upload = upload_at(url)
    Upload.objects.filter(pk=upload.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    return upload.pk


def test_only_what_was_left_for_too_long_expires(ada: Tus, disk: Path) -> None:
    old, fresh = ada.start(len(CONTENT)), ada.start(len(CONTENT))
    ada.patch(old, 0, CONTENT[:10])
    ada.patch(fresh, 0, CONTENT[:10])
    expire(old)
    assert intake.expire_uploads() == 1
    assert ada.head(old).status_code == 404
    assert ada.patch(fresh, 10, CONTENT[10:]).status_code == 204
    assert not list((disk / "uploads").iterdir())


def test_an_expired_upload_that_is_complete_is_handed_in_instead(ada: Tus) -> None:
    expire(all_but_handed_in(ada))
    intake.expire_uploads()
    assert Submission.objects.count() == 1


def test_expiry_goes_on_after_an_upload_without_bytes(ada: Tus, disk: Path) -> None:
    broken = expire(all_but_handed_in(ada))
    (disk / "uploads" / str(broken)).unlink()
    assert intake.expire_uploads() == 1
    assert intake.expire_uploads() == 0


def test_every_part_puts_the_end_off(ada: Tus) -> None:
    url = ada.start(len(CONTENT))
    Upload.objects.update(expires_at=timezone.now() + timedelta(minutes=1))
    ada.patch(url, 0, CONTENT[:10])
    assert upload_at(url).expires_at > timezone.now() + timedelta(hours=23)


def test_what_has_expired_is_in_nobodys_way_though_it_is_not_tidied_away_yet(ada: Tus) -> None:
    for _ in range(5):
        expire(ada.start(5))
    assert ada.create(5).status_code == 201


def test_what_is_complete_does_not_expire_while_the_disk_is_full(ada: Tus, monkeypatch: pytest.MonkeyPatch) -> None:
    url = all_but_handed_in(ada)
    expire(url)
    with monkeypatch.context() as full:
        full.setattr(store, "keep", disk_is_full)
        assert intake.expire_uploads() == 0
    assert intake.expire_uploads() == 0
    assert ada.head(url)["Submission-Id"] == str(Submission.objects.get().pk)


def disk_is_full(*args: object, **kwargs: object) -> None:
    raise Infrastructure("no space left on device", code="disk_full")


@pytest.mark.django_db(transaction=True)
def test_the_last_part_stays_though_its_video_can_not_be_kept(
    cast: Cast, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = Tus(cast.ada)
    url = ada.start(len(CONTENT))
    with monkeypatch.context() as full:
        full.setattr(store, "keep", disk_is_full)
        assert ada.patch(url, 0, CONTENT).json()["code"] == "disk_full"
    assert upload_at(url).offset == len(CONTENT)
    assert ada.head(url)["Submission-New"] == "1"


@pytest.mark.django_db(transaction=True)
def test_what_could_not_be_given_up_keeps_its_bytes(cast: Cast, disk: Path) -> None:
    ada = Tus(cast.ada)
    url = ada.start(len(CONTENT))
    ada.patch(url, 0, CONTENT[:10])
    with contextlib.suppress(ZeroDivisionError), transaction.atomic():
        intake.discard(upload_at(url))
        raise ZeroDivisionError  # the database goes away before the commit
    assert ada.patch(url, 10, CONTENT[10:])["Submission-New"] == "1"


def test_a_part_is_on_the_disk_itself_before_it_is_acknowledged(ada: Tus, monkeypatch: pytest.MonkeyPatch) -> None:
    url = ada.start(len(CONTENT))
    synced: list[int] = []

    def fsync(descriptor: int) -> None:
        assert upload_at(url).offset == 0
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fsync", fsync)
    assert ada.patch(url, 0, CONTENT[:5000]).status_code == 204
    assert synced == [5000]


def test_files_that_no_upload_knows_are_swept_in_time(ada: Tus, disk: Path) -> None:
    url = ada.start(10)
    old, fresh = disk / "uploads" / "old", disk / "uploads" / "fresh"
    old.touch()
    fresh.touch()
    for path in (old, disk / "uploads" / str(upload_at(url).pk)):
        os.utime(path, (0, 0))
    intake.expire_uploads()
    assert not old.exists()
    assert fresh.exists()
    assert ada.patch(url, 0, b"helloworld").status_code == 204


@pytest.mark.django_db(transaction=True)
def test_an_upload_that_is_being_written_to_is_busy(cast: Cast, disk: Path) -> None:
    ada = Tus(cast.ada)
    url = ada.start(len(CONTENT))
    expire(url)  # it is not abandoned all the same
    answers: list[int] = []
    with files.alone(upload_at(url).pk):
        others = [
            threading.Thread(target=in_thread, args=(lambda: answers.append(ada.patch(url, 0, CONTENT).status_code),)),
            threading.Thread(target=in_thread, args=(lambda: answers.append(ada.delete(url).status_code),)),
            threading.Thread(target=in_thread, args=(intake.expire_uploads,)),
        ]
        for other in others:
            other.start()
        for other in others:
            other.join()
    assert answers == [423, 423]
    assert not list((disk / "uploads.locks").iterdir())
    assert ada.patch(url, 0, CONTENT).status_code == 204


@pytest.mark.django_db(transaction=True)
def test_parallel_starts_do_not_get_around_the_quota(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    create = files.create

    def slowly(upload_id: uuid.UUID) -> None:
        time.sleep(0.2)  # others have time to count what is not committed yet
        create(upload_id)

    monkeypatch.setattr(files, "create", slowly)
    clients = [Tus(cast.ada) for _ in range(8)]
    answers: list[int] = []
    starts = [
        threading.Thread(target=in_thread, args=(lambda c=c: answers.append(c.create(5).status_code),)) for c in clients
    ]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert sorted(answers) == [201] * 5 + [429] * 3


@pytest.mark.django_db(transaction=True)
def test_the_same_chunk_sent_twice_at_once_counts_once(cast: Cast, disk: Path) -> None:
    ada = Tus(cast.ada)
    url = ada.start(len(CONTENT))
    answers: list[int] = []

    def send() -> None:
        answers.append(ada.patch(url, 0, CONTENT).status_code)

    senders = [threading.Thread(target=in_thread, args=(send,)) for _ in range(6)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert answers.count(204) == 1
    assert set(answers) <= {204, 409, 423}
    assert (disk / "media" / Submission.objects.get().path).read_bytes() == CONTENT
    assert Task.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_same_file_from_two_windows_at_once_is_kept_once(
    cast: Cast, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second copy without a row would outlive the submission's deletion."""
    ada, together, keep = Tus(cast.ada), threading.Barrier(2, timeout=30), store.keep
    urls = [ada.start(len(CONTENT)) for _ in range(2)]
    answers: list[str] = []

    def keep_both(*args: Any, **kwargs: Any) -> store.Stored:
        together.wait()  # neither has a row yet
        return keep(*args, **kwargs)

    monkeypatch.setattr(store, "keep", keep_both)

    def send(url: str) -> None:
        answers.append(ada.patch(url, 0, CONTENT)["Submission-New"])

    windows = [threading.Thread(target=in_thread, args=(partial(send, url),)) for url in urls]
    for window in windows:
        window.start()
    for window in windows:
        window.join()
    assert sorted(answers) == ["0", "1"]
    assert [path for path in disk.rglob("*") if path.is_file()] == [store.locate(Submission.objects.get().path)]


def test_bytes_that_a_crash_left_without_a_row_go_when_they_were_handed_in_another_way(ada: Tus, disk: Path) -> None:
    url = all_but_handed_in(ada)
    upload = upload_at(url)
    store.keep(disk / "uploads" / str(upload.pk), upload.pk)
    other = ada.start(len(CONTENT), client=str(uuid.uuid4()))
    known = ada.patch(other, 0, CONTENT)["Submission-Id"]
    again = ada.head(url)
    assert (again["Submission-Id"], again["Submission-New"]) == (known, "0")
    assert [path for path in disk.rglob("*") if path.is_file()] == [store.locate(Submission.objects.get().path)]


def in_thread(work: object) -> None:
    try:
        work()  # type: ignore[operator]
    finally:
        connection.close()
