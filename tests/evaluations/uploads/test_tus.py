"""Uploads as a browser makes them, and as an attacker does."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.db.models import F
from pytest_django import Settings

from evaluations import actions
from evaluations.models import Submission, Upload
from evaluations.uploads import limits, protocol
from queueing.exceptions import Permanent
from queueing.models import Task
from tests.conftest import Cast
from tests.evaluations.material import fail
from tests.evaluations.uploads.conftest import TUS, Tus, metadata, upload_at

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

CONTENT = bytes(range(256)) * 40


def kept(submission: Submission, disk: Path) -> bytes:
    return (disk / "media" / submission.path).read_bytes()


def test_chunks_become_one_submission_with_a_task(ada: Tus, cast: Cast, disk: Path) -> None:
    url = ada.start(len(CONTENT))
    first = ada.patch(url, 0, CONTENT[:4000])
    assert (first.status_code, first["Upload-Offset"]) == (204, "4000")
    assert "Submission-Id" not in first
    last = ada.patch(url, 4000, CONTENT[4000:])
    submission = Submission.objects.get()
    assert last.status_code == 204
    assert last["Submission-Id"] == str(submission.pk)
    assert last["Submission-Location"] == f"/submissions/{submission.pk}/"
    assert last["Submission-New"] == "1"
    assert (submission.student, submission.classroom, submission.original_name) == (
        cast.ada,
        cast.classroom,
        "hello.mp4",
    )
    assert kept(submission, disk) == CONTENT
    assert submission.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert Task.objects.get().submission == submission
    assert not list((disk / "uploads").iterdir())


def test_a_finished_upload_still_says_where_its_submission_is(ada: Tus) -> None:
    url = ada.start(len(CONTENT))
    ada.patch(url, 0, CONTENT)
    again = ada.head(url)
    assert again["Upload-Offset"] == again["Upload-Length"] == str(len(CONTENT))
    assert again["Submission-Id"] == str(Submission.objects.get().pk)
    assert again["Submission-New"] == "0"
    assert again["Cache-Control"] == "no-store"


def test_what_began_is_handed_in_to_its_class_though_its_student_left_meanwhile(ada: Tus, cast: Cast) -> None:
    url = ada.start(len(CONTENT))
    ada.patch(url, 0, CONTENT[:4000])
    cast.classroom.students.remove(cast.ada)
    assert ada.patch(url, 4000, CONTENT[4000:])["Submission-New"] == "1"
    assert Submission.objects.get().classroom == cast.classroom
    assert ada.create(len(CONTENT)).status_code == 404  # nothing new begins there


def test_a_length_can_be_told_later(ada: Tus, disk: Path) -> None:
    url = ada.start()
    ada.patch(url, 0, CONTENT[:5000])
    assert ada.head(url)["Upload-Defer-Length"] == "1"
    last = ada.patch(url, 5000, CONTENT[5000:], Upload_Length=str(len(CONTENT)))
    assert last["Submission-New"] == "1"
    assert kept(Submission.objects.get(), disk) == CONTENT


def test_a_length_can_be_told_once_only(ada: Tus) -> None:
    url = ada.start()
    ada.patch(url, 0, CONTENT[:10], Upload_Length="20")
    assert ada.patch(url, 10, b"x", Upload_Length="11").status_code == 400
    assert ada.patch(url, 10, b"x", Upload_Length="5").status_code == 400
    assert upload_at(url).length == 20


def test_a_chunk_that_is_sent_again_changes_nothing(ada: Tus, disk: Path) -> None:
    url = ada.start(len(CONTENT))
    ada.patch(url, 0, CONTENT[:4000])
    again = ada.patch(url, 0, CONTENT[:4000])
    assert (again.status_code, again["Upload-Offset"]) == (409, "4000")
    assert ada.patch(url, 9000, b"gap").status_code == 409
    ada.patch(url, 4000, CONTENT[4000:])
    assert kept(Submission.objects.get(), disk) == CONTENT


def test_the_last_chunk_sent_again_makes_no_second_submission(ada: Tus) -> None:
    url = ada.start(len(CONTENT))
    ada.patch(url, 0, CONTENT)
    assert ada.patch(url, 0, CONTENT).status_code == 409
    assert ada.patch(url, len(CONTENT), b"").status_code == 204
    assert (Submission.objects.count(), Task.objects.count()) == (1, 1)


def test_the_same_file_twice_is_one_submission(ada: Tus) -> None:
    first, second = ada.send(CONTENT, "one.mp4"), ada.send(CONTENT, "two.mp4")
    assert first["Submission-Id"] == second["Submission-Id"]
    assert second["Submission-New"] == "0"
    assert (Submission.objects.count(), Task.objects.count()) == (1, 1)


def test_the_same_file_of_two_students_is_two_submissions(ada: Tus, bo: Tus) -> None:
    assert ada.send(CONTENT)["Submission-Id"] != bo.send(CONTENT)["Submission-Id"]


@pytest.mark.django_db(transaction=True)
def test_an_upload_can_be_given_up(ada: Tus, disk: Path) -> None:
    url = ada.start(len(CONTENT))
    ada.patch(url, 0, CONTENT[:100])
    assert ada.delete(url).status_code == 204
    assert ada.head(url).status_code == 404
    assert ada.patch(url, 100, b"more").json()["code"] == "upload_gone"
    assert not list((disk / "uploads").iterdir())


def test_giving_up_a_finished_upload_keeps_the_submission(ada: Tus, disk: Path) -> None:
    url = ada.start(len(CONTENT))
    ada.patch(url, 0, CONTENT)
    assert ada.delete(url).status_code == 204
    assert kept(Submission.objects.get(), disk) == CONTENT


def test_the_server_says_what_it_can_do(ada: Tus, settings: Settings) -> None:
    settings.UPLOAD_MAX_BYTES = 12345
    answer = ada.client.options("/api/uploads/")
    assert answer.status_code == 204
    assert answer["Tus-Version"] == "1.0.0"
    assert set(answer["Tus-Extension"].split(",")) == {
        "creation",
        "creation-defer-length",
        "termination",
        "expiration",
    }
    assert answer["Tus-Max-Size"] == "12345"


def test_more_bytes_than_promised_are_refused(ada: Tus, disk: Path) -> None:
    url = ada.start(10)
    assert ada.patch(url, 0, b"x" * 11).status_code == 413
    assert ada.head(url)["Upload-Offset"] == "0"
    assert (disk / "uploads" / str(upload_at(url).pk)).stat().st_size == 0


def test_a_chunk_above_the_limit_is_refused_by_its_real_size(ada: Tus, settings: Settings) -> None:
    settings.UPLOAD_CHUNK_BYTES = 1000
    url = ada.start(5000)
    assert ada.patch(url, 0, b"x" * 1001).status_code == 413
    assert ada.patch(url, 0, b"x" * 1000).status_code == 204


def test_a_deferred_length_does_not_get_around_the_limit(ada: Tus, settings: Settings) -> None:
    settings.UPLOAD_MAX_BYTES = 1000
    url = ada.start()
    ada.patch(url, 0, b"x" * 600)
    assert ada.patch(url, 600, b"x" * 600).status_code == 413


def test_a_file_that_is_too_large_is_refused_before_its_first_byte(ada: Tus, settings: Settings) -> None:
    settings.UPLOAD_MAX_BYTES = 1000
    answer = ada.create(1001)
    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large"
    assert answer.json()["title"] == "The file is too large"
    assert answer.json()["todo"]
    assert not Upload.objects.exists()


def test_an_empty_file_is_refused_in_words(ada: Tus) -> None:
    answer = ada.create(0)
    assert (answer.status_code, answer.json()["code"]) == (400, "empty_file")
    url = ada.start()
    assert ada.patch(url, 0, b"", Upload_Length="0").json()["code"] == "empty_file"


@pytest.mark.parametrize("version", ["", "0.2.2", "2.0.0"])
def test_another_protocol_version_is_refused(ada: Tus, version: str) -> None:
    answer = ada.post({"Tus-Resumable": version, "Upload-Length": "5"})
    assert (answer.status_code, answer["Tus-Version"]) == (412, "1.0.0")


def test_a_chunk_of_another_kind_is_refused(ada: Tus) -> None:
    url = ada.start(5)
    answer = ada.client.patch(url, data=b"hello", content_type="text/plain", headers={**TUS, "Upload-Offset": "0"})
    assert answer.status_code == 415


@pytest.mark.parametrize("offset", ["", "-1", "0x0", "1.0", "9" * 400])
def test_an_offset_that_is_no_number_is_refused(ada: Tus, offset: str) -> None:
    url = ada.start(5)
    answer = ada.patch(url, 0, b"hello", Upload_Offset=offset)
    assert answer.status_code == 400


@pytest.mark.parametrize("header", ["filename !!!", "filename " + "A" * 9000, "filename YQ=", "x y,z w\xe9"])
def test_metadata_that_is_no_base64_is_refused(ada: Tus, header: str) -> None:
    answer = ada.post({"Upload-Length": "5", "Upload-Metadata": header})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../../etc/cron.d/x", "x"),
        ("a\x00b.mp4", "ab.mp4"),
        ("-i evil.m3u8", "-i evil.m3u8"),
        ("<script>alert(1)</script>.mp4", "script>.mp4"),
        ("x" * 4000, "x" * 255),
    ],
)
def test_a_hostile_name_is_text_and_never_a_path(ada: Tus, disk: Path, name: str, shown: str) -> None:
    """S11."""
    ada.send(CONTENT, name)
    submission = Submission.objects.get()
    assert submission.original_name == shown
    assert submission.path == f"{str(submission.pk)[:2]}/{submission.pk}/original"
    files = [path for path in disk.rglob("*") if path.is_file()]
    assert files == [disk / "media" / submission.path]


@pytest.mark.parametrize("who", ["bo", "teacher", "outsider"])
def test_nobody_else_can_touch_an_upload(ada: Tus, cast: Cast, who: str) -> None:
    """S21."""
    url = ada.start(len(CONTENT))
    ada.patch(url, 0, CONTENT[:100])
    other = Tus(getattr(cast, who))
    assert other.head(url).status_code == 404
    assert other.patch(url, 100, b"evil").status_code == 404
    assert other.delete(url).status_code == 404
    assert upload_at(url).offset == 100


def test_without_a_login_nothing_works(cast: Cast, ada: Tus) -> None:
    url = ada.start(5)
    nobody = Tus(None)
    answers = [nobody.create(5), nobody.head(url), nobody.patch(url, 0, b"hello"), nobody.delete(url)]
    assert [answer.status_code for answer in answers] == [401] * 4
    assert answers[0].json()["code"] == "signed_out"


@pytest.mark.parametrize("who", ["outsider", "teacher"])
def test_only_students_of_a_class_hand_in_for_it(cast: Cast, who: str) -> None:
    answer = Tus(getattr(cast, who)).create(5, classroom=str(cast.classroom.pk))
    assert (answer.status_code, answer.json()["code"]) == (404, "no_class")


@pytest.mark.parametrize("key", ["0", "-1", "abc", "9" * 30, "1; DROP TABLE", "٣"])
def test_a_class_that_does_not_exist_is_not_found(ada: Tus, key: str) -> None:
    assert ada.create(5, classroom=key).status_code == 404


def test_a_student_of_two_classes_says_which(cast: Cast, ada: Tus) -> None:
    cast.other_classroom.students.add(cast.ada)
    assert ada.create(5).status_code == 404
    url = ada.start(5, classroom=str(cast.other_classroom.pk))
    assert upload_at(url).classroom == cast.other_classroom


def test_a_page_of_another_site_cannot_upload(cast: Cast) -> None:
    """Cookies alone are not enough: each unsafe request needs the token."""
    browser = Tus(cast.ada, enforce_csrf_checks=True)
    assert browser.create(5).status_code == 403
    browser.client.get("/")
    token = browser.client.cookies["csrftoken"].value
    headers = {"X-CSRFToken": token, "Upload-Length": "5", "Upload-Metadata": metadata(filename="a")}
    url = str(browser.post(headers)["Location"])
    assert browser.patch(url, 0, b"hello").status_code == 403
    assert browser.delete(url).status_code == 403
    assert browser.patch(url, 0, b"hello", X_CSRFToken=token).status_code == 204
    assert browser.delete(url, **{"X-CSRFToken": token}).status_code == 204


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch"])
def test_other_methods_are_not_allowed(ada: Tus, method: str) -> None:
    assert getattr(ada.client, method)("/api/uploads/", headers=TUS).status_code == 405


def test_a_student_has_a_few_unfinished_uploads_at_most(ada: Tus, bo: Tus) -> None:
    urls = [ada.start(5) for _ in range(5)]
    answer = ada.create(5)
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_uploads")
    assert bo.create(5).status_code == 201
    ada.delete(urls[0])
    assert ada.create(5).status_code == 201


def test_one_upload_of_a_student_is_under_way_at_a_time(ada: Tus, bo: Tus) -> None:
    """S17. One that got nothing for a while is not under way: its computer may have crashed."""
    url = ada.start(10)
    ada.patch(url, 0, b"hello")
    refused = ada.create(5)
    assert (refused.status_code, refused.json()["code"], refused["Retry-After"]) == (429, "upload_active", "10")
    assert refused.json()["title"] == "Another upload of yours is under way"
    assert bo.create(5).status_code == 201
    assert ada.create(client=CLIENT).status_code == 201  # a recording is sent while it is made, and can't wait
    Upload.objects.filter(pk=upload_at(url).pk).update(expires_at=F("expires_at") - timedelta(seconds=11))
    assert ada.create(5).status_code == 201
    assert ada.patch(url, 5, b"world").status_code == 204


def test_a_clock_that_steps_back_blocks_no_student_for_as_long(ada: Tus, settings: Settings) -> None:
    step = timedelta(hours=3)
    for number in range(settings.UPLOADS_PER_HOUR - 1):
        ada.send(f"video {number}".encode())
    url = ada.start(10)
    ada.patch(url, 0, b"hello")
    assert ada.create(5).status_code == 429
    Submission.objects.update(created_at=F("created_at") + step)
    Upload.objects.update(expires_at=F("expires_at") + step)
    assert ada.create(5).status_code == 201
    assert ada.patch(url, 5, b"world").status_code == 204


def test_a_student_hands_in_a_few_videos_an_hour(ada: Tus, cast: Cast, settings: Settings) -> None:
    """S17: and to delete one makes no room for another."""
    for number in range(settings.UPLOADS_PER_HOUR):
        assert ada.send(f"video {number}".encode())["Submission-New"] == "1"
    actions.delete(submission=Submission.objects.all()[0], by=cast.ada)
    refused = ada.create(5)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_an_hour")
    assert 3500 < int(refused["Retry-After"]) <= 3600
    hour = timedelta(hours=1)
    Submission.objects.update(created_at=F("created_at") - hour)
    assert ada.create(5).status_code == 201


@pytest.mark.parametrize("code", ["not_media", "unreadable", "no_audio", "too_long", "empty_file"])
@pytest.mark.parametrize("then_deleted", [False, True])
def test_a_file_that_was_none_does_not_count_within_the_hour(
    ada: Tus, cast: Cast, settings: Settings, code: str, then_deleted: bool
) -> None:
    settings.UPLOADS_PER_HOUR = 2
    for number in range(2):
        ada.send(f"notes {number}".encode())
    for submission in Submission.objects.all():
        fail(submission, Permanent("it is none", code=code))
        if then_deleted:
            actions.delete(submission=submission, by=cast.ada)
    assert ada.create(5).status_code == 201


@pytest.mark.parametrize("code", ["no_speech", "not_understood", "hung"])
def test_what_was_listened_to_counts_whatever_became_of_it(ada: Tus, settings: Settings, code: str) -> None:
    settings.UPLOADS_PER_HOUR = 1
    ada.send(b"a video")
    fail(Submission.objects.get(), Permanent("it failed", code=code))
    assert ada.create(5).json()["code"] == "too_many_an_hour"


def test_files_that_are_none_are_not_taken_without_end(ada: Tus, cast: Cast, settings: Settings) -> None:
    settings.UPLOADS_PER_HOUR = 1
    for number in range(limits.REFUSED_FACTOR):
        ada.send(f"notes {number}".encode())
        fail(Submission.objects.latest("created_at"), Permanent("it is none", code="not_media"))
    assert ada.create(5).json()["code"] == "too_many_an_hour"


def test_the_limit_says_when_the_next_one_is_possible(ada: Tus, settings: Settings) -> None:
    """An hour after the oldest of those that count, one minute late rather than early."""
    settings.UPLOADS_PER_HOUR = 2
    for content in (b"first", b"second"):
        ada.send(content)
    oldest = Submission.objects.earliest("created_at")
    Submission.objects.filter(pk=oldest.pk).update(created_at=F("created_at") - timedelta(minutes=20))
    oldest.refresh_from_db()
    answer = ada.create(5)
    assert f"possible at {oldest.created_at + timedelta(minutes=61):%H:%M}." in answer.json()["what"]
    assert 2300 < int(answer["Retry-After"]) <= 2400


def test_what_is_unfinished_counts_within_the_hour_as_well(ada: Tus, settings: Settings) -> None:
    settings.UPLOADS_PER_HOUR = 3
    urls = [ada.start(6) for _ in range(3)]
    assert ada.create(5).json()["code"] == "too_many_uploads"
    for number, url in enumerate(urls):
        assert ada.patch(url, 0, b"video%d" % number)["Submission-New"] == "1"
    assert ada.create(5).json()["code"] == "too_many_an_hour"


def test_what_was_begun_and_got_nothing_can_be_seen_and_discarded(ada: Tus, cast: Cast) -> None:
    """A recorder that crashed at once: in a class that takes one video it is in the student's way."""
    cast.classroom.max_submissions = 1
    cast.classroom.save()
    url = ada.start(client=CLIENT)
    assert ada.create(5).json()["code"] == "too_many_uploads"
    assert f'data-url="{url}"' in ada.client.get("/").content.decode()
    ada.delete(url)
    assert ada.create(5).status_code == 201


