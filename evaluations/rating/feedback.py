"""Feedback without a model's judgement: composed from what was measured and what the form holds.

A model that can judge writes its own feedback and suggestions. Of a demo model one sentence of feedback is kept, if the
transcript supports it; the rest is composed here. Feedback is stored in English, since the language of its readers is
not known yet; `translated` translates it for a reader.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from django.conf import settings
from django.template.defaultfilters import floatformat
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, override

from evaluations.rating import evidence
from evaluations.rating.speech import SpeechFacts

MAX_SENTENCES = 3  # sentences of feedback, and suggestions

SLOW, FAST = 110, 170  # words per minute
MANY_FILLERS = 3.0  # in 100 words

_NAMES: Final = {
    "name": gettext_lazy("your name"),
    "age": gettext_lazy("your age"),
    "hobbies": gettext_lazy("your hobbies"),
    "career_goals": gettext_lazy("what you want to become"),
    "strengths": gettext_lazy("what you are good at"),
    "experience": gettext_lazy("something you have done"),
}
_ASK: Final = {
    "name": gettext_lazy("Begin with your name."),
    "age": gettext_lazy("Say how old you are."),
    "hobbies": gettext_lazy("Tell us what you like to do in your free time."),
    "career_goals": gettext_lazy("Say what you would like to become, and why."),
    "strengths": gettext_lazy("Name something you are good at, with an example."),
    "experience": gettext_lazy("Tell us about something you have done, such as a project, a club or a job."),
}


def missing(answers: Mapping[str, object]) -> list[str]:
    """The names of the form's fields without an answer, in plain English for the prompt."""
    return [field.replace("_", " ") for field, answer in answers.items() if answer is None]


def grounded(sentences: Sequence[str], transcript: str) -> list[str]:
    """The complete sentences that start with "You" and that the transcript supports, each once."""
    whole = [one for one in sentences if one.startswith("You ") and one.endswith(evidence.SENTENCE_END)]
    return list(dict.fromkeys(one for one in whole if evidence.says(transcript, one)))


def remarks(facts: SpeechFacts, answers: Mapping[str, object]) -> list[str]:
    """Three remarks that fit any introduction, the most personal first."""
    said = [str(_NAMES[field]) for field, answer in answers.items() if answer is not None]
    first = _("We heard you, but little of what the form asks for.")
    if said:
        first = _("You told us %(things)s.") % {"things": _enumerated(said)}
    return [first, _pace(facts), _pauses(facts)]


def advice(facts: SpeechFacts, answers: Mapping[str, object]) -> list[str]:
    """Suggestions, the most useful first; at least two."""
    tips = [str(_ASK[field]) for field, answer in answers.items() if answer is None]
    if facts.fillers_per_100_words >= MANY_FILLERS:
        used = ngettext(
            "You used %(count)s filler word; a short silence sounds surer.",
            "You used %(count)s filler words; a short silence sounds surer.",
            facts.filler_count,
        )
        tips.insert(0, used % {"count": facts.filler_count})
    if facts.words_per_minute > FAST:
        tips.append(_("Speak a little slower, so that each word can be heard."))
    if facts.words_per_minute < SLOW:
        tips.append(_("Practise once or twice, so that you need fewer pauses."))
    return [
        *tips,
        _("Add one detail or example that only you could tell."),
        _("Look into the camera and smile at the start."),
    ]


def translated(text: str, facts: SpeechFacts, answers: Mapping[str, object]) -> str:
    """`text` with the sentences that were composed here in the language of the request.

    They are found by composing them in English again, from the same facts. What a model wrote stays as it is.
    """
    with override(settings.LANGUAGE_CODE):
        written = [*remarks(facts, answers), *advice(facts, answers)]
    for sentence, own in zip(written, [*remarks(facts, answers), *advice(facts, answers)], strict=True):
        text = text.replace(sentence, own)
    return text


def _pace(facts: SpeechFacts) -> str:
    pace = {"pace": round(facts.words_per_minute)}
    if pace["pace"] > FAST:
        return _("You spoke %(pace)s words a minute, which is fast.") % pace
    if pace["pace"] < SLOW:
        return _("You spoke %(pace)s words a minute, which is slow and leaves room for pauses.") % pace
    return _("You spoke %(pace)s words a minute, which is easy to follow.") % pace


def _pauses(facts: SpeechFacts) -> str:
    # Never "no filler words": speech recognition leaves most of them out.
    if facts.filler_count:
        heard = ngettext(
            "We heard %(count)s filler word in %(words)s words.",
            "We heard %(count)s filler words in %(words)s words.",
            facts.filler_count,
        )
        return heard % {"count": facts.filler_count, "words": facts.words}
    if facts.pauses:
        paused = ngettext(
            "You paused %(count)s time, for %(seconds)s seconds.",
            "You paused %(count)s times, at most for %(seconds)s seconds.",
            facts.pauses,
        )
        return paused % {"count": facts.pauses, "seconds": floatformat(facts.longest_pause, 1)}
    return _("You spoke without a long pause.")


def _enumerated(parts: Sequence[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    return _("%(others)s and %(last)s") % {"others": ", ".join(parts[:-1]), "last": parts[-1]}
