"""Form and rating of a text that was written down instead of heard: no audio, no queue, no database.

The same steps as those of the pipeline, for trying a rubric or a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import TypeVar

from evaluations.rating import evidence, gates
from evaluations.rating.evidence import Sentence
from evaluations.rating.rubric import RubricSpec
from evaluations.stages.extract import ExtractResult, ExtractWork, extract
from evaluations.stages.rate import RateResult, RateWork, rate
from queueing.engines.base import Engines
from queueing.exceptions import Permanent, Transient

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WrittenSpeech:
    """A transcript without times."""

    text: str
    language: str  # ISO 639-1

    @property
    def sentences(self) -> tuple[Sentence, ...]:
        return tuple(evidence.sentences_of_text(self.text, self.language))


def refuse_unratable(said: WrittenSpeech) -> None:
    """
    Raises:
        Permanent: it has too few words (`too_short_to_rate`).
    """
    if refusal := gates.check_text(len(said.text.split())):
        raise Permanent(refusal.reason, code=refusal.code)


def form_of(said: WrittenSpeech, engines: Engines, stop: Event, *, attempts: int) -> ExtractResult:
    """
    Args:
        attempts: tries, when the model's answers can't be used; each with another seed, as in the queue.

    Raises:
        StageError: see `queueing.engines.base`.
    """
    return _tried(
        lambda failed: extract(ExtractWork(said.text, said.sentences, said.language, failed), engines, stop), attempts
    )


def rating_of(
    said: WrittenSpeech,
    answers: Mapping[str, object],
    rubric: RubricSpec,
    engines: Engines,
    stop: Event,
    *,
    attempts: int,
) -> RateResult:
    """
    Args:
        answers: the form's; they are in the feedback, and in no score.
        rubric: one that is valid.
        attempts: as for `form_of`.

    Raises:
        StageError: see `queueing.engines.base`; `not_understood` if it speaks to the rater and says nothing else.
    """

    def attempt(failed: int) -> RateResult:
        work = RateWork(
            rubric, said.sentences, words=None, answers=answers, language=said.language, facts=None, tries=failed
        )
        return rate(work, engines, lambda done, total: None, stop)

    return _tried(attempt, attempts)


def _tried(attempt: Callable[[int], T], attempts: int) -> T:
    for failed in range(attempts - 1):
        with suppress(Transient):
            return attempt(failed)
    return attempt(attempts - 1)
