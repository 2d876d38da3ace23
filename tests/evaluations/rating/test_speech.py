from __future__ import annotations

import dataclasses
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluations.rating.speech import (
    PAUSE_SECONDS,
    SpeechFacts,
    Spoken,
    Stretch,
    StretchKind,
    bare,
    measure,
    stretches,
    words_of,
)

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
    assert facts.doubtful_share == 0.0  # one word is just sure enough
    assert facts.speech_share == 0.25


def test_figures_are_kept_with_as_many_digits_as_they_are_worth() -> None:
    words = [Spoken("So,", 1, 2, 1.0), Spoken("um,", 5, 6, 0.5), Spoken("yes.", 7.5, 8, 0.4)]
    facts = measure(words, speech_seconds=8 / 3, duration=8)
    assert facts == SpeechFacts(
        words=3,
        words_per_minute=25.7,
        pauses=2,
        long_pauses_per_minute=8.57,
        longest_pause=3.0,
        filler_count=1,
        fillers={"um": 1},
        fillers_per_100_words=33.33,
        articulation=0.633,
        doubtful_share=0.333,
        speech_share=0.333,
    )


def test_a_gap_is_measured_in_hundredths_so_that_an_exact_second_is_a_pause() -> None:
    words = [Spoken("one", 0.0, 1.3, 1.0), Spoken("two", 2.3, 3.0, 1.0), Spoken("three", 4.987, 5.0, 1.0)]
    assert words[1].start - words[0].end < PAUSE_SECONDS
    facts = measure(words, speech_seconds=1, duration=5)
    assert (facts.pauses, facts.longest_pause, facts.long_pauses_per_minute) == (2, 1.99, 0)


@pytest.mark.parametrize(("speech_seconds", "duration", "share"), [(5.0, 4.0, 1.0), (1.0, 1.0, 1.0), (1.0, 0.0, 0.0)])
def test_speech_is_never_more_than_the_whole_recording(speech_seconds: float, duration: float, share: float) -> None:
    assert measure(WORDS, speech_seconds=speech_seconds, duration=duration).speech_share == share


@pytest.mark.parametrize(("text", "word"), [("UM…", "um"), ("“Don't!”", "don't"), ("Größe,", "größe"), ("…", "")])
def test_words_are_compared_without_their_punctuation_and_case(text: str, word: str) -> None:
    assert bare(text) == word


def test_one_short_word_does_not_make_an_absurd_pace() -> None:
    facts = measure(WORDS[:1], speech_seconds=0.5, duration=1.0)
    assert (facts.words_per_minute, facts.pauses, facts.longest_pause) == (60.0, 0, 0.0)


def test_words_come_from_all_segments_of_a_transcript_in_order() -> None:
    kept = [
        {"start": 0.0, "text": "Hello, um,", "words": [dataclasses.asdict(word) for word in WORDS[:2]]},
        {"start": 2.5, "text": "", "words": []},
        {"start": 2.8, "text": "I like Umbria.", "words": [dataclasses.asdict(word) for word in WORDS[2:]]},
    ]
    assert words_of(kept) == WORDS
    assert words_of([]) == []


def test_facts_can_be_kept_with_an_evaluation_and_read_again() -> None:
    facts = measure(WORDS, speech_seconds=2.5, duration=10.0)
    kept = json.loads(json.dumps(facts.as_dict()))
    assert SpeechFacts(**kept) == facts
    assert kept["fillers"] == {"um": 1}


def test_silence_cannot_be_measured() -> None:
    with pytest.raises(ValueError, match=r"^no words to measure$"):
        measure([], speech_seconds=0, duration=1.0)


def test_words_below_even_odds_were_hard_to_hear() -> None:
    words = [Spoken("one", 0, 1, 0.49), Spoken("two", 1, 2, 0.5), Spoken("three", 2, 3, 0.9), Spoken("four", 3, 4, 0.1)]
    assert measure(words, speech_seconds=4, duration=4).doubtful_share == 0.5


def test_a_recording_is_speech_and_pauses_with_fillers_on_top() -> None:
    assert stretches(WORDS) == [
        Stretch(StretchKind.SPEECH, 0.0, 0.8),
        Stretch(StretchKind.FILLER, 0.6, 0.8, "um"),
        Stretch(StretchKind.PAUSE, 0.8, 2.8),
        Stretch(StretchKind.SPEECH, 2.8, 3.2),
        Stretch(StretchKind.PAUSE, 3.2, 4.4),
        Stretch(StretchKind.SPEECH, 4.4, 5.0),
    ]
    assert stretches([]) == []


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 2), st.sampled_from(["um", "yes", "Umbria"])), min_size=1))
def test_what_the_timeline_shows_is_what_was_counted(said: list[tuple[float, float, str]]) -> None:
    words, clock = [], 0.0
    for gap, length, text in said:
        words.append(Spoken(text, clock + gap, clock + gap + length, 1.0))
        clock = words[-1].end
    facts, shown = measure(words, speech_seconds=1, duration=1), stretches(words)
    assert facts.pauses == sum(one.kind == StretchKind.PAUSE for one in shown)
    assert facts.filler_count == sum(one.kind == StretchKind.FILLER for one in shown)
    speaking = [one for one in shown if one.kind != StretchKind.FILLER]
    assert (speaking[0].start, speaking[-1].end) == (words[0].start, words[-1].end)
    assert all(earlier.end == later.start for earlier, later in pairwise(speaking))
    assert all(one.end - one.start > PAUSE_SECONDS - 0.01 for one in speaking if one.kind == StretchKind.PAUSE)
