"""What a class keeps no longer goes by upkeep, with a receipt, and nothing that is still worked on."""

from __future__ import annotations

import io
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils.timezone import get_current_timezone, localdate, now
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from evaluations.actions import appeals
from evaluations.coaching.operations import requests
from evaluations.errors.refusals import RefusedError
from evaluations.media import store
from evaluations.models import SUMMARY, Classroom, Evaluation, Receipt, Submission, Transcript
from evaluations.models.privacy import school_year_end
from evaluations.uploads import audit, limits, result_files, upkeep
from evaluations.uploads.privacy import retention
from queueing.signals import upkeep_due
from tests.conftest import Cast
from tests.evaluations.material import finish, hand_in, write_results
from tests.evaluations.uploads.conftest import Tus
from tests.evaluations.views.conftest import signed_in

DAYS = 30


@pytest.fixture
def classroom(cast: Cast) -> Classroom:
    cast.classroom.keeps_videos_days, cast.classroom.keeps_results_until = DAYS, None
    cast.classroom.save()
    return cast.classroom


def released(cast: Cast, days_ago: float, **more: Any) -> Submission:
    found = hand_in(cast.ada, cast.classroom, **more)
    finish(found)
    write_results(found, released_at=now() - timedelta(days=days_ago))
    return found


def handed_in(submission: Submission, day: date) -> Submission:
    at = datetime(day.year, day.month, day.day, 12, tzinfo=get_current_timezone())
    Submission.objects.filter(pk=submission.pk).update(created_at=at)
    return submission


def is_stored(submission: Submission) -> bool:
    return (store._media_root() / submission.path).exists()


