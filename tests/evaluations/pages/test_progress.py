from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils.timezone import now
from pytest_django import Settings

from evaluations.errors import catalogue
from evaluations.models import Submission, Upload
from evaluations.pages import progress, rows
from evaluations.pages.progress import AttemptProgress, in_words
from queueing.exceptions import Permanent
from tests.conftest import Cast
from tests.evaluations.material import fail, hand_in, write_long_results
from tests.evaluations.views.conftest import disk, signed_in

__all__ = ["disk"]

FIRST = {"Clarity": 6.0, "Confidence": 7.0}
SECOND = {"Clarity": 7.2, "Confidence": 6.5, "Structure": 8.0}


@pytest.fixture
def first(cast: Cast) -> Submission:
    submission = hand_in(cast.ada, cast.classroom, name="first.mp4")
    write_long_results(submission, scores=FIRST)
    return submission


@pytest.fixture
def second(cast: Cast, first: Submission) -> Submission:
    submission = hand_in(cast.ada, cast.classroom, name="second.mp4")
    write_long_results(submission, scores=SECOND)
    return submission


def seen(found: Submission, viewer: User) -> AttemptProgress:
    found_progress = progress.of(found, viewer)
    assert found_progress
    return found_progress


def test_each_criterion_says_how_it_went_since_last_time(cast: Cast, second: Submission) -> None:
    changes = {line.title: line.change for line in seen(second, cast.ada).lines}
    assert changes == {
        "Clarity": "+1.2 since last time, a step forward.",
        "Confidence": "0.5 below last time. That happens to everybody.",
        "Structure": "",  # the rubric was changed in between
    }


def test_the_first_recording_has_a_line_and_no_last_time(cast: Cast, first: Submission, second: Submission) -> None:
    shown = seen(first, cast.ada)
    assert [line.change for line in shown.lines] == ["", "", ""]
    assert [(one.is_this, one.scores) for one in shown.recordings] == [
        (True, (6.0, 7.0, None)),
        (False, (7.2, 6.5, 8.0)),
    ]
    assert [dot is None for dot in shown.lines[2].chart.dots] == [True, False]


def test_one_recording_is_no_progress(cast: Cast, first: Submission) -> None:
    assert progress.of(first, cast.ada) is None


def test_a_score_that_waits_for_review_is_in_no_line(cast: Cast, second: Submission) -> None:
    third = hand_in(cast.ada, cast.classroom, name="third.mp4")
    write_long_results(third, scores={"Clarity": 9.9}, released_at=None)
    for viewer, count in ((cast.ada, 2), (cast.teacher, 3)):
        assert len(seen(second, viewer).recordings) == count
    # On its own page neither: not even the change reveals the score.
    assert not any(line.change for line in seen(third, cast.ada).lines)
    assert "9.9" not in str(seen(third, cast.ada))


def test_other_students_and_other_classes_are_not_in_it(cast: Cast, second: Submission) -> None:
    write_long_results(hand_in(cast.bo, cast.classroom), scores=FIRST)
    write_long_results(hand_in(cast.ada, cast.other_classroom), scores=FIRST)
    assert {one.submission.original_name for one in seen(second, cast.ada).recordings} == {"first.mp4", "second.mp4"}


def test_ratings_of_different_models_are_told_apart(cast: Cast, second: Submission) -> None:
    assert seen(second, cast.ada).alike
    write_long_results(hand_in(cast.ada, cast.classroom), scores=FIRST, model="another")
    assert not seen(second, cast.ada).alike


@pytest.mark.parametrize("other", ["version", "method"])
def test_ratings_that_can_not_be_compared_are_left_out_and_named(
    cast: Cast, first: Submission, second: Submission, other: str
) -> None:
    given = {"rubric": cast.classroom.rubric.new_version()} if other == "version" else {"method": "levels"}
    third = hand_in(cast.ada, cast.classroom, name="third.mp4")
    write_long_results(third, scores={"Clarity": 9.0}, **given)
    shown = seen(second, cast.ada)
    assert [one.submission for one in shown.recordings] == [first, second]
    assert shown.left_out == (third,)
    alone = seen(third, cast.ada)
    assert alone.left_out == (first, second)
    assert not alone.is_comparison
    assert [line.change for line in alone.lines] == [""]
    fourth = hand_in(cast.ada, cast.classroom, name="fourth.mp4")
    write_long_results(fourth, scores={"Clarity": 8.0}, **given)
    assert seen(fourth, cast.ada).lines[0].change == "1.0 below last time. That happens to everybody."


