from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from django.utils.translation import override

from evaluations.rating import feedback
from evaluations.rating.speech import Spoken, measure

FACTS = measure([Spoken("Hi", 0, 0.5, 1.0), Spoken("there", 0.5, 60.0, 1.0)], speech_seconds=2, duration=60)
EVERYTHING: dict[str, object] = {
    "name": "Ada",
    "age": 16,
    "hobbies": ["chess"],
    "career_goals": "engineer",
    "strengths": ["patience"],
    "experience": "a job",
}
NOTHING: dict[str, object] = dict.fromkeys(EVERYTHING)


def test_a_demo_models_sentence_is_kept_only_if_it_speaks_of_what_was_said() -> None:
    said = "I am Ada. I play chess and build bridges."
    sentences = ["You play chess.", "You are good at physics.", "You play chess.", "You build bridges and"]
    assert feedback.grounded(sentences, said) == ["You play chess."]
    assert feedback.grounded(["Ada plays chess.", "You build bridges!"], said) == ["You build bridges!"]


@pytest.mark.parametrize("answers", [EVERYTHING, NOTHING, {**NOTHING, "name": "Ada"}])
def test_there_are_always_remarks_and_advice_enough(answers: dict[str, object]) -> None:
    assert len(feedback.remarks(FACTS, answers)) >= 2
    assert len(feedback.advice(FACTS, answers)) >= 2


@pytest.mark.parametrize(
    ("fields", "things"),
    [
        (["age"], "your age"),
        (["name", "age"], "your name and your age"),
        (["name", "age", "hobbies", "strengths"], "your name, your age, your hobbies and what you are good at"),
    ],
)
def test_what_was_told_is_listed_as_people_do(fields: list[str], things: str) -> None:
    answers = {field: answer if field in fields else None for field, answer in EVERYTHING.items()}
    assert feedback.remarks(FACTS, answers)[0] == f"You told us {things}."


def test_who_told_nothing_that_is_asked_for_is_told_so() -> None:
    assert feedback.remarks(FACTS, NOTHING)[0] == "We heard you, but little of what the form asks for."


def test_advice_asks_for_what_was_not_said() -> None:
    advice = feedback.advice(FACTS, {**EVERYTHING, "age": None})
    assert advice[0] == "Say how old you are."
    assert not any("age" in tip or "old" in tip for tip in feedback.advice(FACTS, EVERYTHING))


@pytest.mark.parametrize(("pace", "word"), [(200, "fast"), (140, "easy"), (60, "slow")])
def test_the_pace_is_named_with_its_figure(pace: float, word: str) -> None:
    facts = dataclasses.replace(FACTS, words_per_minute=pace)
    remark = next(one for one in feedback.remarks(facts, EVERYTHING) if "words a minute" in one)
    assert str(pace) in remark
    assert word in remark


@pytest.mark.parametrize(
    ("pace", "remark"),
    [
        (170.6, "You spoke 171 words a minute, which is fast."),
        (170.4, "You spoke 170 words a minute, which is easy to follow."),
        (110.0, "You spoke 110 words a minute, which is easy to follow."),
        (109.4, "You spoke 109 words a minute, which is slow and leaves room for pauses."),
    ],
)
def test_the_pace_is_rated_as_it_is_shown(pace: float, remark: str) -> None:
    """Nobody reads that 170 is fast and 170 is not."""
    assert feedback.remarks(dataclasses.replace(FACTS, words_per_minute=pace), EVERYTHING)[1] == remark


@pytest.mark.parametrize(
    ("changes", "remark"),
    [
        ({"filler_count": 4, "words": 50, "pauses": 2}, "We heard 4 filler words in 50 words."),
        ({"pauses": 2, "longest_pause": 2.25}, "You paused 2 times, at most for 2.3 seconds."),
        ({"pauses": 3, "longest_pause": 2.0}, "You paused 3 times, at most for 2.0 seconds."),
        ({}, "You spoke without a long pause."),
    ],
)
def test_fillers_are_remarked_before_pauses_and_pauses_before_none(changes: dict[str, Any], remark: str) -> None:
    facts = dataclasses.replace(FACTS, **{"filler_count": 0, "pauses": 0} | changes)
    assert feedback.remarks(facts, EVERYTHING)[2] == remark


