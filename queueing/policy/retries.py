"""What happens to a task whose attempt failed: a retry, a hand-back, or the final failure."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from queueing.exceptions import Crashed, Infrastructure, Interrupted, Permanent, StageError, Unexpected


@dataclass(frozen=True, slots=True)
class RetryLimits:
    """How often a stage may fail; each figure comes from the setting of the same name."""

    max_attempts: int
    max_crashes: int
    backoff_seconds: float


@dataclass(frozen=True, slots=True)
class Tries:
    """How the current stage has failed so far."""

    failures: int
    crashes: int


@dataclass(frozen=True, slots=True)
class FailTask:
    error: StageError


@dataclass(frozen=True, slots=True)
class RetryLater:
    delay_seconds: float


@dataclass(frozen=True, slots=True)
class HandBack:
    delay_seconds: float


JITTER = 0.5  # of a delay, shorter or longer

AfterFailure = FailTask | RetryLater | HandBack

CHANGED_SECONDS = 60.0  # a task may have been delayed under longer limits than those of today

# An engine raises `does_not_fit` after it has tried all that is lighter itself. One retry, since another program may
# have held the memory for a while; a server that ran out of it is a failure like any other.
MAX_TRIES_TO_FIT = 2
# Most faults of the program repeat; those that came of what ran beside it do not.
MAX_TRIES_UNEXPECTED = 2


def after_failure(error: StageError, tries: Tries, limits: RetryLimits, chance: random.Random) -> AfterFailure:
    """What happens to a task whose attempt ended with `error`."""
    if isinstance(error, Interrupted):
        return HandBack(0)
    if isinstance(error, Infrastructure):
        return HandBack(_jittered(limits.backoff_seconds / 2, chance))
    if isinstance(error, Permanent):
        return FailTask(error)
    if isinstance(error, Crashed):
        if tries.crashes + 1 >= limits.max_crashes:
            code = "hung" if error.code == "hung" else "poison"
            return FailTask(Permanent(f"its worker died {tries.crashes + 1} times: {error}", code=code))
        return RetryLater(_jittered(limits.backoff_seconds / 2, chance))
    limit = min(_most_tries(error), limits.max_attempts)
    if tries.failures + 1 >= limit:
        return FailTask(error)
    return RetryLater(_jittered(limits.backoff_seconds * 2**tries.failures, chance))


def _most_tries(error: StageError) -> float:
    if isinstance(error, Unexpected):
        return MAX_TRIES_UNEXPECTED
    return MAX_TRIES_TO_FIT if error.code == "does_not_fit" else math.inf


def longest_delay_seconds(backoff_seconds: float, max_attempts: int) -> float:
    """No failure delays a task for longer than this."""
    return backoff_seconds * 2.0 ** max(max_attempts - 2, 0) * (1 + JITTER) + CHANGED_SECONDS


def _jittered(seconds: float, chance: random.Random) -> float:
    """So that what failed together does not come back together."""
    return seconds * chance.uniform(1 - JITTER, 1 + JITTER)
