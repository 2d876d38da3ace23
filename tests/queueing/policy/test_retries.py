"""What becomes of a task whose attempt failed, without a clock or a database."""

from __future__ import annotations

import random

import pytest

from queueing.exceptions import (
    Crashed,
    Infrastructure,
    Interrupted,
    OutOfMemory,
    Permanent,
    StageError,
    Transient,
)
from queueing.policy.retries import FailTask, HandBack, RetryLater, RetryLimits, Tries, after_failure

LIMITS = RetryLimits(max_attempts=3, max_crashes=2, backoff_seconds=10)


def decide(error: StageError, *, failures: int = 0, crashes: int = 0) -> FailTask | RetryLater | HandBack:
    return after_failure(error, Tries(failures, crashes), LIMITS, random.Random(1))


@pytest.mark.parametrize("kind", [Transient, OutOfMemory])
def test_a_real_failure_gets_three_attempts(kind: type[StageError]) -> None:
    assert isinstance(decide(kind()), RetryLater)
    assert isinstance(decide(kind(), failures=1), RetryLater)
    assert isinstance(decide(kind(), failures=2), FailTask)


def test_what_fits_in_no_way_is_tried_once_more() -> None:
    """F41: by a speech engine that tried all that is lighter; F55: a language server gets three attempts, see above."""
    error = OutOfMemory("in no way", code="does_not_fit")
    assert isinstance(decide(error), RetryLater)
    failed = decide(error, failures=1)
    assert isinstance(failed, FailTask)
    assert failed.error.code == "does_not_fit"


def test_the_first_retry_comes_within_two_minutes_and_later_ones_later() -> None:
    delays = [after_failure(Transient(), Tries(0, 0), LIMITS, random.Random(seed)) for seed in range(100)]
    seconds = [delay.delay_seconds for delay in delays if isinstance(delay, RetryLater)]
    assert len(seconds) == 100
    assert 5 <= min(seconds) < max(seconds) <= 15


class Even(random.Random):
    """Chance without any: the middle of what was asked for."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


@pytest.mark.parametrize(
    ("error", "failures", "seconds"),
    [
        (Interrupted(), 2, 0),
        (Infrastructure(), 2, 5),
        (Crashed(), 0, 5),
        (Transient(), 0, 10),
        (Transient(), 1, 20),
    ],
)
def test_how_long_a_task_rests(error: StageError, failures: int, seconds: float) -> None:
    rests = after_failure(error, Tries(failures, 0), LIMITS, Even())
    assert isinstance(rests, RetryLater | HandBack)
    assert rests.delay_seconds == seconds


def test_a_bad_input_fails_at_once() -> None:
    failed = decide(Permanent("broken", code="unreadable"))
    assert isinstance(failed, FailTask)
    assert failed.error.code == "unreadable"


@pytest.mark.parametrize("kind", [Infrastructure, Interrupted])
def test_what_is_nobodys_fault_burns_no_attempt_however_often(kind: type[StageError]) -> None:
    assert isinstance(decide(kind(), failures=2, crashes=1), HandBack)
    assert not kind.burns_attempt


def test_a_task_that_kills_its_worker_twice_is_poison() -> None:
    assert isinstance(decide(Crashed()), RetryLater)
    second = decide(Crashed("killed by signal 9"), crashes=1)
    assert isinstance(second, FailTask)
    assert second.error.code == "poison"
    assert str(second.error) == "its worker died 2 times: killed by signal 9"


def test_a_task_under_which_a_model_hangs_twice_says_so() -> None:
    hung = Crashed("no progress", code="hung")
    assert isinstance(decide(hung), RetryLater)
    second = decide(hung, crashes=1)
    assert isinstance(second, FailTask)
    assert second.error.code == "hung"
