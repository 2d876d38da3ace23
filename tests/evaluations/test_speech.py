from __future__ import annotations

import pytest

from evaluations.speech import Spoken, measure

WORDS = [
    Spoken("Hello,", 0.0, 0.5, 1.0),
    Spoken("um,", 0.6, 0.8, 0.5),
    Spoken("I", 2.8, 2.9, 1.0),  # after a long pause of 2 s
    Spoken("like", 2.9, 3.2, 1.0),
    Spoken("Umbria.", 4.4, 5.0, 0.9),  # after a pause of 1.2 s
]


def test_pace_pauses_and_fillers_are_counted_from_the_words() -> None:
    facts = measure(WORDS, speech_seconds=2.5, duration=10.0)
    assert facts.words_per_minute == 60.0
    assert (facts.pauses, facts.longest_pause) == (2, 2.0)
    assert facts.long_pauses_per_minute == 12.0
    assert facts.fillers == {"um": 1}  # Umbria is no filler
    assert facts.fillers_per_100_words == 20.0
    assert facts.articulation == 0.88
    assert facts.speech_share == 0.25


def test_one_short_word_does_not_make_an_absurd_pace() -> None:
    assert measure(WORDS[:1], speech_seconds=0.5, duration=1.0).words_per_minute == 60.0


def test_silence_cannot_be_measured() -> None:
    with pytest.raises(ValueError, match="no words"):
        measure([], speech_seconds=0, duration=1.0)
