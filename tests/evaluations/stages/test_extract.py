from __future__ import annotations

from threading import Event
from typing import Any

import pytest

from evaluations.models import Form, Transcript
from evaluations.rating.evidence import sentences_of_text
from evaluations.stages.extract import Extract, ExtractWork, extract, supported
from evaluations.stages.names import Stage
from queueing.engines.base import Engines, Generation, Prompt
from queueing.engines.llm.simulated import SimulatedLanguage
from queueing.engines.speech.simulated import SimulatedSpeech
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


def test_a_talk_that_has_no_room_is_read_in_parts_and_its_answers_are_joined() -> None:
    """Of one value the first that is supported counts: the second half knows another age, and nobody's name."""
    said = [*SAID, *sentences_of_text("Then I was seventeen. I play chess. I am good at maths. I like drawing horses.")]
    work = ExtractWork(" ".join(one.text for one in said), tuple(said), "en", 0)

    class Reader(SimulatedLanguage):
        simulated = False

        def generate(self, prompt: Prompt, *_: Any, stop: Event) -> Generation:
            heard = prompt.user[prompt.head :]
            if len(heard) > 120:
                raise Permanent("no room", code="too_long_for_model")
            second = "chess" in heard
            given = {"name": "", "age": 17, "hobbies": ["chess", "drawing horses"], "strengths": ["maths"]}
            return Generation({**ANSWER, **(given if second else {})}, "reader", 1, 1, 0.1, 1)

    found = extract(
        work, Engines(SimulatedSpeech(seconds=0), {"extract": Reader(0), "rate": Reader(0)}, can_judge=True), Event()
    )
    assert found.fields["name"] == "Ada Lovelace"
    assert found.fields["age"] == 16
    assert found.fields["hobbies"] == ["draw horses", "chess", "drawing horses"]
    assert found.fields["strengths"] == ["maths"]


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
