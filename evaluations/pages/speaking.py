"""The facts of speech as a page shows them: each with a note on what it may mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.template.defaultfilters import floatformat
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from evaluations.pages import charts
from evaluations.rating.checks import MAX_PACE, MIN_PACE, MIN_WORDS_FOR_PACE
from evaluations.rating.speech import SpeechFacts, Stretch, StretchKind

_KIND_LABELS: Final = {
    StretchKind.SPEECH: gettext_lazy("Speech"),
    StretchKind.PAUSE: gettext_lazy("Pause"),
    StretchKind.FILLER: gettext_lazy("Filler word"),
}


@dataclass(frozen=True, slots=True)
class Fact:
    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A stretch of the recording on its timeline."""

    kind: StretchKind
    start: float  # seconds
    label: str
    block: charts.Block


def facts(measured: SpeechFacts) -> list[Fact]:
    """The facts that were measured, in the order shown."""
    pace = _("%(words)s words a minute") % {"words": f"{measured.words_per_minute:.0f}"}
    clear = _("%(percent)s%% on average") % {"percent": f"{100 * measured.articulation:.0f}"}
    share = _("%(percent)s%%") % {"percent": f"{100 * measured.speech_share:.0f}"}
    words = ngettext("%(words)s word in all.", "%(words)s words in all.", measured.words) % {"words": measured.words}
    return [
        Fact(_("Pace"), pace, _pace(measured)),
        Fact(_("Pauses of a second or more"), _pauses(measured), _("A pause gives people time to think.")),
        Fact(_("Filler words"), _fillers(measured.fillers), _on_fillers(measured)),
        Fact(_("Certainty of the recognition"), clear, _on_doubt(measured)),
        Fact(_("Share of the time with speech"), share, words),
    ]


def timeline(stretches: Sequence[Stretch], duration: float) -> list[Mark]:
    """The stretches of a recording of `duration` seconds, placed on a strip."""
    whole = max([duration, *(stretch.end for stretch in stretches)])
    return [
        Mark(one.kind, one.start, _label(one), charts.block(one.start, one.end, whole))
        for one in stretches
        if whole > 0  # a recogniser that puts every word at 0 leaves nothing to draw
    ]


def _label(stretch: Stretch) -> str:
    label = str(_KIND_LABELS[stretch.kind])
    if stretch.kind != StretchKind.FILLER:
        seconds = floatformat(stretch.end - stretch.start, 1)
        label = _("%(kind)s for %(seconds)s s") % {"kind": label, "seconds": seconds}
    return _("%(what)s: “%(text)s”") % {"what": label, "text": stretch.text} if stretch.text else label


def _pace(measured: SpeechFacts) -> str:
    if measured.words < MIN_WORDS_FOR_PACE:
        return _("Too few words to speak of a pace.")
    if measured.words_per_minute > MAX_PACE:
        return _("Lively. A little slower, and each word can be heard.")
    if measured.words_per_minute < MIN_PACE:
        return _("Calm, with room for pauses.")
    return _("Easy to follow.")


def _pauses(measured: SpeechFacts) -> str:
    if not measured.pauses:
        return _("none")
    longest = floatformat(measured.longest_pause, 1)
    return _("%(count)s, at most %(seconds)s s") % {"count": measured.pauses, "seconds": longest}


def _fillers(counts: Mapping[str, int]) -> str:
    most_first = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(_("“%(word)s” %(count)s×") % {"word": word, "count": count} for word, count in most_first) or _(
        "none heard"
    )


def _on_fillers(measured: SpeechFacts) -> str:
    if measured.filler_count:
        return _("Everybody uses some. A short silence sounds surer.")
    return _("Speech recognition leaves many of them out.")


def _on_doubt(measured: SpeechFacts) -> str:
    if not measured.doubtful_share:
        return _("No word was hard to hear.")
    percent = f"{100 * measured.doubtful_share:.0f}"
    return _("%(percent)s%% of the words were hard to hear; they are dotted in the transcript.") % {"percent": percent}
