from __future__ import annotations

import re
from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from evaluations.pages.captions import LINE_CHARACTERS, LINES, MAX_MS, MIN_MS, Cue, cues, webvtt
from evaluations.rating.speech import Spoken
from tests.evaluations.material import HOSTILE

TIME = r"(\d{2,}):([0-5]\d):([0-5]\d)\.(\d{3})"
HOSTILE_TEXTS = (
    "-->",
    "\n\n",
    "00:00.000 --> 00:09.000",
    "NOTE",
    "STYLE",
    "WEBVTT",
    "<c.x>",
    "&lt;",
    "\r",
    "\u2028",
    HOSTILE,
)


def said(sentence: str, *, pace: float = 0.4) -> list[Spoken]:
    return spoken(sentence.split(), pace=pace)


def spoken(texts: list[str], *, pace: float = 0.4) -> list[Spoken]:
    return [Spoken(text, number * pace, (number + 1) * pace, 1.0) for number, text in enumerate(texts)]


def read(file: str) -> list[Cue]:
    """A strict reader of the part of WebVTT that captions use; anything else is an error."""
    header, *blocks = file.removesuffix("\n").split("\n\n")
    assert header == "WEBVTT"
    return [read_cue(block.split("\n")) for block in blocks]


def read_cue(lines: list[str]) -> Cue:
    times = re.fullmatch(f"{TIME} --> {TIME}", lines[0])
    assert times
    numbers = [int(number) for number in times.groups()]
    start, end = ((h * 3600 + m * 60 + s) * 1000 + ms for h, m, s, ms in (numbers[:4], numbers[4:]))
    for line in lines[1:]:
        assert line.strip()
        assert not re.search(r"-->|[<>]|&(?!(?:amp|lt|gt);)", line)
    return Cue(start, end, tuple(unescape(line) for line in lines[1:]))


words = st.builds(
    Spoken,
    text=st.one_of(st.text(max_size=100), st.sampled_from(HOSTILE_TEXTS)),
    start=st.floats(-10, 7200),
    end=st.floats(-10, 7200),
    probability=st.just(1.0),
)


@given(st.lists(words, max_size=40))
def test_captions_of_any_words_are_valid_and_short_and_in_order(given: list[Spoken]) -> None:
    found = read(webvtt(given))
    assert found == cues(given)
    clock = 0
    for cue in found:
        assert clock <= cue.start < cue.end <= cue.start + MAX_MS
        assert 1 <= len(cue.lines) <= LINES
        assert all(len(line) <= LINE_CHARACTERS for line in cue.lines)
        clock = cue.end


@given(st.lists(st.text("ab-", min_size=1, max_size=20), min_size=20, max_size=60))
def test_who_speaks_fast_fills_two_lines_and_no_third(texts: list[str]) -> None:
    found = cues(spoken(texts, pace=0.05))
    assert {len(cue.lines) for cue in found[:-1]} <= {LINES}
    assert len(found[-1].lines) <= LINES


@given(st.lists(st.text("ab<&->. ", min_size=1, max_size=100), max_size=40))
def test_no_word_gets_lost(texts: list[str]) -> None:
    shown = "".join(line for cue in read(webvtt(spoken(texts))) for line in cue.lines)
    assert shown.replace(" ", "") == "".join(texts).replace(" ", "")


def test_a_sentence_becomes_two_lines_at_the_time_it_is_said() -> None:
    sentence = "Hello, my name is Ada and I like to climb on rocks, because it is quiet there."
    assert cues(said(sentence)) == [
        Cue(0, 6800, ("Hello, my name is Ada and I like to climb", "on rocks, because it is quiet there."))
    ]
    assert [cue.start for cue in cues(said(sentence, pace=0.5))] == [0, 7000]
    assert webvtt(said("Hi.", pace=1.25)) == "WEBVTT\n\n00:00:00.000 --> 00:00:01.250\nHi.\n"


def test_a_pause_and_a_full_sentence_begin_a_new_cue() -> None:
    paused = [Spoken("So,", 0, 0.5, 1.0), Spoken("yes.", 3.0, 3.5, 1.0)]
    assert [cue.start for cue in cues(paused)] == [0, 3000]
    long = said("This is a sentence of more than forty-two letters. And on.", pace=0.3)
    assert [cue.lines[-1] for cue in cues(long)] == ["letters.", "And on."]


def test_a_short_word_stays_long_enough_to_be_read() -> None:
    first, _ = cues([Spoken("Yes.", 0, 0.2, 1.0), Spoken("Well.", 5.0, 5.5, 1.0)])
    assert first.end == MIN_MS


def test_captions_of_nothing_are_an_empty_file() -> None:
    assert webvtt([]) == "WEBVTT\n"
