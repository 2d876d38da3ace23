from __future__ import annotations

from typing import Any

import pytest

from evaluations.models import Form, Transcript
from evaluations.rating.evidence import sentences_of_text
from evaluations.stages.extract import Extract, supported
from evaluations.stages.names import Stage
from queueing.exceptions import Permanent
from queueing.models import Task
from tests.conftest import Cast
from tests.evaluations.material import SAID as INTRODUCTION
from tests.evaluations.material import claim, hand_in, write_long_results

SAID = sentences_of_text("Hi, I am Ada Lovelace, I am sixteen. I like drawing horses. I want to be an engineer.")
ANSWER: dict[str, Any] = {
    "name": "Ada Lovelace",
    "age": 16,
    "hobbies": ["draw horses", "chess", "draw horses"],
    "career_goals": "be a nurse",
    "strengths": [],
    "experience": None,
}


def test_what_the_transcript_does_not_say_is_left_out_and_kept_as_unsupported() -> None:
    fields, unsupported = supported(ANSWER, SAID, "en", trust=False)
    assert fields == {
        "name": "Ada Lovelace",
        "age": 16,
        "hobbies": ["draw horses"],
        "career_goals": "",
        "strengths": [],
        "experience": "",
    }
    assert unsupported == [{"field": "hobbies", "value": "chess"}, {"field": "career_goals", "value": "be a nurse"}]


def test_an_invented_name_and_age_are_not_believed() -> None:
    fields, unsupported = supported({**ANSWER, "name": "Maria Lopez", "age": 15}, SAID, "en", trust=False)
    assert (fields["name"], fields["age"]) == ("", None)
    assert {"field": "age", "value": 15} in unsupported


def test_nothing_said_makes_an_empty_form() -> None:
    nothing: dict[str, Any] = {
        "name": None,
        "age": None,
        "hobbies": [],
        "career_goals": None,
        "strengths": [],
        "experience": None,
    }
    fields, unsupported = supported(nothing, sentences_of_text("Hello."), "en", trust=False)
    assert not any(fields.values())
    assert unsupported == []


def test_a_simulated_engine_is_trusted_since_it_quotes_nothing() -> None:
    fields, unsupported = supported({**ANSWER, "name": "Maria Lopez"}, SAID, "en", trust=True)
    assert (fields["name"], fields["hobbies"], unsupported) == ("Maria Lopez", ["draw horses", "chess"], [])


def test_what_somebody_else_does_is_not_the_students() -> None:
    said = sentences_of_text("I am Ada. My brother is twenty four and works as a baker. I don't like chess.")
    answer = {**ANSWER, "name": "Ada", "age": 24, "hobbies": ["chess"], "experience": "works as a baker"}
    fields, unsupported = supported({**answer, "career_goals": None}, said, "en", trust=False)
    assert [field for field, value in fields.items() if value] == ["name"]
    assert [each["field"] for each in unsupported] == ["age", "hobbies", "experience"]


@pytest.fixture
def transcribed(cast: Cast) -> Task:
    """Waits for its form; it was transcribed for real, 18 s of it."""
    submission = hand_in(cast.ada, cast.classroom)
    write_long_results(submission, scores={"Clarity": 6.0})
    Form.objects.all().delete()
    task = claim(submission)
    task.advance(took=1.0)
    return claim(submission, task.worker)


@pytest.mark.django_db
def test_what_was_understood_goes_on(transcribed: Task) -> None:
    assert transcribed.stage == Stage.EXTRACT
    assert Extract().prepare(transcribed).transcript == " ".join(INTRODUCTION)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("heard", "code"),
    [
        ({"segments": []}, "not_understood"),
        ({"segments": [], "speech_seconds": 1.0}, "no_speech"),
        ({"speech_seconds": 90.0}, "not_understood"),
        ({"language": "fr", "language_probability": 0.9}, "not_understood"),
        ({"segments": "the first"}, "too_short_to_rate"),
    ],
)
def test_what_cannot_be_rated_ends_here_and_its_transcript_stays(
    transcribed: Task, heard: dict[str, Any], code: str
) -> None:
    transcript = Transcript.objects.get()
    if heard.get("segments") == "the first":
        heard = {"segments": transcript.segments[:1], "speech_seconds": 2.0}
    Transcript.objects.update(**heard)
    with pytest.raises(Permanent) as refused:
        Extract().prepare(transcribed)
    assert refused.value.code == code
    transcribed.fail(refused.value, took=0.0)
    assert Transcript.objects.filter(submission=transcribed.submission_id).exists()


@pytest.mark.django_db
def test_a_simulated_transcript_is_never_refused(transcribed: Task) -> None:
    Transcript.objects.update(segments=[], simulated=True)
    assert Extract().prepare(transcribed)
