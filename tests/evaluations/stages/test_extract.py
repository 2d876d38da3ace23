from __future__ import annotations

from typing import Any

from evaluations.rating.evidence import sentences_of_text
from evaluations.stages.extract import supported

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
