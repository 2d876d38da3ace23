"""The review page: in which order, what is decided, and two teachers at one submission."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from evaluations.actions import appeals, decisions
from evaluations.actions.decisions import Kind
from evaluations.models import REEXTRACTION, Evaluation, Rerating, ReviewDecision, Submission
from evaluations.pages import review
from evaluations.stages.again import ExtractAgain, RateAgain
from queueing.models import Task
from tests.conftest import Cast
from tests.evaluations.material import HOSTILE, finish, hand_in, newest_decision, write_long_results, write_results
from tests.evaluations.views.conftest import signed_in


@pytest.fixture
def rating(cast: Cast) -> Evaluation:
    return write_results(hand_in(cast.ada, cast.classroom), released_at=None)


@pytest.fixture
def teacher(cast: Cast) -> Client:
    return signed_in(cast.teacher)


@pytest.fixture
def colleague(cast: Cast) -> Client:
    """Another teacher of the same class."""
    cast.classroom.teachers.add(cast.other_teacher)
    return signed_in(cast.other_teacher)


def page_of(rating: Evaluation) -> str:
    return f"/classes/{rating.submission.classroom_id}/review/{rating.submission_id}/"


def decide(client: Client, rating: Evaluation, do: str, *, part: bool = False, **given: Any) -> Any:
    seen = given.pop("seen", None)
    seen = newest_decision(rating) if seen is None else seen
    headers = {"X-Part": "review"} if part else {}
    fields = {"do": do, "evaluation": rating.pk, "seen": seen, **given}
    return client.post(page_of(rating), fields, headers=headers)


def text_of(answer: Any) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def order(cast: Cast) -> list[str]:
    return [entry.submission.original_name for entry in review.queue(cast.classroom).entries]


# Order


def test_the_worst_comes_first_and_what_was_reviewed_last(cast: Cast, teacher: Client) -> None:
    def rated(name: str, **evaluation: Any) -> Evaluation:
        return write_results(hand_in(cast.ada, cast.classroom, name=name), **evaluation)

    rated("good", overall=9.0)
    rated("poor", overall=2.0)
    rated("doubtful", flags=["doubtful"])
    rated("uncertain", flags=["uncertain", "doubtful"])
    rated("off topic", flags=["off_topic"])
    rated("spoken", flags=["spoken_instructions"], overall=9.9)
    seen = rated("reviewed", flags=["spoken_instructions", "off_topic"])
    decide(teacher, seen, "reviewed", value="yes")
    asked = rated("asked", overall=10.0)
    decide(teacher, asked, "reviewed", value="yes")
    unsupported = rated("invented", overall=9.0)
    unsupported.submission.form.unsupported = [{"field": "age", "value": 7}]
    unsupported.submission.form.save()
    hand_in(cast.ada, cast.classroom, name="not rated")
    assert appeals.ask(submission=asked.submission, by=cast.ada, sentence="I did say my name.")
    assert order(cast) == [
        *("asked", "spoken", "off topic", "uncertain", "doubtful", "invented", "poor", "good", "reviewed")
    ]
    answer = teacher.get(f"/classes/{cast.classroom.pk}/review/")
    assert answer["Location"] == page_of(asked)
    assert "2 of 9 reviewed" in text_of(teacher.get(page_of(asked)))


def test_the_order_costs_the_same_however_many_there_are(
    cast: Cast, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(3):
        write_results(hand_in(cast.ada, cast.classroom, name=str(number)))
    with django_assert_num_queries(3):
        assert len(review.queue(cast.classroom).entries) == 3


def test_a_class_without_ratings_says_so(cast: Cast, teacher: Client) -> None:
    answer = teacher.get(f"/classes/{cast.classroom.pk}/review/", follow=True)
    assert "there is nothing to review" in text_of(answer)


def test_what_is_not_rated_has_no_review_page(cast: Cast, teacher: Client) -> None:
    found = hand_in(cast.ada, cast.classroom)
    assert teacher.get(f"/classes/{cast.classroom.pk}/review/{found.pk}/").status_code == 404


def test_a_submission_of_another_class_is_not_found(cast: Cast, teacher: Client, rating: Evaluation) -> None:
    other = cast.other_classroom.pk
    assert teacher.get(page_of(rating).replace(f"/{cast.classroom.pk}/", f"/{other}/")).status_code == 404
    cast.other_classroom.teachers.add(cast.teacher)
    assert teacher.get(page_of(rating).replace(f"/{cast.classroom.pk}/", f"/{other}/")).status_code == 404


# Deciding


def test_a_form_without_a_script_decides_and_comes_back(teacher: Client, rating: Evaluation) -> None:
    answer = decide(teacher, rating, "item", key="proof", value="yes", reason="at 1:02")
    assert answer["Location"] == page_of(rating)
    page = text_of(teacher.get(page_of(rating)))
    assert "by a teacher" in page
    assert "program: no" in page  # what it said stays to be seen
    assert "10.0 of 10" in page
    decide(teacher, rating, "item", key="proof", value="program")
    assert decisions.standing(rating).items == {}


def test_one_press_reviews_and_leads_to_the_next_that_waits(cast: Cast, teacher: Client, rating: Evaluation) -> None:
    worse = write_results(hand_in(cast.bo, cast.classroom), flags=["off_topic"], released_at=None)
    answer = decide(teacher, worse, "reviewed", value="yes")
    assert answer["Location"] == page_of(rating)
    answer = decide(teacher, rating, "reviewed", value="release")
    assert answer["Location"] == page_of(rating)  # none is left
    rating.refresh_from_db()
    worse.refresh_from_db()
    assert (rating.released_at is not None, worse.released_at) == (True, None)


def test_an_overall_score_needs_a_reason(teacher: Client, rating: Evaluation) -> None:
    for value, reason in (("5", ""), ("5", "  "), ("11", "x"), ("nan", "x"), ("inf", "x"), ("five", "x"), ("", "x")):
        answer = decide(teacher, rating, "overall", value=value, reason=reason)
        assert answer.status_code == 400, value
        assert "needs a reason" in text_of(answer)
    assert not ReviewDecision.objects.exists()
    decide(teacher, rating, "overall", value="5", reason="read from a sheet")
    assert "5.0 of 10 by a teacher; the program gave 7.5" in text_of(teacher.get(page_of(rating)))
    decide(teacher, rating, "overall", value="computed")
    assert decisions.standing(rating).overall is None


@pytest.mark.parametrize(
    "fields",
    [
        {"do": "nothing"},
        {"do": "item", "key": "none of these", "value": "yes"},
        {"do": "item", "key": "proof", "value": "maybe"},
        {"do": "comment", "text": "x" * 2001},
        {"do": "comment", "text": "\0"},
        {"do": "reviewed", "value": "yes", "seen": 10**30},
        {"do": "reviewed", "value": "yes", "evaluation": "x"},
        {"do": "answer", "text": "Nobody asked."},
        {"do": "word", "key": "99", "text": "x"},
        {"do": "word", "key": "x", "text": "x"},
        {"do": "word", "key": "0", "text": " "},
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    teacher: Client, rating: Evaluation, fields: dict[str, Any]
) -> None:
    answer = teacher.post(page_of(rating), {"evaluation": rating.pk, "seen": 0, **fields})
    assert answer.status_code == 400
    assert "Nothing was changed." in text_of(answer)
    assert not ReviewDecision.objects.exists()


def test_undo_takes_back_the_last_and_says_when_there_is_none(teacher: Client, rating: Evaluation) -> None:
    decide(teacher, rating, "comment", text="Well done.")
    assert "Taken back." in decide(teacher, rating, "undo", part=True).content.decode()
    assert decisions.standing(rating).comment == ""
    assert "nothing of yours" in decide(teacher, rating, "undo", part=True).content.decode()


def test_releasing_and_hiding_again(teacher: Client, rating: Evaluation) -> None:
    decide(teacher, rating, "released", value="yes")
    assert Evaluation.objects.get().released_at is not None
    decide(teacher, rating, "released", value="no", seen=ReviewDecision.objects.latest("pk").pk)
    assert Evaluation.objects.get().released_at is None


def test_a_class_is_released_by_what_was_reviewed_or_whole_and_hidden_again(
    cast: Cast, teacher: Client, rating: Evaluation
) -> None:
    other = write_results(hand_in(cast.bo, cast.classroom), released_at=None)
    decide(teacher, other, "reviewed", value="yes")
    url = f"/classes/{cast.classroom.pk}/review/"

    def post(do: str) -> tuple[str, int]:
        page = text_of(teacher.post(url, {"do": do}, follow=True))
        return page, Evaluation.objects.exclude(released_at=None).count()

    for do, words, shown in (
        ("reviewed", "1 result was released.", 1),
        ("all", "1 result was released.", 2),
        ("all", "0 results were released.", 2),
        ("hide", "2 results were hidden.", 0),
        ("else", "Nothing was changed.", 0),
    ):
        page, count = post(do)
        assert words in page, do
        assert count == shown, do


def test_what_others_decided_on_a_rating_before_this_one_is_no_conflict(
    cast: Cast, teacher: Client, colleague: Client, rating: Evaluation
) -> None:
    decide(colleague, rating, "comment", text="Good.")
    newer = Evaluation.objects.create(submission=rating.submission, feedback="", scores=rating.scores)
    Submission.objects.update(evaluation=newer)
    seen = re.findall(r'name="seen"\s+value="(\d+)"', teacher.get(page_of(rating)).content.decode())
    assert decide(teacher, newer, "reviewed", value="yes", seen=seen[0]).status_code == 302
    assert decisions.standing(newer).is_reviewed


def test_a_script_is_answered_by_the_part_that_changes(teacher: Client, rating: Evaluation) -> None:
    answer = decide(teacher, rating, "item", part=True, key="proof", value="yes").content.decode()
    assert answer.strip().startswith('<div id="review"')
    assert "<html" not in answer
    assert 'data-said="Saved."' in answer


# Two teachers


@pytest.mark.parametrize("part", [False, True])
def test_a_second_teacher_is_told_and_loses_nothing(
    teacher: Client, colleague: Client, rating: Evaluation, part: bool
) -> None:
    decide(teacher, rating, "item", key="proof", value="yes")
    answer = decide(colleague, rating, "comment", part=part, seen=0, text="Speak up <more>.")
    assert answer.status_code == 409
    page = text_of(answer)
    assert "Somebody else has changed this since you looked" in page
    assert "teacher: “I like climbing.”: yes." in page
    assert decisions.standing(rating).comment == ""
    # The offer is a form that does it all the same.
    offer = re.search(r"<form.*?</form>", answer.content.decode().split("offer", 1)[1], re.DOTALL)
    assert offer
    hidden = dict(re.findall(r'name="(\w+)"\s+value="([^"]*)"', offer[0]))
    text = re.search(r"<textarea[^>]*>(.*?)</textarea>", offer[0], re.DOTALL)
    assert text
    again = {name: hidden[name] for name in ("do", "evaluation", "seen")} | {"text": unescape(text[1])}
    assert colleague.post(page_of(rating), again).status_code == 302
    stand = decisions.standing(rating)
    assert (stand.comment, stand.items) == ("Speak up <more>.", {"proof": True})


def test_a_rating_that_counts_no_more_is_a_conflict_that_can_be_done_again(teacher: Client, rating: Evaluation) -> None:
    newer = Evaluation.objects.create(submission=rating.submission, feedback="", scores=rating.scores)
    Submission.objects.update(evaluation=newer)
    answer = decide(teacher, rating, "reviewed", value="yes")
    assert answer.status_code == 409
    assert "Another rating counts by now" in text_of(answer)
    assert f'name="evaluation" value="{newer.pk}"' in " ".join(answer.content.decode().split())


# What counts is what is shown


def as_student(user: User, rating: Evaluation) -> str:
    return text_of(signed_in(user).get(f"/submissions/{rating.submission_id}/"))


def test_the_student_reads_what_counts_and_what_the_program_said(cast: Cast, teacher: Client) -> None:
    rating = write_long_results(hand_in(cast.ada, cast.classroom), scores={"Clarity": 6.0, "Content": 8.0})
    decide(teacher, rating, "item", key="proof", value="yes")
    decide(teacher, rating, "comment", text=f"Nice {HOSTILE}")
    page = as_student(cast.ada, rating)
    assert "by your teacher · the program said: no, probably" in page or "the program said: no" in page
    assert "From your teacher" in page
    assert f"Nice {HOSTILE}" in page
    assert "<script>alert" not in signed_in(cast.ada).get(f"/submissions/{rating.submission_id}/").content.decode()
    decide(teacher, rating, "overall", value="9.5", reason="more than its parts")
    page = as_student(cast.ada, rating)
    assert "9.5 of 10 · by your teacher, the program gave 7.0" in page
    assert "Reason: more than its parts" in page


def test_feedback_is_composed_from_what_counts(cast: Cast, teacher: Client) -> None:
    rating = write_long_results(hand_in(cast.ada, cast.classroom), scores={"Clarity": 6.0})
    assert "You could start from" in as_student(cast.ada, rating)
    decide(teacher, rating, "item", key="proof", value="yes")
    assert "What you can try next" not in as_student(cast.ada, rating)


def test_the_api_says_what_counts_and_what_the_program_said(cast: Cast, teacher: Client, rating: Evaluation) -> None:
    decide(teacher, rating, "item", key="proof", value="yes")
    decide(teacher, rating, "comment", text="Good.")
    decide(teacher, rating, "released", value="yes", seen=ReviewDecision.objects.latest("pk").pk)
    found = signed_in(cast.ada).get(f"/api/submissions/{rating.submission_id}/results").json()["evaluation"]
    item = next(one for one in found["scores"][0]["items"] if one["key"] == "proof")
    assert (item["answer"], item["program"], item["by_person"]) == (True, False, True)
    assert (found["overall"], found["overall_by_program"], found["comment"]) == (10.0, 7.5, "Good.")
    listed = teacher.get(f"/api/classes/{cast.classroom.pk}").json()["submissions"]
    assert [one["overall"] for one in listed] == [10.0]


def test_the_history_of_recordings_uses_what_counts(cast: Cast, teacher: Client) -> None:
    first = write_long_results(hand_in(cast.ada, cast.classroom), scores={"Clarity": 6.0})
    second = write_long_results(hand_in(cast.ada, cast.classroom), scores={"Clarity": 6.0})
    decide(teacher, second, "item", key="proof", value="yes")
    assert "+2.9 since last time" in as_student(cast.ada, second)
    assert first.scores[0]["score"] == 6.0


def test_a_held_one_says_so_in_the_api(cast: Cast, rating: Evaluation) -> None:
    finish(rating.submission)
    video = signed_in(cast.ada).get(f"/api/status/{rating.submission_id}").json()
    assert (video["status"], video["is_hidden"]) == ("completed", True)
    assert video["why"] == "Your teacher looks at it first."


# Another look


def ask(user: User, rating: Evaluation, sentence: str) -> str:
    url = f"/submissions/{rating.submission_id}/appeal"
    return text_of(signed_in(user).post(url, {"sentence": sentence}, follow=True))


def test_where_nothing_is_rated_no_other_look_is_offered(cast: Cast) -> None:
    rating = write_results(hand_in(cast.ada, cast.classroom), method="none", overall=None)
    assert "No scores." in as_student(cast.ada, rating)
    assert "Ask for another look" not in as_student(cast.ada, rating)


def test_a_student_asks_once_and_both_read_the_answer(cast: Cast, teacher: Client) -> None:
    rating = write_results(hand_in(cast.ada, cast.classroom))
    assert "Ask for another look" in as_student(cast.ada, rating)
    assert "Your teacher is asked" in ask(cast.ada, rating, "I did say my age.")
    assert "You have asked already." in ask(cast.ada, rating, "And my name, too.")
    assert "I did say my age." in text_of(teacher.get(page_of(rating)))
    decide(teacher, rating, "answer", text="Right, at 0:12.", seen=ReviewDecision.objects.latest("pk").pk)
    for who in (cast.ada, cast.teacher):
        page = as_student(who, rating)
        assert "“I did say my age.”" in page
        assert "“Right, at 0:12.”" in page
    assert "Your teacher: Answered" in as_student(cast.ada, rating)
    assert "You: Answered" in as_student(cast.teacher, rating)
    assert not review.queue(cast.classroom).entries[0].is_appealed


@pytest.mark.parametrize("sentence", ["", "four", "x" * 501, " " * 10])
def test_a_sentence_has_a_length(cast: Cast, sentence: str) -> None:
    rating = write_results(hand_in(cast.ada, cast.classroom))
    url = f"/submissions/{rating.submission_id}/appeal"
    assert signed_in(cast.ada).post(url, {"sentence": sentence}).status_code == 400
    assert not ReviewDecision.objects.exists()


def test_nothing_is_asked_before_the_release(cast: Cast, rating: Evaluation) -> None:
    assert "There is nothing to ask about" in ask(cast.ada, rating, "Why is it so low?")
    assert not ReviewDecision.objects.exists()


def test_a_student_reads_no_teachers_name_and_no_blind_mark(cast: Cast, teacher: Client) -> None:
    cast.teacher.first_name = "Mary-Ann"
    cast.teacher.save()
    rating = write_results(hand_in(cast.ada, cast.classroom))
    decide(teacher, rating, "reviewed", value="yes")
    ReviewDecision.objects.create(
        submission=rating.submission, evaluation=rating, kind=Kind.MARK, key="proof", value=True, by=cast.teacher
    )
    page = as_student(cast.ada, rating)
    assert "Your teacher: Reviewed." in page
    assert "Mary-Ann" not in page
    assert "marked" not in page


# The transcript


def test_corrected_words_are_what_is_rated_again_with_the_form(cast: Cast, teacher: Client) -> None:
    rating = write_long_results(hand_in(cast.ada, cast.classroom), scores={"Clarity": 6.0})
    finish(rating.submission)
    decide(teacher, rating, "word", key="4", text="Ida")
    answer = teacher.post(f"/classes/{cast.classroom.pk}/review/{rating.submission_id}/again")
    order = Rerating.objects.get()
    assert answer.headers["Location"] == f"/reratings/{order.pk}/"
    assert (order.rubric, order.by) == (rating.rubric, cast.teacher)
    task = Task.objects.get(pipeline=REEXTRACTION)
    assert "my name is Ida and" in ExtractAgain().prepare(task).transcript
    work = RateAgain().prepare(task).work
    assert "my name is Ida and" in work.sentences[0].text
    corrected = next(word for word in work.words or () if word.text == "Ida")
    assert corrected.probability == 1.0  # somebody listened


def test_a_corrected_word_is_shown_and_what_was_heard_stays(cast: Cast, teacher: Client) -> None:
    rating = write_long_results(hand_in(cast.ada, cast.classroom), scores={"Clarity": 6.0})
    stored = rating.submission.transcript.segments
    decide(teacher, rating, "word", key="4", text="Ida")
    page = as_student(cast.ada, rating)
    assert "Hello, my name is Ida and" in page
    captions = signed_in(cast.ada).get(f"/submissions/{rating.submission_id}/captions.vtt").content.decode()
    assert "is Ida and" in captions
    rating.submission.transcript.refresh_from_db()
    assert rating.submission.transcript.segments == stored
    decide(teacher, rating, "word", key="4", text="Ada", seen=ReviewDecision.objects.latest("pk").pk)
    assert "Hello, my name is Ada and" in as_student(cast.ada, rating)
