"""Captions for a transcript, as WebVTT: cues of at most two short lines, timed by the words in them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import pairwise
from textwrap import wrap

from evaluations.rating.evidence import SENTENCE_END
from evaluations.rating.speech import PAUSE_SECONDS, Spoken

# The usual limits of subtitling: what a person can read while they look at a face.
LINE_CHARACTERS = 42
LINES = 2
MAX_MS = 7000
MIN_MS = 1000  # a cue is shown that long unless the next one starts earlier

_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")


@dataclass(frozen=True, slots=True)
class Cue:
    start: int  # milliseconds
    end: int  # milliseconds, later than start
    lines: tuple[str, ...]


def webvtt(words: Iterable[Spoken]) -> str:
    """The words of a transcript as a WebVTT file."""
    return "\n\n".join(["WEBVTT", *map(_block, cues(words))]) + "\n"


def cues(words: Iterable[Spoken]) -> list[Cue]:
    """Cues in order that don't overlap, each at most MAX_MS long, with at most LINES lines of LINE_CHARACTERS."""
    pieces = [piece for word in words for piece in _pieces(word)]
    found = list(_timed(_groups(pieces)))
    linger = [replace(cue, end=max(cue.end, min(cue.start + MIN_MS, after.start))) for cue, after in pairwise(found)]
    return [*linger, *found[-1:]]


def _pieces(word: Spoken) -> list[Spoken]:
    """A word as it can be shown: without invisible characters, and in several pieces if it is longer than a line."""
    visible = "".join(" " if unicodedata.category(one) in _INVISIBLE else one for one in word.text)
    parts = wrap(" ".join(visible.split()), LINE_CHARACTERS)
    step = (word.end - word.start) / max(len(parts), 1)
    times = (word.start + step * number for number in range(len(parts)))
    return [replace(word, text=part, start=time, end=time + step) for part, time in zip(parts, times, strict=True)]


def _groups(pieces: Sequence[Spoken]) -> Iterator[list[Spoken]]:
    group: list[Spoken] = []
    for piece in pieces:
        if group and not _belongs(piece, group):
            yield group
            group = []
        group.append(piece)
    if group:
        yield group


def _belongs(piece: Spoken, group: Sequence[Spoken]) -> bool:
    """Whether a word can go into the same cue: not after a pause, nor after a sentence that fills a line."""
    last = group[-1]
    ends_well = last.text.endswith(SENTENCE_END) and len(_text(group)) > LINE_CHARACTERS
    return (
        len(_lines([*group, piece])) <= LINES
        and 1000 * (piece.end - group[0].start) <= MAX_MS
        and piece.start - last.end < PAUSE_SECONDS
        and not ends_well
    )


def _timed(groups: Iterable[Sequence[Spoken]]) -> Iterator[Cue]:
    free = 0  # no cue starts before the previous one has ended, whatever times a recogniser gives
    for group in groups:
        start = max(free, round(1000 * group[0].start))
        end = min(max(round(1000 * group[-1].end), start + 1), start + MAX_MS)
        yield Cue(start, end, _lines(group))
        free = end


def _text(group: Sequence[Spoken]) -> str:
    return " ".join(piece.text for piece in group)


def _lines(group: Sequence[Spoken]) -> tuple[str, ...]:
    return tuple(wrap(_text(group), LINE_CHARACTERS, break_on_hyphens=False))


def _block(cue: Cue) -> str:
    # Escaped, `-->` and tags are text; no line is empty, so that nothing in it ends the cue.
    return "\n".join([f"{_clock(cue.start)} --> {_clock(cue.end)}", *(escape(line, quote=False) for line in cue.lines)])


def _clock(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"