def test_a_video_goes_its_days_after_the_release_and_what_was_heard_stays(
    cast: Cast, classroom: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = released(cast, DAYS + 0.01), released(cast, DAYS - 0.01)
    store.locate(old.path).with_name(store.COPY).write_bytes(b"copy")
    for duty in upkeep.DUTIES:
        monkeypatch.setattr(duty, "next_at", 0.0)
    upkeep_due.send(sender=None)
    old.refresh_from_db()
    assert (is_stored(old), is_stored(new), old.video_gone_at is not None) == (False, True, True)
    assert (Transcript.objects.count(), Evaluation.objects.count()) == (2, 2)
    receipt = Receipt.objects.get()
    assert (receipt.what, receipt.whose, receipt.submission) == ("video", cast.ada.pk, old.pk)
    assert (receipt.size, receipt.by, receipt.classroom) == (old.size, None, classroom)
    assert str(DAYS) in receipt.why
    assert retention.prune() == 0, "once is enough"


def test_a_video_that_was_removed_in_order_alarms_nobody(cast: Cast, classroom: Classroom) -> None:
    old = released(cast, DAYS + 1)
    retention.prune()
    assert not audit.alarming()
    out = io.StringIO()
    call_command("verify_store", "--deep", stdout=out)  # would exit with 1
    assert "1 submissions" in out.getvalue()
    page = signed_in(cast.ada).get(f"/submissions/{old.pk}/").content.decode()
    assert "when its time in this class was over" in page
    assert "submission-media" not in page
    assert "I like climbing." in page
    assert signed_in(cast.ada).get(f"/submissions/{old.pk}/media").status_code == 404


def test_the_same_file_again_is_the_submission_that_there_is(cast: Cast, classroom: Classroom) -> None:
    content = b"fLaC" + bytes(range(256)) * 8
    old = released(cast, DAYS + 1, content=content)
    retention.prune()
    answer = Tus(cast.ada).send(content)
    assert (answer["Submission-Id"], answer["Submission-New"]) == (str(old.pk), "0")
    assert not is_stored(old)


def test_nothing_goes_that_is_worked_on_or_to_be_looked_at_again_or_was_never_released(
    cast: Cast, classroom: Classroom
) -> None:
    classroom.keeps_results_until = localdate() - timedelta(days=1)
    classroom.save()
    busy, waiting = released(cast, DAYS + 1), hand_in(cast.bo, classroom)
    requests.request(submission=busy, pipeline=SUMMARY)
    for each in (busy, waiting):
        handed_in(each, localdate() - timedelta(days=90))
    assert retention.prune() == 0
    asked = released(cast, DAYS + 1)
    appeals.ask(submission=asked, by=cast.ada, sentence="Look again, please.")
    held = hand_in(cast.ada, classroom)
    finish(held)
    write_results(held, released_at=None)
    assert retention.prune_videos() == 0
    assert all(map(is_stored, (busy, waiting, asked, held)))


def test_appeals_that_wait_hold_back_nobody_elses_video_and_their_own_for_a_time_only(
    cast: Cast, classroom: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 1)
    asked, other = released(cast, DAYS + 2), released(cast, DAYS + 1)
    appeals.ask(submission=asked, by=cast.ada, sentence="Look again, please.")
    assert (retention.prune(), is_stored(asked), is_stored(other)) == (1, True, False)
    classroom.keeps_results_until = localdate() - timedelta(days=1)
    classroom.save()
    handed_in(asked, localdate() - timedelta(days=90))
    assert retention.prune() == 0
    monkeypatch.setattr(retention, "APPEAL_DAYS", 0)
    assert retention.prune_submissions() == 1


def test_a_release_that_was_withdrawn_meanwhile_keeps_its_video(cast: Cast, classroom: Classroom) -> None:
    found = released(cast, DAYS + 1)
    Evaluation.objects.update(released_at=None)
    assert not retention._remove_video(found.pk)
    assert is_stored(found)


def test_a_day_that_is_over_is_no_day_to_keep_things_until(cast: Cast, classroom: Classroom) -> None:
    page = f"/classes/{classroom.pk}/privacy/"
    answer = signed_in(cast.teacher).post(page, {"text": "We agree.", "keeps_results_until": "0026-07-31"})
    assert answer.status_code == 400
    assert "That day is over" in answer.content.decode()
    Classroom.objects.update(keeps_results_until=date(2020, 7, 31))  # years ago, and it comes again every year
    answer = signed_in(cast.teacher).post(page, {"text": "We agree.", "keeps_results_until": "2020-07-31"})
    assert answer.status_code == 302


def test_a_video_that_was_removed_takes_no_more_room(cast: Cast, classroom: Classroom, settings: Settings) -> None:
    old = released(cast, DAYS + 1)
    settings.UPLOAD_QUOTA_BYTES = old.size + 10
    with pytest.raises(RefusedError):
        limits.check_kept(cast.ada, 20)
    retention.prune()
    limits.check_kept(cast.ada, 20)


def test_the_year_takes_a_video_whose_days_would_be_longer(cast: Cast, classroom: Classroom) -> None:
    classroom.keeps_results_until = localdate() + timedelta(days=3)
    classroom.save()
    found = released(cast, 1)
    kept = retention.of(found, now())
    assert kept.video == kept.everything == classroom.keeps_results_until


def test_everything_of_a_school_year_goes_after_its_last_day(
    cast: Cast, classroom: Classroom, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    yesterday = localdate() - timedelta(days=1)
    classroom.keeps_videos_days, classroom.keeps_results_until = None, yesterday
    classroom.save()
    old, last, new = (released(cast, 0) for _ in range(3))
    handed_in(old, yesterday - timedelta(days=300))
    handed_in(last, yesterday)
    assert retention.of(new, None).everything == _a_year_after(yesterday)
    result_files.write(old.pk)
    with django_capture_on_commit_callbacks(execute=True):
        assert retention.prune() == 2
    assert [row.pk for row in Submission.objects.all()] == [new.pk]
    assert [is_stored(each) for each in (old, last, new)] == [False, False, True]
    assert not list(result_files.folder_of_results().glob(f"class-*/{old.pk}.*"))
    assert {row.submission for row in Receipt.objects.filter(what="submission", whose=cast.ada.pk)} == {old.pk, last.pk}


def test_a_class_that_says_nothing_keeps_everything(cast: Cast, classroom: Classroom) -> None:
    classroom.keeps_videos_days = None
    classroom.save()
    handed_in(released(cast, 4000), localdate() - timedelta(days=4000))
    assert retention.prune() == 0


def test_the_end_comes_again_every_year(cast: Cast) -> None:
    until = date(2024, 2, 29)
    assert retention._last_end(until, date(2024, 2, 29)) is None
    assert retention._last_end(until, date(2024, 3, 1)) == until
    assert retention._last_end(until, date(2026, 1, 1)) == date(2025, 2, 28)
    assert retention._next_end(until, date(2020, 5, 5)) == until
    assert retention._next_end(until, date(2024, 3, 1)) == date(2025, 2, 28)


def test_a_new_class_keeps_videos_for_a_month_and_the_rest_to_the_end_of_the_school_year(cast: Cast) -> None:
    made = Classroom.objects.create(name="9b", rubric=cast.classroom.rubric)
    assert made.keeps_videos_days == 30
    assert made.keeps_results_until == school_year_end()
    assert (school_year_end().month, school_year_end().day) == (7, 31)
    assert timedelta(days=30) <= school_year_end() - localdate() <= timedelta(days=396)


def test_students_and_teachers_are_told_how_long(cast: Cast, classroom: Classroom) -> None:
    classroom.keeps_results_until = date(2099, 7, 31)
    classroom.save()
    found = released(cast, 1)
    for page in (f"/submissions/{found.pk}/", "/privacy/"):
        assert "July 31, 2099" in signed_in(cast.ada).get(page).content.decode()
    page = signed_in(cast.teacher).get(f"/classes/{classroom.pk}/students/{cast.ada.pk}/").content.decode()
    assert "removed 30 days after its result was released" in " ".join(page.split())


def _a_year_after(day: date) -> date:
    return retention._in_year(day, day.year + 1)