def test_a_deferred_length_does_not_get_around_the_room_that_a_student_has(ada: Tus, settings: Settings) -> None:
    settings.UPLOAD_QUOTA_BYTES = 2 * settings.UPLOAD_CHUNK_BYTES
    chunk = b"x" * settings.UPLOAD_CHUNK_BYTES
    url = ada.start()
    assert ada.patch(url, 0, chunk).status_code == 204
    refused = ada.patch(url, len(chunk), b"", Upload_Length=str(2 * len(chunk) + 1))
    assert (refused.status_code, refused.json()["code"]) == (429, "too_much")
    assert ada.patch(url, len(chunk), chunk).status_code == 204
    refused = ada.patch(url, 2 * len(chunk), b"x")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_much")
    assert ada.patch(url, 2 * len(chunk), b"", Upload_Length=str(2 * len(chunk)))["Submission-New"] == "1"


def test_a_student_has_so_much_room_and_no_more(ada: Tus, cast: Cast, settings: Settings) -> None:
    """S17: what is kept, what is on its way and what is asked for, in all classes."""
    settings.UPLOAD_QUOTA_BYTES = 100
    cast.other_classroom.students.add(cast.ada)
    own, other = str(cast.classroom.pk), str(cast.other_classroom.pk)
    ada.patch(ada.start(40, classroom=own), 0, b"x" * 40)
    ada.start(30, classroom=other)
    refused = ada.create(31, classroom=own)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_much")
    assert ada.create(30, classroom=own).status_code == 201


