"""A transcript that has no room in a model's context is worked on in parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from evaluations.rating.evidence import Sentence
from queueing.exceptions import Permanent

T = TypeVar("T")


def in_parts(sentences: Sequence[Sentence], ask: Callable[[Sequence[Sentence]], T]) -> list[T]:
    """What `ask` gives for all sentences; where the model has no room for them, for each half, and so on, in order.

    Only the model's server knows how many tokens a text has, so it is asked rather than guessed at.

    Raises:
        Permanent: `too_long_for_model`, if not even one sentence has room.
    """
    try:
        return [ask(sentences)]
    except Permanent as error:
        if error.code != "too_long_for_model" or len(sentences) < 2:
            raise
    middle = len(sentences) // 2
    return [*in_parts(sentences[:middle], ask), *in_parts(sentences[middle:], ask)]
