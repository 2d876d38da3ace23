"""The class page: one row per student, its filters, its counts, and what can be done there."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import localtime, now
from pytest_django import DjangoAssertNumQueries

from evaluations.actions import decisions
from evaluations.models import Classroom, Evaluation, ReviewDecision, Submission, Transcript
from evaluations.stages.names import Stage
from queueing.exceptions import Permanent
from queueing.models import Forecast, Phase, Worker
from queueing.states import PhaseStep, State
from tests.conftest import Cast
from tests.evaluations.material import HOSTILE, claim, fail, finish, foretell, hand_in, write_results
from tests.evaluations.views.conftest import disk, signed_in

__all__ = ["disk"]


@pytest.fixture
def teacher(cast: Cast) -> Client:
    return signed_in(cast.teacher)


def address(cast: Cast, query: str = "") -> str:
    return f"/classes/{cast.classroom.pk}/{query}"


def rows(client: Client, cast: Cast, query: str = "") -> dict[str, str]:
    """Name → the text of the row, in the page's order."""
    html = client.get(address(cast, query)).content.decode()
    found = {}
    for row in re.findall(r"<tr id=\"student-.*?</tr>", html, re.DOTALL):
        text = " ".join(re.sub(r"<[^>]*>", " ", row).split())
        found[re.search(r"<bdi>(.*?)</bdi>", row)[1]] = text  # type: ignore[index]
    return found


def words(client: Client, path: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", client.get(path).content.decode()).split())


def rate(submission: Submission, **evaluation: Any) -> Evaluation:
    made = write_results(submission, **evaluation)
    finish(submission)
    return made


def test_each_student_has_one_row_the_missing_ones_too(cast: Cast, teacher: Client) -> None:
    hand_in(cast.ada, cast.classroom, name="first.mp4")
    hand_in(cast.ada, cast.classroom, name="second.mp4")
    found = rows(teacher, cast)
    assert list(found) == ["ada", "bo"]
    assert "missing" in found["bo"]
    assert "1 earlier first.mp4" in found["ada"]
    assert "second.mp4" not in found["ada"]  # the newest is the row itself


def test_who_left_the_class_stays_as_long_as_their_video_does(cast: Cast, teacher: Client) -> None:
    hand_in(cast.ada, cast.classroom)
    cast.classroom.students.remove(cast.ada)
    assert list(rows(teacher, cast)) == ["ada", "bo"]


def test_the_score_is_the_one_that_counts_and_says_when_it_is_a_persons(cast: Cast, teacher: Client) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    rated = rate(submission)
    assert " 7.5 " in rows(teacher, cast)["ada"]
    assert "by a person" not in rows(teacher, cast)["ada"]
    decisions.decide(
        submission_id=submission.pk,
        evaluation_id=rated.pk,
        by=cast.teacher,
        seen=0,
        kind=ReviewDecision.Kind.OVERALL,
        value=4.0,
        reason="I heard it.",
    )
    assert " 4.0 by a person" in rows(teacher, cast)["ada"]


def test_flags_are_shown_until_somebody_has_reviewed_it_and_an_appeal_until_it_is_answered(
    cast: Cast, teacher: Client
) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    rated = rate(submission, flags=["off_topic", "spoken_instructions", "uncertain", "doubtful"])
    assert "off topic talks to the rater uncertain hard to hear" in rows(teacher, cast)["ada"]
    decisions.decide(
        submission_id=submission.pk,
        evaluation_id=rated.pk,
        by=cast.teacher,
        seen=0,
        kind=ReviewDecision.Kind.REVIEWED,
        value=True,
    )
    assert "off topic" not in rows(teacher, cast)["ada"]
    assert list(rows(teacher, cast, "?show=to-review")) == []
    for kind, waits in (("appeal", True), ("answer", False)):
        ReviewDecision.objects.create(submission=submission, evaluation=rated, kind=kind, value="…", by=cast.ada)
        assert ("asks for another look" in rows(teacher, cast)["ada"]) is waits
        assert list(rows(teacher, cast, "?show=to-review")) == (["ada"] if waits else [])


@pytest.fixture
def one_of_each(cast: Cast) -> Cast:
    """Ada's is released, Bo's missing, and of Cleo, Dan, Eve and Fay one waits, failed, is hidden, was cancelled."""
    people = {name: User.objects.create(username=name) for name in ("cleo", "dan", "eve", "fay")}
    cast.classroom.students.add(*people.values())
    rate(hand_in(cast.ada, cast.classroom))
    hand_in(people["cleo"], cast.classroom)
    fail(hand_in(people["dan"], cast.classroom), Permanent(code="no_audio"))
    rate(hand_in(people["eve"], cast.classroom), released_at=None, overall=3.0)
    hand_in(people["fay"], cast.classroom).evaluation_task.cancel(by="fay")
    return cast


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["ada", "bo", "cleo", "dan", "eve", "fay"]),
        ("?show=missing", ["bo"]),
        ("?show=working", ["cleo"]),
        ("?show=failed", ["dan"]),
        ("?show=to-review", ["ada", "eve"]),
        ("?show=unreleased", ["eve"]),
        ("?show=done", ["ada", "eve"]),
        ("?q=A", ["ada", "dan", "fay"]),
        ("?q=a&show=done", ["ada"]),
        ("?sort=score", ["eve", "ada", "bo", "cleo", "dan", "fay"]),
        ("?sort=handed-in", ["fay", "eve", "dan", "cleo", "ada", "bo"]),
        ("?sort=status", ["dan", "bo", "cleo", "fay", "ada", "eve"]),
        ("?q=name", []),
        ("?show=nonsense&sort=nonsense&q=%00", ["ada", "bo", "cleo", "dan", "eve", "fay"]),
    ],
)
def test_the_address_says_what_is_shown(query: str, expected: list[str], one_of_each: Cast, teacher: Client) -> None:
    assert list(rows(teacher, one_of_each, query)) == expected


