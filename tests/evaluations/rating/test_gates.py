"""Whether a recording can be rated at all, decided from what was heard of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evaluations.errors import catalogue
from evaluations.rating import gates
from evaluations.rating.gates import Hearing, check
from evaluations.rating.speech import Spoken

OFFERED = ("en", "de")


def said(count: int, *, certainty: float = 0.9, every: float = 0.4) -> list[Spoken]:
    """So many words, one each `every` seconds, the voice in four fifths of the time."""
    return [Spoken("word", at * every, at * every + 0.8 * every, certainty) for at in range(count)]


GOOD = Hearing(said(40), speech_seconds=14.0, language="en", language_probability=1.0)


def refused(heard: Hearing) -> str:
    refusal = check(heard, OFFERED)
    return refusal.code if refusal else ""


def test_what_was_understood_and_long_enough_is_rated() -> None:
    assert refused(GOOD) == ""


@pytest.mark.parametrize("count", [1, 3, gates.MIN_WORDS - 1])
def test_too_few_words_are_too_short_to_rate(count: int) -> None:
    assert refused(replace(GOOD, words=said(count), speech_seconds=count * 0.35)) == "too_short_to_rate"


def test_the_fewest_words_that_are_rated_are_those_that_the_student_is_told() -> None:
    words = said(gates.MIN_WORDS)
    assert refused(replace(GOOD, words=words, speech_seconds=8.5)) == ""
    told = catalogue.explain("too_short_to_rate").what
    assert f"{gates.MIN_WORDS} words" in told
    assert f"{gates.MIN_SECONDS:.0f} seconds" in told


def test_many_words_in_a_few_seconds_are_too_short_to_rate() -> None:
    assert refused(replace(GOOD, words=said(28, every=0.25), speech_seconds=6.0)) == "too_short_to_rate"


def test_who_speaks_quickly_but_pauses_is_not_too_short() -> None:
    """A demo clip at 1.3 times its pace: 30 words, 7.2 s of voice."""
    assert refused(replace(GOOD, words=said(30, every=0.35), speech_seconds=7.2)) == ""


def test_three_words_are_too_short_and_not_misheard_however_doubtful_they_are() -> None:
    assert refused(replace(GOOD, words=said(3, certainty=0.3), speech_seconds=0.9)) == "too_short_to_rate"


def test_no_word_in_a_long_voice_is_not_understood_and_in_a_short_one_is_no_speech() -> None:
    assert refused(replace(GOOD, words=[], speech_seconds=16.0)) == "not_understood"
    assert refused(replace(GOOD, words=[], speech_seconds=0.6)) == "no_speech"


def test_words_that_the_recogniser_was_far_from_sure_of_are_not_understood() -> None:
    assert refused(replace(GOOD, words=said(50, certainty=0.55))) == "not_understood"


def test_a_few_words_in_a_long_voice_are_not_understood() -> None:
    """A greeting invented over a babble; German on an English model."""
    assert refused(replace(GOOD, words=said(4), speech_seconds=15.4)) == "not_understood"


def test_long_stretches_of_voice_without_a_word_are_not_understood() -> None:
    words = said(30, every=0.2)
    assert refused(replace(GOOD, words=words, speech_seconds=20.0)) == "not_understood"


def test_another_language_is_not_understood_and_the_reason_names_it() -> None:
    refusal = check(replace(GOOD, language="fr", language_probability=0.98), OFFERED)
    assert refusal is not None
    assert refusal.code == "not_understood"
    assert "'fr'" in refusal.reason


def test_a_mere_guess_at_another_language_is_no_reason() -> None:
    assert refused(replace(GOOD, language="cy", language_probability=0.3)) == ""


def test_every_offered_language_is_rated() -> None:
    assert refused(replace(GOOD, language="de", language_probability=0.98)) == ""


def test_slow_speech_in_noise_is_rated_and_only_flagged() -> None:
    words = [replace(word, probability=0.45) if at % 3 == 0 else word for at, word in enumerate(said(30, every=0.6))]
    assert refused(replace(GOOD, words=words, speech_seconds=16.0)) == ""
    assert gates.is_doubtful(words)
    assert not gates.is_doubtful(said(40))
    assert not gates.is_doubtful([])


@pytest.mark.parametrize("code", ["no_speech", "too_short_to_rate", "not_understood"])
def test_another_recording_is_what_helps(code: str) -> None:
    assert code in catalogue.OF_THE_FILE
