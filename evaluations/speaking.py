"""How someone spoke, in kind words: the fact first, then what it may mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from evaluations import charts
from evaluations.feedback import FAST, SLOW
from evaluations.speech import Kind, SpeechFacts, Stretch

_SAYS: Final = {Kind.SPEECH: "Speech", Kind.PAUSE: "Pause", Kind.FILLER: "Filler word"}


@dataclass(frozen=True, slots=True)
class Fact:
    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A stretch of the recording on its timeline."""

    kind: Kind
    start: float  # seconds
    label: str
    block: charts.Block


def facts(measured: SpeechFacts) -> list[Fact]:
    """What was measured. Loudness is not."""
    return [
        Fact("Pace", f"{measured.words_per_minute:.0f} words a minute", _pace(measured.words_per_minute)),
        Fact("Pauses of a second or more", _pauses(measured), "A pause gives people time to think."),
        Fact("Filler words", _fillers(measured.fillers), _on_fillers(measured)),
        Fact("Clearness of the words", f"{measured.articulation:.0%} on average", _on_doubt(measured)),
        Fact("Share of the time with speech", f"{measured.speech_share:.0%}", f"{measured.words} words in all."),
    ]


def timeline(stretches: Sequence[Stretch], duration: float) -> list[Mark]:
    """The stretches of a recording of `duration` seconds, placed on a strip."""
    whole = max([duration, *(stretch.end for stretch in stretches)])
    return [
        Mark(one.kind, one.start, _says(one), charts.block(one.start, one.end, whole))
        for one in stretches
        if whole > 0  # a recogniser that puts every word at 0 leaves nothing to draw
    ]


def _says(stretch: Stretch) -> str:
    length = "" if stretch.kind == Kind.FILLER else f" for {stretch.end - stretch.start:.1f} s"
    return f"{_SAYS[stretch.kind]}{length}" + (f": “{stretch.text}”" if stretch.text else "")


def _pace(words_per_minute: float) -> str:
    if words_per_minute > FAST:
        return "Lively. A little slower, and each word can be heard."
    if words_per_minute < SLOW:
        return "Calm, with room for pauses."
    return "Easy to follow."


def _pauses(measured: SpeechFacts) -> str:
    return f"{measured.pauses}, at most {measured.longest_pause:.1f} s" if measured.pauses else "none"


def _fillers(counts: Mapping[str, int]) -> str:
    most_first = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"“{word}” {count}×" for word, count in most_first) or "none heard"


def _on_fillers(measured: SpeechFacts) -> str:
    if measured.filler_count:
        return "Everybody uses some. A short silence sounds surer."
    return "Speech recognition leaves many of them out."


def _on_doubt(measured: SpeechFacts) -> str:
    if not measured.doubtful_share:
        return "No word was hard to hear."
    return f"{measured.doubtful_share:.0%} of the words were hard to hear; they are dotted in the transcript."
