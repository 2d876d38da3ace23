"""A worker has a thread for each slot: what a stage makes of an answer must not depend on what runs beside it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from evaluations.rating import default_rubric, evidence, gates
from evaluations.rating.claims import languages
from evaluations.rating.speech import Spoken, measure
from evaluations.stages.extract import ExtractWork, extract
from evaluations.stages.rate import RateWork, rate
from queueing.engines.base import Engines
from tests.evaluations.stages.test_rate import Scripted, engines
from tests.gold import material

THREADS = 4
FORMS = {one["id"]: one["form"] for one in material.load("forms")}
SAID = [one for one in material.load("introductions") if one["id"] in FORMS][:5]

Pure = Callable[[dict[str, Any]], Any]


def _words(one: dict[str, Any]) -> tuple[Spoken, ...]:
    return tuple(Spoken(word, at * 0.4, at * 0.4 + 0.3, 0.95) for at, word in enumerate(one["text"].split()))


def _engines(one: dict[str, Any]) -> Engines:
    # What it answers differs by the introduction: which sentences show what.
    shown = 1 + len(one["text"]) % 3
    return engines(Scripted(form=FORMS[one["id"]], quotes=dict.fromkeys(("interest", "future", "proof"), shown)))


def filled_in(one: dict[str, Any]) -> Any:
    """The form: who says what of whom, in which words."""
    said = tuple(evidence.sentences(_words(one), one["language"]))
    return extract(ExtractWork(one["text"], said, one["language"], 0), _engines(one), Event())


def rated(one: dict[str, Any]) -> Any:
    """The rating: prompts, computed items, arithmetic, evidence, feedback."""
    words = _words(one)
    work = RateWork(
        rubric=default_rubric.ENGLISH,
        sentences=tuple(evidence.sentences(words, one["language"])),
        words=words,
        answers=FORMS[one["id"]],
        language=one["language"],
        facts=measure(words, speech_seconds=10, duration=20),
        tries=0,
    )
    return rate(work, _engines(one), lambda done, total: None, Event())


def let_in(one: dict[str, Any]) -> Any:
    """The gates, and the facts of speech."""
    words = _words(one)
    heard = gates.Hearing(words, 20.0, one["language"], 0.99)
    return gates.check(heard, {"en": "English", "de": "German"}), measure(words, speech_seconds=20, duration=30)


@pytest.fixture
def eager() -> Iterator[None]:
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("pure", [filled_in, rated, let_in])
def test_four_threads_make_of_every_introduction_what_one_makes_of_it(pure: Pure, eager: None) -> None:
    def fresh(one: dict[str, Any]) -> Any:
        languages.snowball.cache_clear()  # each word is stemmed again
        return pure(one)

    alone = [fresh(one) for one in SAID]
    with ThreadPoolExecutor(THREADS) as threads:
        at_once = list(threads.map(fresh, SAID * THREADS))
    assert at_once == alone * THREADS
    assert len({repr(each) for each in alone}) > len(SAID) // 2, "they differ, so a mix-up would show"