def test_a_class_limits_how_much_a_student_hands_in(ada: Tus, cast: Cast) -> None:
    cast.classroom.max_submissions = 2
    cast.classroom.save()
    ada.send(b"first")
    url = ada.start(6)
    assert ada.create(5).json()["code"] == "too_many_uploads"
    assert ada.patch(url, 0, b"second").status_code == 204
    refused = ada.create(5)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_submissions")
    assert Submission.objects.filter(student=User.objects.get(username="ada")).count() == 2


CLIENT = "b3c8d0a4-5f27-4d2b-9a46-0e8f5d1c7a90"


def test_what_a_client_begins_twice_is_one_upload(ada: Tus) -> None:
    """F28: the answer to the first request was lost, so it is sent again."""
    url = ada.start(client=CLIENT)
    ada.patch(url, 0, CONTENT[:100])
    assert ada.start(client=CLIENT) == url
    assert upload_at(url).offset == 100
    assert Upload.objects.count() == 1


def test_what_was_handed_in_is_found_again_when_its_upload_was_tidied_away(ada: Tus) -> None:
    """F28: a replay makes no second submission, however late it comes."""
    url = ada.start(len(CONTENT), client=CLIENT)
    ada.patch(url, 0, CONTENT)
    upload_at(url).delete()
    assert ada.start(client=CLIENT) == url
    again = ada.head(url)
    assert (again["Submission-New"], again["Upload-Offset"]) == ("0", str(len(CONTENT)))
    assert (Submission.objects.count(), Task.objects.count()) == (1, 1)


