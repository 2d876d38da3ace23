"""What the model is told: of one submission, and as much of it as its student may see. No score, nobody else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth.models import User

from evaluations.actions import decisions
from evaluations.models import Evaluation, Form, Submission, Transcript, corrected
from evaluations.rating import evidence, speech
from evaluations.rating.evidence import Sentence
from evaluations.rating.instructions import masked
from evaluations.rating.speech import SpeechFacts

_SHOWN: Final = {1.0: "shown", 0.0: "not shown"}


@dataclass(frozen=True, slots=True)
class Facts:
    said: tuple[Sentence, ...]  # what speaks to the rater is masked
    form: str  # a line each, as the next two
    speaking: str
    items: str  # empty: not rated, or not released
    own_words: frozenset[str]  # that the student said or has as a name, in small letters


def of(submission: Submission) -> Facts:
    """
    Raises:
        Transcript.DoesNotExist: nothing was understood yet.
    """
    transcript = corrected(Transcript.objects.get(submission=submission))
    words = speech.words_of(transcript.segments)
    said = tuple(evidence.sentences(words, transcript.language))
    form = Form.objects.filter(submission=submission).first()
    measured = speech.measure(words, speech_seconds=transcript.speech_seconds, duration=transcript.duration)
    rated = Evaluation.objects.filter(current_of=submission, released_at__isnull=False).first()
    own = [name_of(submission.student), *(one.text for one in said)]
    return Facts(
        said=tuple(masked(said)),
        form="\n".join(_form(form) if form else ()),
        speaking="\n".join(_speaking(measured)) if words else "",
        items="\n".join(_items(rated)) if rated else "",
        own_words=frozenset(speech.bare(word) for text in own for word in text.split()),
    )


def name_of(user: User) -> str:
    return f"{user.get_full_name()} {user.username}"


def _form(form: Form) -> Iterator[str]:
    for field, answer in form.answers().items():
        words = ", ".join(answer) if isinstance(answer, list) else answer
        yield f"- {field.replace('_', ' ')}: {words or 'not said'}"


def _speaking(measured: SpeechFacts) -> Iterator[str]:
    yield f"- {measured.words} words, {measured.words_per_minute:.0f} a minute"
    yield f"- {measured.pauses} pauses of a second or more, the longest {measured.longest_pause:.1f} seconds"
    fillers = ", ".join(f"{word} ({count})" for word, count in measured.fillers.items())
    yield f"- filler words: {fillers or 'none'}"


def _items(rated: Evaluation) -> Iterator[str]:
    """What the rubric asks for and what was found of it, as it counts after people's decisions; without points."""
    found = decisions.as_it_counts(rated, decisions.standing(rated))
    for criterion in found.scores:
        for item in criterion.get("items", ()):
            yield f"- {item['statement']}: {_SHOWN.get(item['credit'], 'uncertain')}{_quotes(item['sentences'])}"


def _quotes(sentences: Sequence[dict[str, Any]]) -> str:
    return "".join(f", sentence {one['sentence']}" for one in sentences[:2])
