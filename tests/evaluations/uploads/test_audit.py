"""The store against the rows: every loss is found, by its name, and nothing else is."""

from __future__ import annotations

import json
import os
import random
import uuid
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from evaluations import actions
from evaluations.actions.release import release
from evaluations.media import store
from evaluations.models import Deletion, Evaluation, Form, Submission, Transcript, Upload
from evaluations.uploads.audit import Audit, audit
from tests.conftest import Cast
from tests.evaluations.material import hand_in, rated, write_long_results, write_results


@pytest.fixture(autouse=True)
def disk(settings: Settings, tmp_path: Path) -> Path:
    settings.UPLOADS_DIR = tmp_path / "uploads"
    settings.MEDIA_ROOT = tmp_path / "media"
    return tmp_path


def kept_without_a_row(upload_id: uuid.UUID, content: bytes) -> str:
    staged = settings.UPLOADS_DIR / "staged"
    staged.parent.mkdir(exist_ok=True)
    staged.write_bytes(content)
    return store.keep(staged, upload_id).path


def complete_upload(cast: Cast) -> uuid.UUID:
    upload = Upload.objects.create(
        student=cast.ada, classroom=cast.classroom, length=9, offset=9, expires_at=timezone.now()
    )
    return upload.pk


def deletion(cast: Cast) -> uuid.UUID:
    """That a submission was deleted whose files are still there."""
    facts = {"classroom": cast.classroom, "student": cast.ada, "by": cast.ada}
    return Deletion.objects.create(id=uuid.uuid4(), handed_in_at=timezone.now(), **facts).pk