GENERAL = ["Add one detail or example that only you could tell.", "Look into the camera and smile at the start."]
SLOWER = "Speak a little slower, so that each word can be heard."
PRACTISE = "Practise once or twice, so that you need fewer pauses."
FEWER_FILLERS = "You used 4 filler words; a short silence sounds surer."


@pytest.mark.parametrize(
    ("pace", "fillers", "tips"),
    [
        (140, 0.0, []),
        (170, 0.0, []),
        (171, 0.0, [SLOWER]),
        (110, 0.0, []),
        (109, 0.0, [PRACTISE]),
        (140, 2.9, []),
        (140, 3.0, [FEWER_FILLERS]),
        (171, 3.0, [FEWER_FILLERS, SLOWER]),
    ],
)
def test_advice_is_for_what_was_measured_and_else_general(pace: float, fillers: float, tips: list[str]) -> None:
    facts = dataclasses.replace(FACTS, words_per_minute=pace, filler_count=4, fillers_per_100_words=fillers)
    assert feedback.advice(facts, EVERYTHING) == [*tips, *GENERAL]
    asked = feedback.advice(facts, {**EVERYTHING, "name": None, "age": None})
    first = tips[:1] if fillers >= 3 else []
    assert asked == [*first, "Begin with your name.", "Say how old you are.", *tips[len(first) :], *GENERAL]


def test_one_filler_word_among_few_words_is_advised_of_as_one() -> None:
    facts = dataclasses.replace(FACTS, filler_count=1, fillers_per_100_words=5.0)
    assert feedback.advice(facts, EVERYTHING)[0] == "You used 1 filler word; a short silence sounds surer."


def test_a_prompt_names_the_fields_without_an_answer_in_plain_english() -> None:
    assert feedback.missing({**EVERYTHING, "career_goals": None, "age": None}) == ["age", "career goals"]


def test_nobody_is_told_that_they_used_no_fillers() -> None:
    """Speech recognition leaves most of them out, so their absence is not known."""
    assert not any("filler" in one for one in feedback.remarks(FACTS, EVERYTHING))
    halting = dataclasses.replace(FACTS, filler_count=4, fillers_per_100_words=8.0)
    assert any("4 filler" in one for one in feedback.remarks(halting, EVERYTHING))


@pytest.mark.parametrize(
    ("language", "one_filler", "one_pause"),
    [
        ("en", "We heard 1 filler word in 2 words.", "You paused 1 time, for 2.5 seconds."),
        ("de", "Wir haben unter 2 Wörtern 1 Füllwort gehört.", "Du hast 1 Pause gemacht, sie war 2,5 Sekunden lang."),
    ],
)
def test_one_is_not_told_as_many(language: str, one_filler: str, one_pause: str) -> None:
    filled = dataclasses.replace(FACTS, filler_count=1, fillers_per_100_words=50.0)
    paused = dataclasses.replace(FACTS, filler_count=0, pauses=1, longest_pause=2.5)
    with override(language):
        assert one_filler in feedback.remarks(filled, NOTHING)
        assert one_pause in feedback.remarks(paused, NOTHING)
        assert not any("1 filler words" in tip or "1 Füllwörter" in tip for tip in feedback.advice(filled, NOTHING))


@pytest.mark.parametrize("answers", [EVERYTHING, NOTHING])
def test_what_was_written_here_is_said_again_in_the_readers_language(answers: dict[str, object]) -> None:
    models = "You play chess."
    text = " ".join([models, *feedback.remarks(FACTS, answers), *feedback.advice(FACTS, answers)])
    assert feedback.translated(text, FACTS, answers) == text
    with override("de"):
        ours = [*feedback.remarks(FACTS, answers), *feedback.advice(FACTS, answers)]
        assert feedback.translated(text, FACTS, answers) == " ".join([models, *ours])
    assert "Du hast" in " ".join(ours)
