"""Feedback that needs no judgement: said from what was measured and what the form holds.

A model that can judge writes its own feedback and suggestions. Of a demo model one sentence of feedback is kept, if the
transcript supports it, and what is written here makes up for the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from evaluations import evidence
from evaluations.speech import SpeechFacts

MOST = 3  # sentences of feedback, and suggestions

SLOW, FAST = 110, 170  # words per minute
MANY_FILLERS = 3.0  # in 100 words

_NAMES: Final[Mapping[str, str]] = {
    "name": "your name",
    "age": "your age",
    "hobbies": "your hobbies",
    "career_goals": "what you want to become",
    "strengths": "what you are good at",
    "experience": "something you have done",
}
_ASK: Final[Mapping[str, str]] = {
    "name": "Begin with your name.",
    "age": "Say how old you are.",
    "hobbies": "Tell us what you like to do in your free time.",
    "career_goals": "Say what you would like to become, and why.",
    "strengths": "Name something you are good at, with an example.",
    "experience": "Tell us about something you have done, such as a project, a club or a job.",
}


def missing(answers: Mapping[str, object]) -> list[str]:
    """The names of the form's fields that were not said, as a person would say them."""
    return [field.replace("_", " ") for field, answer in answers.items() if answer is None]


def grounded(sentences: Sequence[str], transcript: str) -> list[str]:
    """Those that tell the student what was said and come to their end, each once."""
    whole = [one for one in sentences if one.startswith("You ") and one.endswith(evidence.SENTENCE_END)]
    return list(dict.fromkeys(one for one in whole if evidence.says(transcript, one)))


def remarks(facts: SpeechFacts, answers: Mapping[str, object]) -> list[str]:
    """What can be said of any introduction, most personal first; three."""
    said = [_NAMES[field] for field, answer in answers.items() if answer is not None]
    first = f"You told us {_enumerated(said)}." if said else "We heard you, but little of what the form asks for."
    return [first, _pace(facts), _pauses(facts)]


def advice(facts: SpeechFacts, answers: Mapping[str, object]) -> list[str]:
    """What to do better, most useful first; at least two."""
    tips = [_ASK[field] for field, answer in answers.items() if answer is None]
    if facts.fillers_per_100_words >= MANY_FILLERS:
        tips.insert(0, f"You used {facts.filler_count} filler words; a short silence sounds surer.")
    if facts.words_per_minute > FAST:
        tips.append("Speak a little slower, so that each word can be heard.")
    if facts.words_per_minute < SLOW:
        tips.append("Practise once or twice, so that you need fewer pauses.")
    return [
        *tips,
        "Add one detail or example that only you could tell.",
        "Look into the camera and smile at the start.",
    ]


def _pace(facts: SpeechFacts) -> str:
    pace = round(facts.words_per_minute)
    if pace > FAST:
        return f"You spoke {pace} words a minute, which is fast."
    if pace < SLOW:
        return f"You spoke {pace} words a minute, which is slow and leaves room for pauses."
    return f"You spoke {pace} words a minute, which is easy to follow."


def _pauses(facts: SpeechFacts) -> str:
    # Never "no filler words": speech recognition leaves most of them out.
    if facts.filler_count:
        return f"We heard {facts.filler_count} filler words in {facts.words} words."
    if facts.pauses:
        return f"You paused {facts.pauses} times, at most for {facts.longest_pause:.1f} seconds."
    return "You spoke without a long pause."


def _enumerated(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
