"""The result page: what is on it, for whom, and when."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from evaluations.models import Evaluation, Form, Submission, Transcript
from evaluations.stages.names import Stage
from queueing.exceptions import Permanent, Transient
from tests.conftest import Cast
from tests.evaluations.material import HOSTILE, claim, fail, finish, hand_in, write_long_results, write_results
from tests.evaluations.views.conftest import signed_in

SCORES = {"Clarity": 6.0, "Confidence": 7.0, "Content": 8.0}


@pytest.fixture
def submission(cast: Cast) -> Submission:
    return hand_in(cast.ada, cast.classroom, name="mine.mp4")


@pytest.fixture
def ada(cast: Cast) -> Client:
    return signed_in(cast.ada)


def html_of(client: Client, submission: Submission, part: str = "") -> str:
    return client.get(f"/submissions/{submission.pk}/{part}").content.decode()


def text_of(client: Client, submission: Submission) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html_of(client, submission))).split())


# Captions


def test_captions_are_the_transcript_as_webvtt(ada: Client, submission: Submission) -> None:
    write_results(submission, text="I like climbing.")
    answer = ada.get(f"/submissions/{submission.pk}/captions.vtt")
    assert answer["Content-Type"] == "text/vtt; charset=utf-8"
    assert answer["Cache-Control"] == "private, no-cache"
    assert answer.content.decode() == "WEBVTT\n\n00:00:01.500 --> 00:00:02.000\nI like climbing.\n"


def test_captions_that_did_not_change_are_not_sent_again(ada: Client, submission: Submission) -> None:
    url = f"/submissions/{submission.pk}/captions.vtt"
    write_results(submission, text="I like climbing.")
    known = ada.get(url)["ETag"]
    again = ada.get(url, headers={"If-None-Match": known})
    assert (again.status_code, again.content) == (304, b"")
    submission.transcript.segments[0]["words"][0]["text"] = "I hate climbing."
    submission.transcript.save()
    assert ada.get(url, headers={"If-None-Match": known}).status_code == 200


def test_there_are_no_captions_before_there_is_a_transcript(ada: Client, submission: Submission) -> None:
    assert ada.get(f"/submissions/{submission.pk}/captions.vtt").status_code == 404
    assert "<track" not in html_of(ada, submission)


def test_what_is_said_is_never_markup_in_captions(ada: Client, submission: Submission) -> None:
    write_results(submission, text=f"{HOSTILE} --> 00:00")
    captions = ada.get(f"/submissions/{submission.pk}/captions.vtt").content.decode()
    assert captions.count("-->") == 1
    assert "<" not in captions


def test_page_and_fragment_offer_the_same_captions(ada: Client, submission: Submission) -> None:
    write_results(submission)
    track = re.compile(r"<track[^>]*>")
    assert len(set(track.findall(html_of(ada, submission)))) == 1
    assert len(track.findall(html_of(ada, submission))) == 2  # in the player, and in what may come later
    assert track.findall(html_of(ada, submission, "results/")) == track.findall(html_of(ada, submission))[:1]


# Charts


def test_scores_are_drawn_as_a_radar_chart_beside_their_table(ada: Client, submission: Submission) -> None:
    write_long_results(submission, scores=SCORES)
    html = html_of(ada, submission)
    assert 'aria-label="The scores as a radar chart' in html
    assert html.count('class="dot"') == 3


def test_two_criteria_are_bars_only(ada: Client, submission: Submission) -> None:
    write_long_results(submission, scores={"Clarity": 6.0, "Confidence": 7.0})
    html = html_of(ada, submission)
    assert "radar" not in html
    assert re.findall(r'class="worked" x="0.0" width="([\d.]+)" height="1"', html) == ["600.0", "700.0"]


def test_nothing_on_the_page_needs_a_style_of_its_own(ada: Client, submission: Submission) -> None:
    write_long_results(submission, scores=SCORES)
    assert not re.search(r"\sstyle=|<style|<script(?![^>]*src=)", html_of(ada, submission))


# As soon as it is there


def test_speaking_facts_need_a_transcript_and_no_rating(ada: Client, submission: Submission) -> None:
    write_long_results(submission, scores=SCORES).delete()
    text = text_of(ada, submission)
    assert "How you spoke" in text
    assert "Pause for 1.2 s" in text
    assert "Filler word: “um”" in text


def test_a_teacher_reads_of_them_and_not_of_you(cast: Cast, submission: Submission) -> None:
    write_long_results(submission, scores=SCORES)
    text = text_of(signed_in(cast.teacher), submission)
    assert "How they spoke" in text
    assert "What they said about themselves" in text


def test_page_and_fragment_show_the_same(ada: Client, submission: Submission) -> None:
    write_long_results(submission, scores=SCORES)
    finish(submission)
    page, fragment = (re.sub("[A-Za-z0-9]{64}", "", html_of(ada, submission, of)) for of in ("", "results/"))  # tokens
    assert fragment.strip() in page


def test_the_timeline_tells_a_failed_try_and_the_one_after_it(ada: Client, submission: Submission) -> None:
    claim(submission).retry_later(Transient("token 71", code="out_of_memory"), 0, took=1.0)
    claim(submission).advance(took=1.0)
    text = text_of(ada, submission)
    assert "2 tries" in text
    assert "The model ran out of memory; it was tried again" in text
    assert "token 71" not in text


# What is missing


def test_before_the_transcript_the_page_says_what_will_come(ada: Client, submission: Submission) -> None:
    assert "The transcript will show up here as soon as it is transcribed." in text_of(ada, submission)


def test_before_the_scores_the_page_says_what_will_come(ada: Client, submission: Submission) -> None:
    write_results(submission).delete()
    assert "The result will show up here as soon as it is rated." in text_of(ada, submission)


def test_scores_are_promised_in_no_state_since_none_may_come(cast: Cast, ada: Client, submission: Submission) -> None:
    """A small model gives none, and that is known only when it has rated."""
    found = {"waiting": text_of(ada, submission)}
    write_results(submission).delete()
    found["transcribed"] = text_of(ada, submission)
    held = hand_in(cast.ada, cast.classroom)
    write_long_results(held, scores={}, method="none", overall=None, rubric=None, feedback="", released_at=None)
    finish(held)
    found["held"] = text_of(ada, held)
    found["its row"] = " ".join(re.sub(r"<[^>]+>", " ", ada.get("/").content.decode()).split())
    stopped = hand_in(cast.ada, cast.classroom)
    write_results(stopped).delete()
    stopped.evaluation_task.cancel(by="ada")
    found["stopped"] = text_of(ada, stopped)
    coach = "gives no scores"
    assert {state for state, text in found.items() if "scores" in text.lower().replace(coach, "")} == set()
    assert "Your teacher looks at it first" in found["held"]
    assert "Then the result shows up here." in found["its row"]


def test_a_failure_leaves_what_was_found_and_says_what_to_do(ada: Client, submission: Submission) -> None:
    write_results(submission, text="I like climbing.").delete()
    fail(submission, Permanent("token 71", code="invalid_answer"), at=Stage.RATE)
    text = text_of(ada, submission)
    assert "It stopped before it was rated: The model’s answer made no sense. What was found before stays" in text
    assert "Press “Try again”" in text
    assert "I like climbing." in text
    assert "How you spoke" in text


@pytest.mark.parametrize(("code", "is_measured"), [("not_understood", False), ("invalid_answer", True)])
def test_nothing_is_measured_of_words_that_were_not_understood(
    ada: Client, submission: Submission, code: str, is_measured: bool
) -> None:
    write_long_results(submission, scores={}).delete()
    fail(submission, Permanent(code=code), at=Stage.RATE)
    text = text_of(ada, submission)
    assert ("How you spoke" in text) is is_measured
    assert ("words a minute" in text) is is_measured


def test_a_failure_without_a_transcript_promises_none(ada: Client, submission: Submission) -> None:
    fail(submission, Permanent(code="no_audio"))
    text = text_of(ada, submission)
    assert text.count("There is no sound in it.") == 1
    assert "will show up here" not in text
    assert "What was found before" not in text


def test_a_cancelled_one_says_how_it_goes_on(ada: Client, submission: Submission) -> None:
    submission.evaluation_task.cancel(by="ada")
    text = text_of(ada, submission)
    assert "The work on it was stopped before the transcript came. “Try again” goes on from there." in text


def test_a_hidden_rating_shows_in_no_chart_line_or_sentence(cast: Cast, ada: Client, submission: Submission) -> None:
    write_long_results(submission, scores=SCORES)
    hidden = hand_in(cast.ada, cast.classroom, name="second.mp4")
    write_long_results(hidden, scores=dict.fromkeys(SCORES, 9.9), released_at=None)
    for page in (submission, hidden):
        for part in ("", "results/"):
            html = re.sub(r'datetime="[^"]*"', "", html_of(ada, page, part))
            assert "9.9" not in html
            assert "since last time" not in html
    assert "Your teacher looks at it first" in text_of(ada, hidden)
    assert "radar" not in html_of(ada, hidden)
    assert "+3.9 since last time" in text_of(signed_in(cast.teacher), hidden)


def test_progress_is_beside_the_scores_only(cast: Cast, ada: Client, submission: Submission) -> None:
    write_long_results(submission, scores=SCORES)
    write_long_results(hand_in(cast.ada, cast.classroom, name="second.mp4"), scores=SCORES)
    waiting = hand_in(cast.ada, cast.classroom, name="third.mp4")
    assert "From recording to recording" in text_of(ada, submission)
    assert "From recording to recording" not in text_of(ada, waiting)


def test_the_page_costs_the_same_however_much_was_said(
    ada: Client, submission: Submission, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    write_long_results(submission, scores=SCORES, said=["One two three."] * 100)
    assert (Form.objects.count(), Evaluation.objects.count()) == (1, 1)
    with django_assert_max_num_queries(33):
        html_of(ada, submission)


@pytest.mark.parametrize(
    ("heard", "named"),
    [
        ({"language": "fr", "language_probability": 0.98}, "It sounds like French"),
        ({"language": "en", "language_probability": 1.0}, "understands English only"),
        ({"language": "xx", "language_probability": 0.9}, "It sounds like xx"),
    ],
)
def test_who_was_not_understood_reads_what_was_heard_and_in_which_language(
    ada: Client, submission: Submission, heard: dict[str, object], named: str
) -> None:
    write_results(submission, text="It is a good attack.")
    Evaluation.objects.all().delete()
    Transcript.objects.update(**heard)
    fail(submission, Permanent("4 words", code="not_understood"), at=Stage.EXTRACT)
    shown = text_of(ada, submission)
    assert "What is said in it was not understood" in shown
    assert named in shown
    assert "It is a good attack." in shown


def test_no_language_is_blamed_where_a_rated_one_was_heard(ada: Client, submission: Submission) -> None:
    write_results(submission)
    Evaluation.objects.all().delete()
    Transcript.objects.update(language="de", language_probability=0.9)
    fail(submission, Permanent("noise", code="not_understood"), at=Stage.EXTRACT)
    assert "It sounds like" not in text_of(ada, submission)


# What is missing of a recording


@pytest.mark.parametrize(
    ("ends_early", "words"),
    [
        (True, "The file ends early, at 1:15: it was cut off. What could be heard was used."),
        (False, "The file is damaged at 1:15. What could be heard was used."),
    ],
)
def test_damage_is_said_on_the_page_by_the_api_and_to_the_teacher(
    ends_early: bool, words: str, cast: Cast, ada: Client, submission: Submission
) -> None:
    write_results(submission, flags=["damaged"])
    assert "What could be heard was used" not in text_of(ada, submission)
    Submission.objects.filter(pk=submission.pk).update(damaged_at=75.4, ends_early=ends_early)
    assert words in text_of(ada, submission)
    damage = ada.get(f"/api/status/{submission.pk}").json()["damage"]
    assert damage == {"at_seconds": 75.4, "ends_early": ends_early, "words": words}
    finish(submission)
    teacher = signed_in(cast.teacher)
    assert words in text_of(teacher, submission)
    assert "file damaged" in teacher.get(f"/classes/{cast.classroom.pk}/").content.decode()


def test_what_is_too_long_is_told_the_limit_of_its_class(cast: Cast, ada: Client, submission: Submission) -> None:
    cast.classroom.max_duration_seconds = 150
    cast.classroom.save()
    fail(submission, Permanent(code="too_long"))
    assert "It may last 2 min 30 s at most." in text_of(ada, submission)
    assert "2 min 30 s" in ada.get(f"/api/status/{submission.pk}").json()["error"]["what"]


def test_a_film_has_its_sound_alone_for_browsers_without_its_picture(ada: Client, submission: Submission) -> None:
    Submission.objects.filter(pk=submission.pk).update(has_video=True)
    page = html_of(ada, submission)
    assert f'data-sound="{reverse("submission-media", args=[submission.pk])}?sound"' in page
    assert 'id="no-picture"' in page
    Submission.objects.filter(pk=submission.pk).update(has_video=False)
    assert 'id="no-picture"' not in html_of(ada, submission)