def test_its_page_says_what_is_left_out_and_draws_no_line_over_it(cast: Cast, first: Submission) -> None:
    other = hand_in(cast.ada, cast.classroom, name="other.mp4")
    write_long_results(other, scores={"Clarity": 9.0}, rubric=cast.classroom.rubric.new_version())
    text = signed_in(cast.ada).get(f"/submissions/{other.pk}/").content.decode()
    _, _, history = text.partition('id="progress-heading"')
    history = history.partition("</section>")[0]
    assert "are left out:" in history
    assert "first.mp4" in history
    assert "<table>" not in history


def test_recordings_without_scores_are_no_progress(cast: Cast, first: Submission) -> None:
    unrated = hand_in(cast.ada, cast.classroom)
    write_long_results(unrated, scores={}, method="none", overall=None)
    assert progress.of(unrated, cast.ada) is None


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (6.0, 7.2, "+1.2 since last time, a step forward."),
        (7.0, 7.04, "The same as last time."),
        (7.0, 6.96, "The same as last time."),
        (7.1, 6.0, "1.1 below last time. That happens to everybody."),
        (None, 6.0, ""),
        (6.0, None, ""),
    ],
)
def test_a_change_is_said_kindly(before: float | None, now: float | None, words: str) -> None:
    assert in_words(before, now) == words


@pytest.mark.parametrize("code", ["not_media", "unreadable", "empty_file", "file_missing", "file_damaged"])
def test_nobody_is_told_that_a_file_is_safe_that_is_no_recording_or_is_lost(cast: Cast, code: str) -> None:
    submission = hand_in(cast.ada, cast.classroom, name="notes.docx")
    fail(submission, Permanent("it is none", code=code))
    toast = rows.one(submission).toast
    assert "safe" not in toast
    assert catalogue.explain(code).title in toast
    page = signed_in(cast.ada).get(f"/submissions/{submission.pk}/").content.decode()
    assert "come all the same" not in page


def test_a_video_that_failed_for_another_reason_is_said_to_be_safe(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    fail(submission, Permanent("it hung", code="hung"))
    assert rows.one(submission).toast == "hello.mp4 could not be finished. The video is safe."


def test_unfinished_uploads_are_polled_until_there_are_none(cast: Cast) -> None:
    """A second window, or another device, learns that one went on, was finished, or was discarded."""
    client = signed_in(cast.ada)
    upload = Upload.objects.create(
        student=cast.ada,
        classroom=cast.classroom,
        original_name="a.mp4",
        length=9,
        expires_at=now() + timedelta(hours=1),
    )
    page = client.get("/submissions/unfinished/").content.decode()
    state = re.search(r'"state": "(\w+)"', page)
    assert state
    assert "hx-trigger" in page
    same = client.get("/submissions/unfinished/", {"state": state[1]})
    assert same.status_code == 204
    Upload.objects.update(offset=5)
    assert "5\xa0bytes of" in client.get("/submissions/unfinished/", {"state": state[1]}).content.decode()
    for change in ({"submission": hand_in(cast.ada, cast.classroom)}, {"submission": None, "expires_at": now()}):
        Upload.objects.filter(pk=upload.pk).update(**change)
        gone = client.get("/submissions/unfinished/", {"state": state[1]}).content.decode()
        assert "a.mp4" not in gone
        assert "hx-trigger" not in gone


def test_an_upload_that_another_window_may_be_sending_is_said_to_be(cast: Cast, settings: Settings) -> None:
    fresh = now() + timedelta(hours=settings.UPLOAD_EXPIRES_HOURS)
    for name, expires_at in (("now.mp4", fresh), ("before.mp4", fresh - timedelta(minutes=1))):
        Upload.objects.create(
            student=cast.ada, classroom=cast.classroom, original_name=name, length=9, expires_at=expires_at
        )
    page = signed_in(cast.ada).get("/submissions/unfinished/").content.decode()
    assert page.count("another window or device may be sending it") == 1