def test_two_students_may_use_the_same_client_id(ada: Tus, bo: Tus) -> None:
    assert ada.start(client=CLIENT) != bo.start(client=CLIENT)


def test_a_client_id_that_is_none_is_refused(ada: Tus) -> None:
    assert ada.create(5, client="../../x").status_code == 400


def test_bytes_that_a_crash_left_without_a_row_are_no_hindrance(ada: Tus, disk: Path) -> None:
    url = ada.start(client=CLIENT)
    ada.patch(url, 0, CONTENT)
    upload_at(url).delete()  # as if its transaction had never ended
    assert ada.start(client=CLIENT) == url
    ada.patch(url, 0, CONTENT[:50], Upload_Length="50")
    assert kept(Submission.objects.get(), disk) == CONTENT[:50]


def overridden(tus: Tus, url: str, method: str, body: bytes = b"", *, real: str = "POST", **headers: str) -> Answer:
    all_of_them = {**TUS, "X-HTTP-Method-Override": method, **headers}
    return tus.client.generic(real, url, body, "application/offset+octet-stream", headers=all_of_them)


@pytest.mark.parametrize("real", ["POST", "GET", "PUT"])
def test_the_method_may_be_given_in_a_header_whatever_the_real_one_is(ada: Tus, real: str) -> None:
    url = ada.start(len(CONTENT))
    assert overridden(ada, url, "PATCH", CONTENT[:9], real=real, **{"Upload-Offset": "0"}).status_code == 204
    assert overridden(ada, url, "head", real=real)["Upload-Offset"] == "9"
    assert overridden(ada, url, "TRACE", real=real).status_code == 405
    assert overridden(ada, url, "DELETE", real=real).status_code == 204
    assert not Upload.objects.exists()


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "POST"])
@pytest.mark.parametrize("real", ["GET", "HEAD", "POST"])
def test_an_overridden_method_needs_the_token_of_what_it_says(cast: Cast, method: str, real: str) -> None:
    url = Tus(cast.ada).start(len(CONTENT))
    strict = Tus(cast.ada, enforce_csrf_checks=True)
    refused = overridden(strict, url, method, b"x", real=real, **{"Upload-Offset": "0"})
    assert refused.status_code == 403
    assert Upload.objects.get().offset == 0


def test_elsewhere_the_header_changes_no_method(ada: Tus, cast: Cast) -> None:
    assert overridden(ada, "/submissions/fragment/", "POST", real="GET").status_code == 200


@pytest.mark.parametrize(("path", "method"), [("/api/uploads/", "PUT"), ("/api/uploads/nonsense", "HEAD")])
def test_every_answer_names_the_protocol_so_that_a_proxys_is_told_apart(ada: Tus, path: str, method: str) -> None:
    answer = ada.client.generic(method, path)
    assert (answer["Tus-Resumable"], answer["Cache-Control"]) == ("1.0.0", "no-store")
    assert answer.status_code in (404, 412)
    strict = Tus(None, enforce_csrf_checks=True)
    assert strict.post({"Upload-Length": "9"})["Tus-Resumable"] == "1.0.0"


def test_what_was_said_of_an_upload_is_said_again(ada: Tus, cast: Cast) -> None:
    url = ada.start(len(CONTENT))
    said = protocol.metadata(ada.head(url)["Upload-Metadata"])
    assert said == {"filename": "hello.mp4", "classroom": str(cast.classroom.pk)}
