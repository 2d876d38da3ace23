from __future__ import annotations

from dataclasses import replace

import pytest

from queueing.engines.base import Segment
from queueing.engines.speech.plausible import believable, compression_ratio


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


@pytest.mark.parametrize(("silence", "certainty"), [(0.9, -0.2), (0.01, -1.3)])
def test_one_sign_of_silence_is_not_enough(silence: float, certainty: float) -> None:
    quiet = replace(segment("I am shy."), no_speech_probability=silence, average_log_probability=certainty)
    assert kept((quiet, 1.0)) == ["I am shy."]


def test_empty_text_is_no_segment() -> None:
    assert kept((segment(""), 0.0), (segment("  "), 0.0)) == []