def test_each_filter_has_its_count_and_the_current_one_says_so(one_of_each: Cast, teacher: Client) -> None:
    html = teacher.get(address(one_of_each, "?show=failed&sort=score")).content.decode()
    counts = dict(re.findall(r'id="count-([\w-]+)" data-live>(\d+)<', html))
    assert counts == {
        "all": "6",
        "missing": "1",
        "working": "1",
        "failed": "1",
        "to-review": "2",
        "unreleased": "1",
        "done": "2",
    }
    (current,) = re.findall(r'<a href="([^"]*)"\s+aria-current="true"', html)[:1]
    assert current == "?show=failed&amp;sort=score"
    assert "2 done · 1 waiting or running · 1 failed · 1 cancelled · 1 missing" in html


def test_when_the_class_is_ready_is_said_as_soon_as_it_is_known_of_its_last_one(cast: Cast, teacher: Client) -> None:
    worker = Worker.objects.create(node="lab-pc", pid=1)
    Phase(node="lab-pc").enter(PhaseStep.ACTIVE, name="stt")
    first, second = hand_in(cast.ada, cast.classroom), hand_in(cast.bo, cast.classroom)
    claim(first, worker)
    foretell(first, 60, 120)
    assert "ready about" not in words(teacher, address(cast))  # nothing is known of Bo's
    foretell(second, 400, 600)
    expected = localtime(Forecast.objects.current().made_at + timedelta(seconds=600))
    assert f"ready about {expected:%H:%M}" in words(teacher, address(cast))
    worker.stopped_at = now()
    worker.save()
    assert "ready about" not in words(teacher, address(cast))


def test_what_is_empty_says_why(cast: Cast, teacher: Client) -> None:
    assert "Nobody has handed in a video yet." in words(teacher, address(cast))
    assert "No student fits what you chose." in words(teacher, address(cast, "?q=zoe"))
    cast.classroom.students.clear()
    assert "Nobody is in this class yet." in words(teacher, address(cast))


def test_a_language_that_is_not_rated_is_named_in_lists_and_by_the_api(cast: Cast, teacher: Client) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    fail(submission, Permanent("language", code="not_understood"), at=Stage.EXTRACT)
    made = {"engine": "simulated", "model": "none", "duration": 9, "speech_seconds": 8, "segments": [], "text": ""}
    Transcript.objects.create(submission=submission, language="fr", language_probability=0.98, **made)
    assert "It sounds like French" in rows(teacher, cast)["ada"]
    own = signed_in(cast.ada)
    assert "It sounds like French" in words(own, "/")
    assert words(own, f"/submissions/{submission.pk}/").count("It sounds like French") == 1
    for path in ("/api/my-videos", f"/api/status/{submission.pk}"):
        assert "It sounds like French" in own.get(path).content.decode()