def flip_a_bit(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def kept_rows(cast: Cast, count: int) -> list[Submission]:
    """As `hand_in` leaves them, with bytes of their own, without the wait for the disk that each of them costs."""
    rows = []
    for number in range(count):
        pk, content = uuid.uuid4(), f"video {number}".encode() * 3
        path = settings.MEDIA_ROOT / str(pk)[:2] / str(pk) / "original"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        facts = {"classroom": cast.classroom, "student": cast.ada, "original_name": "me.mp4", "size": len(content)}
        relative = path.relative_to(settings.MEDIA_ROOT).as_posix()
        rows.append(Submission(id=pk, path=relative, sha256=store.digest(path), **facts))
    return Submission.objects.bulk_create(rows)


def test_of_a_thousand_mixed_rows_and_files_exactly_what_is_wrong_is_found(cast: Cast, disk: Path) -> None:
    chance = random.Random(37)
    rows = kept_rows(cast, 900)
    chance.shuffle(rows)
    gone, torn, flipped = rows[:60], rows[60:100], rows[100:150]
    for row in gone:
        store.locate(row.path).unlink()
    for row in torn:
        os.truncate(store.locate(row.path), row.size // 2)
    for row in flipped:
        flip_a_bit(store.locate(row.path), chance)
    arriving = {kept_without_a_row(complete_upload(cast), b"arriving!") for _ in range(20)}
    orphaned = {kept_without_a_row(uuid.uuid4(), b"orphan") for _ in range(60)}
    deleted = [kept_without_a_row(deletion(cast), b"deleted") for _ in range(5)]
    leaving = {*deleted, *(path.replace("original", "seekable") for path in deleted), f"{deleted[0]}.damaged-1"}
    strays = {f"{row.path}.part" for row in rows[200:210]} | {f"note-{number}.txt" for number in range(10)}
    copies = {row.path.replace("original", name) for row in rows[210:230] for name in ("seekable", "seekable.part")}
    for name in strays | copies | (leaving - set(deleted)):
        (disk / "media" / name).write_bytes(b"")

    def expected(damaged: list[Submission]) -> Audit:
        return Audit(
            submissions=900,
            missing=frozenset(row.pk for row in gone),
            damaged=frozenset(row.pk for row in damaged),
            arriving=frozenset(arriving),
            leaving=frozenset(leaving),
            orphaned=frozenset(orphaned),
            copies=frozenset(copies),
            strays=frozenset(strays),
        )

    assert audit(deep=True) == expected(torn + flipped)
    assert audit() == expected(torn)  # a flipped bit shows in the bytes only


def test_a_store_as_it_should_be_is_sound(cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
    hand_in(cast.ada, cast.classroom)
    call_command("verify_store", "--deep", "--json")
    nothing: list[str] = []
    names = ("missing", "damaged", "arriving", "leaving", "orphaned", "copies", "strays", "altered")
    groups = dict.fromkeys(names, nothing)
    assert json.loads(capsys.readouterr().out) == {"ok": True, "submissions": 1, **groups}


def test_a_loss_is_told_and_ends_the_command_with_1(cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
    gone, torn = (hand_in(cast.ada, cast.classroom) for _ in range(2))
    store.locate(gone.path).unlink()
    os.truncate(store.locate(torn.path), 1)
    with pytest.raises(SystemExit) as ended:
        call_command("verify_store")
    assert ended.value.code == 1
    printed = capsys.readouterr().out
    assert f"missing   {gone.pk}" in printed
    assert f"damaged   {torn.pk}" in printed
    assert "puts it back" in printed


def test_files_without_a_row_are_told_but_are_no_loss(cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
    path = kept_without_a_row(uuid.uuid4(), b"orphan")
    call_command("verify_store")
    assert f"orphaned  {path}" in capsys.readouterr().out


def test_a_store_that_is_not_mounted_is_said_instead_of_a_thousand_losses(cast: Cast, disk: Path) -> None:
    hand_in(cast.ada, cast.classroom)
    (disk / "media").rename(disk / "unmounted")
    (disk / "media").mkdir()
    with pytest.raises(CommandError, match="MEDIA_ROOT is not there"):
        call_command("verify_store")


def test_an_empty_store_without_submissions_is_sound(cast: Cast) -> None:
    assert audit() == Audit(0, *[frozenset()] * 7)


def test_a_file_whose_row_comes_while_it_is_looked_at_is_no_orphan(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = store.contents

    def hand_in_meanwhile() -> store.Contents:
        hand_in(cast.ada, cast.classroom)
        return contents()

    monkeypatch.setattr(store, "contents", hand_in_meanwhile)
    assert not audit().orphaned


@pytest.mark.django_db(transaction=True)
def test_a_submission_that_is_deleted_while_it_is_looked_at_is_no_loss(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    verify_size = store.verify_size

    def delete_meanwhile(path: str, size: int) -> None:
        actions.delete(submission=submission, by=cast.ada)
        verify_size(path, size)

    monkeypatch.setattr(store, "verify_size", delete_meanwhile)
    assert audit().sound


def test_a_deep_audit_finds_results_that_were_changed_by_hand_or_by_the_disk(cast: Cast) -> None:
    one, other = (hand_in(cast.ada, cast.classroom) for _ in range(2))
    for each in (one, other):
        write_long_results(each, scores={"Clarity": 7.5, "Content": 8})
    assert audit(deep=True).altered == frozenset()

    Transcript.objects.filter(submission=one).update(text="I like diving.")
    Form.objects.filter(submission=one).update(age=12)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # past the trigger that forbids it
        cursor.execute("UPDATE evaluations_evaluation SET overall = 10 WHERE submission_id = %s", [one.pk])
        cursor.execute("SET LOCAL session_replication_role = origin")

    found = audit(deep=True)
    assert {words.partition(" (")[0] for words in found.altered} == {
        f"{kind} of {one.pk}" for kind in ("transcript", "form", "evaluation")
    }
    assert not found.sound
    assert audit().sound, "only a deep one reads them"


def test_what_a_result_may_say_has_the_same_checksum_as_the_database_gives_it_back(cast: Cast) -> None:
    video = hand_in(cast.ada, cast.classroom)
    numbers = [0.1, 1e-07, 1e22, -0.0, 3, True, None, "é\u2028<script>", {"1": (1, 2.50)}]
    rated(video, overall=7, scores=numbers, feedback="x", speech={2: 3.0}, method=Evaluation.Method.NONE)
    assert audit(deep=True).altered == frozenset()


def test_results_from_before_there_were_checksums_are_not_called_altered(cast: Cast) -> None:
    video = hand_in(cast.ada, cast.classroom)
    write_results(video)
    Transcript.objects.filter(submission=video).update(sha256="", text="from before")
    assert audit(deep=True).altered == frozenset()


def test_a_release_changes_no_checksum(cast: Cast) -> None:
    video = hand_in(cast.ada, cast.classroom)
    write_results(video, released_at=None)
    release(Submission.objects.all(), by=cast.teacher)
    assert audit(deep=True).altered == frozenset()
