from __future__ import annotations

import dataclasses

import pytest

from evaluations.pages import speaking
from evaluations.rating.speech import Spoken, Stretch, StretchKind, measure

WORDS = [
    Spoken("Hello,", 0.0, 0.5, 1.0),
    Spoken("um,", 0.6, 0.8, 0.4),
    Spoken("I", 2.8, 2.9, 1.0),
    Spoken("um", 2.9, 3.2, 1.0),
    Spoken("climb.", 3.4, 5.0, 0.8),
]
MEASURED = measure(WORDS, speech_seconds=4.0, duration=10.0)


def shown(**changed: float) -> dict[str, tuple[str, str]]:
    facts = speaking.facts(dataclasses.replace(MEASURED, **changed))  # type: ignore[arg-type]
    return {fact.label: (fact.value, fact.note) for fact in facts}


def test_the_fact_comes_first_and_then_a_kind_word() -> None:
    facts = shown(words=30)
    assert facts["Pace"] == ("60 words a minute", "Calm, with room for pauses.")
    assert facts["Pauses of a second or more"] == ("1, at most 2.0 s", "A pause gives people time to think.")
    assert facts["Filler words"] == ("“um” 2×", "Everybody uses some. A short silence sounds surer.")
    assert facts["Certainty of the recognition"][0] == "84% on average"
    assert facts["Certainty of the recognition"][1].startswith("20% of the words were hard to hear")
    assert facts["Share of the time with speech"] == ("40%", "30 words in all.")


@pytest.mark.parametrize(("pace", "words"), [(69, "Calm"), (70, "Easy"), (230, "Easy"), (231, "Lively")])
def test_every_pace_has_a_kind_word(pace: float, words: str) -> None:
    assert shown(words=30, words_per_minute=pace)["Pace"][1].startswith(words)


def test_a_few_words_have_no_pace() -> None:
    assert shown(words=29, words_per_minute=231)["Pace"][1] == "Too few words to speak of a pace."


def test_nothing_is_claimed_that_was_not_measured() -> None:
    silent = speaking.facts(measure(WORDS[:1], speech_seconds=0.5, duration=1.0))
    facts = {fact.label: fact for fact in silent}
    assert facts["Filler words"].value == "none heard"
    assert "leaves many of them out" in facts["Filler words"].note
    assert facts["Pauses of a second or more"].value == "none"
    assert facts["Certainty of the recognition"].note == "No word was hard to hear."
    assert not any("loud" in fact.label.lower() for fact in silent)


def test_marks_lie_on_the_recording_where_they_are_heard() -> None:
    marks = speaking.timeline(
        [
            Stretch(StretchKind.SPEECH, 0, 4),
            Stretch(StretchKind.FILLER, 1, 1.5, "um"),
            Stretch(StretchKind.PAUSE, 4, 6),
        ],
        10.0,
    )
    assert [(mark.label, mark.block.x, mark.block.width) for mark in marks] == [
        ("Speech for 4.0 s", "0.0", "400.0"),
        ("Filler word: “um”", "100.0", "50.0"),
        ("Pause for 2.0 s", "400.0", "200.0"),
    ]


def test_words_behind_the_end_of_the_recording_stay_on_the_strip() -> None:
    (mark,) = speaking.timeline([Stretch(StretchKind.SPEECH, 10, 20)], 5.0)
    assert (mark.block.x, mark.block.width) == ("500.0", "500.0")
    assert speaking.timeline([Stretch(StretchKind.SPEECH, 0, 0)], 0.0) == []