def test_thirty_students_cost_as_many_queries_as_three(
    cast: Cast, teacher: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    def fill(numbers: range) -> None:
        for number in numbers:
            student = User.objects.create(username=f"student-{number}")
            cast.classroom.students.add(student)
            fail(hand_in(student, cast.classroom), Permanent(code="not_understood"))
            rate(hand_in(student, cast.classroom))

    fill(range(3))
    paths = ["", "?show=failed&sort=score", "sheets/?all=1", "export.csv", "retry-failed"]
    for path in paths:
        teacher.get(address(cast, path))  # what is cached for good
    few = {}
    for path in paths:
        with CaptureQueriesContext(connection) as queries:
            teacher.get(address(cast, path))
        few[path] = len(queries)
    fill(range(3, 30))
    for path in paths:
        with django_assert_num_queries(few[path]):
            teacher.get(address(cast, path))
    assert max(few.values()) < 25


# What is done there


def states(classroom: Classroom) -> list[str]:
    return sorted(each.evaluation_task.state for each in classroom.submissions.all())


def test_all_failed_ones_are_tried_again_and_a_page_without_scripts_asks_before(
    one_of_each: Cast, teacher: Client
) -> None:
    asked = words(teacher, address(one_of_each, "retry-failed"))
    assert "1 video of Group of Ms Teacher failed." in asked
    assert "dan : There is no sound in it" in asked
    assert states(one_of_each.classroom).count(State.FAILED) == 1
    html = teacher.get(address(one_of_each, "retry-failed?show=failed")).content.decode()
    (action,) = re.findall(r'action="(/classes/[^"]*)"', html)
    keys = re.findall(r'name="submission" value="([^"]*)"', html)
    answer = teacher.post(action, {"submission": keys}, follow=True)
    assert answer.redirect_chain == [(address(one_of_each, "?show=failed"), 302)]
    assert "1 queued." in answer.content.decode()
    assert states(one_of_each.classroom).count(State.FAILED) == 0
    # Once more, from a page that was opened before.
    again = teacher.post(action, {"submission": keys}, follow=True).content.decode()
    assert "0 queued, 1 skipped: it neither failed nor was cancelled." in again
    assert "Nothing of this class has failed." in words(teacher, address(one_of_each, "retry-failed"))


def test_a_script_gets_words_for_the_board_and_the_board_is_asked_for_again(one_of_each: Cast, teacher: Client) -> None:
    answer = teacher.post(address(one_of_each, "retry-failed"), headers={"HX-Request": "true"})
    assert answer.content.decode() == '<p class="notice">1 queued.</p>'
    assert answer["HX-Trigger-After-Swap"] == "board-changed"


def test_the_chosen_ones_are_tried_again_and_nobody_elses(one_of_each: Cast, teacher: Client) -> None:
    theirs = hand_in(one_of_each.outsider, one_of_each.other_classroom)
    fail(theirs, Permanent(code="no_audio"))
    ours = list(one_of_each.classroom.submissions.values_list("pk", flat=True))
    given = {"submission": [*ours, theirs.pk, "nonsense", "' OR 1=1", ""]}
    page = teacher.post(address(one_of_each, "retry"), given, follow=True).content.decode()
    assert "2 queued, 3 skipped: they neither failed nor were cancelled." in page
    assert theirs.evaluation_task.state == State.FAILED


def test_nothing_chosen_is_nothing_done(one_of_each: Cast, teacher: Client) -> None:
    page = teacher.post(address(one_of_each, "retry"), follow=True).content.decode()
    assert "Nothing was chosen that could be tried again." in page
    assert states(one_of_each.classroom).count(State.FAILED) == 1


def test_what_people_wrote_is_only_text(cast: Cast, teacher: Client) -> None:
    User.objects.filter(pk=cast.ada.pk).update(first_name=HOSTILE[:150])
    hand_in(cast.ada, cast.classroom, name=HOSTILE)
    rate(hand_in(cast.ada, cast.classroom, name=HOSTILE), text=HOSTILE)
    for path in ("", "?q=%3Cscript%3E", "sheets/?all=1", "retry-failed"):
        assert "<script>alert" not in teacher.get(address(cast, path)).content.decode()


# Sheets


def test_a_sheet_has_what_counts_and_only_what_is_released(cast: Cast, teacher: Client) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    rated = rate(submission)
    hidden = rate(hand_in(cast.bo, cast.classroom), released_at=None)
    for kind, key, value, reason in (
        (ReviewDecision.Kind.ITEM, "proof", True, ""),
        (ReviewDecision.Kind.COMMENT, "", "Well told!", ""),
    ):
        decisions.decide(
            submission_id=submission.pk,
            evaluation_id=rated.pk,
            by=cast.teacher,
            seen=0,
            kind=kind,
            key=key,
            value=value,
            reason=reason,
        )
    sheets = teacher.get(address(cast, "sheets/")).content.decode()
    assert re.findall(r'id="sheet-(\d+)"', sheets) == [str(cast.ada.pk)]
    text = words(teacher, address(cast, "sheets/"))
    assert "10.0 of 10" in text  # both items are shown by now
    assert "Well told!" in text
    assert "What you can try next" not in text  # nothing is left to be advised
    both = teacher.get(address(cast, "sheets/?all=1")).content.decode()
    assert re.findall(r'id="sheet-(\d+)"', both) == [str(cast.ada.pk), str(cast.bo.pk)]
    one = teacher.get(address(cast, f"sheets/?all=1&student={cast.bo.pk}")).content.decode()
    assert re.findall(r'id="sheet-(\d+)"', one) == [str(hidden.submission.student_id)]
    for nobody in ("0", "nonsense", f"{cast.outsider.pk}"):
        assert "There is nothing to print yet." in words(teacher, address(cast, f"sheets/?student={nobody}"))
