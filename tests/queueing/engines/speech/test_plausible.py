from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from queueing.engines.base import Segment, Word
from queueing.engines.speech.plausible import believable, compression_ratio, loops, repeated_share

DEMO = Path(__file__).resolve().parents[4] / "evaluations" / "demo" / "scripts.json"


def segment(text: str) -> Segment:
    return Segment(0.0, 1.0, text, (), -0.2, 0.01, compression_ratio(text))


def kept(*pairs: tuple[Segment, float]) -> list[str]:
    return [segment.text for segment in believable(pairs)]


def test_plain_speech_is_kept() -> None:
    text = "Hello, my name is Anna and I am 16 years old. In my free time I play the guitar."
    assert kept((segment(text), 1.4)) == [text]


def test_a_loop_inside_a_segment_is_dropped() -> None:
    assert kept((segment("thank you very much " * 20), 9.0), (segment("I like chess."), 1.0)) == ["I like chess."]


def test_of_a_looping_window_each_sentence_is_kept_once() -> None:
    looping = [(segment(text), 3.1) for text in ("I like chess.", "And music.", "And music.", "and music. ", "Bye.")]
    assert kept(*looping) == ["I like chess.", "And music.", "Bye."]


def test_who_says_a_thing_twice_is_believed() -> None:
    assert kept((segment("No."), 1.0), (segment("No."), 1.0)) == ["No.", "No."]


def test_words_that_the_model_takes_for_silence_are_dropped() -> None:
    unsure = replace(segment("Thanks for watching!"), no_speech_probability=0.9, average_log_probability=-1.3)
    assert kept((unsure, 1.0)) == []


@pytest.mark.parametrize(
    "text",
    [
        "Subtitles by the Amara.org community",
        "Subtitles by Jane Doe.",
        "Transcription by CastingWords",
        "Untertitel der Amara.org-Community",
        "Untertitel im Auftrag des ZDF für funk, 2017",
        "Untertitelung des ZDF, 2020",
        "Copyright WDR 2021",
    ],
)
def test_credits_of_a_film_are_dropped_however_sure_the_model_is(text: str) -> None:
    assert kept((segment(text), 1.0)) == []


@pytest.mark.parametrize(
    "text",
    [
        "Thank you for watching.",
        "I write subtitles for films.",
        "Untertitel finde ich hilfreich.",
        "Transcribed songs are my hobby.",
    ],
)
def test_what_people_say_of_watching_and_subtitles_is_kept(text: str) -> None:
    assert kept((segment(text), 1.0)) == [text]


@pytest.mark.parametrize(("silence", "certainty"), [(0.9, -0.2), (0.01, -1.3)])
def test_one_sign_of_silence_is_not_enough(silence: float, certainty: float) -> None:
    quiet = replace(segment("I am shy."), no_speech_probability=silence, average_log_probability=certainty)
    assert kept((quiet, 1.0)) == ["I am shy."]


def test_empty_text_is_no_segment() -> None:
    assert kept((segment(""), 0.0), (segment("  "), 0.0)) == []


def test_sentences_that_take_turns_in_a_looping_window_are_kept_once() -> None:
    turns = [(segment(text), 3.0) for text in ("I like chess.", "And music.") * 4]
    assert kept(*turns, (segment("I like chess."), 1.2)) == ["I like chess.", "And music.", "I like chess."]


def test_a_looping_window_that_the_model_takes_for_silence_is_dropped_whole() -> None:
    sure = replace(segment("I'm not going to do that."), no_speech_probability=0.8, average_log_probability=-0.2)
    assert kept((sure, 11.2), (segment("Hello."), 1.0)) == ["Hello."]


def test_a_mere_guess_is_dropped() -> None:
    doubtful = replace(segment("Mary Jackson,"), average_log_probability=-1.7)
    unheard = replace(segment("G."), words=(Word(0.0, 0.2, "G.", 0.01),))
    assert kept((doubtful, 0.6), (unheard, 0.2)) == []


def test_more_words_than_a_mouth_can_say_are_dropped() -> None:
    """F57"""
    text = "Thank you for watching and please subscribe to my channel now"
    words = tuple(Word(0.0, 0.5, word, 0.9) for word in text.split())
    hasty = replace(segment(text), words=words, end=0.5)
    assert kept((hasty, 1.0), (replace(hasty, end=3.0), 1.0)) == [text]


PHRASES = [
    "Thank you.",
    "you",
    "I'm going to go.",
    "hey,",
    "Okay.",
    "no, no,",
    "I don't know how to do it,",
    "E",
    "the one that's",
    "Thank you very much for watching.",
    "and I like football and",
    "That is all I wanted to say to you today.",
    "um",
    "la la",
    "My name is Anna and I am 16 years old.",
]
LOOPS = [" ".join([phrase] * times) for phrase in PHRASES for times in (10, 222)]
"""222 times is what faster-whisper#394 reports."""

WHO = ["I", "My brother and I", "People in my class", "My two best friends", "Some of us"]
DO = ["like to play", "are good at", "have tried", "often talk about", "want to learn"]
WHAT = ["chess and football", "the piano", "painting", "programming small games", "baking bread", "long walks", "jazz"]
ORDINARY = [f"{who} {do} {what}, and that is what makes a day a good one." for who in WHO for do in DO for what in WHAT]
SAID = [entry["words"] for entry in json.loads(DEMO.read_text()) if entry["words"]]
CLEAN = [*SAID, *(sentence for said in SAID for sentence in re.split(r"(?<=[.]) ", said)), *ORDINARY]


def test_thirty_loops_are_all_recognised() -> None:
    """F58"""
    assert len(LOOPS) == 30
    assert [loop[:40] for loop in LOOPS if not loops(loop)] == []
    assert kept(*((segment(loop), compression_ratio(loop)) for loop in LOOPS)) == []


def test_of_two_hundred_clean_segments_hardly_any_is_taken_for_a_loop() -> None:
    """F58: at most one in a hundred."""
    assert len(CLEAN) >= 200
    assert sum(map(loops, CLEAN)) <= len(CLEAN) / 100
    assert max(map(repeated_share, CLEAN)) < 0.2


def test_a_short_loop_that_the_ratio_does_not_see_is_recognised_by_its_words() -> None:
    short = "hey, hey, hey, hey, hey, hey, hey, hey"
    assert compression_ratio(short) < 2.4
    assert loops(short)


def test_a_loop_without_blanks_is_recognised_by_the_ratio() -> None:
    assert loops("ha" * 60)


def test_who_thanks_three_times_is_believed() -> None:
    assert not loops("Thank you, thank you, thank you.")
