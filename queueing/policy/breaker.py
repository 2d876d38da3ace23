"""When a model server is left alone, probed, or restarted: its state in, a move out.

A breaker is *closed* while tasks may call the server. It *opens* after failures in a row: no task is put at risk. When
its pause is over, one worker sends a probe, a call that belongs to no task; an answer closes it, a failure opens it
again for longer. A server that stays silent is restarted, where a node knows how.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from queueing.exceptions import Crashed, Infrastructure, StageError


@dataclass(frozen=True, slots=True)
class BreakerConfig:
    """When a breaker opens, and for how long; times in seconds."""

    opens_after: int = 3  # failures in a row
    first_pause: float = 2.0
    max_pause: float = 8.0  # so that with the probe itself work resumes within 10 s of the server's return
    restart_after: int = 2  # openings without an answer: a blip restarts nothing
    max_restarts: int = 3  # without an answer, and also within `restart_window`
    restart_window: float = 600.0
    restart_grace: float = 60.0  # a server that was restarted gets as long to come up
    given_up_pause: float = 60.0  # between two probes, once all restarts have failed


class Sign(Enum):
    """What the end of a call shows about its server."""

    ANSWER = auto()  # a model answered, well or badly
    FAILURE = auto()
    PROOF = auto()  # it hung for a whole deadline, or says that it can't serve: as good as several failures
    NOTHING = auto()


class Move(Enum):
    WORK = auto()  # closed: tasks may call it
    WAIT = auto()
    PROBE = auto()
    RESTART = auto()


# The model answered, only badly: nothing is wrong with its server.
ANSWERED: Final = ("invalid_answer", "answer_cut", "prompt_cut")
# A restart fixes none of these: it is busy or loading, wants another key, is not what we need, lacks a file.
ALIVE: Final = ("engine_busy", "engine_refuses", "engine_unfit", "model_missing")
PROOFS: Final = ("too_slow", "engine_unfit")
GONE: Final = ("engine_unavailable", "cpu_fallback", *ALIVE)


def sign_of(error: StageError | None) -> Sign:
    """What a task's call shows about the server. Full disks, database outages and bad input show nothing.

    A server that can't serve this model says it to every task. An answer that does not end within its deadline may be
    the task's own fault, so it burns an attempt; one that does not begin is not, and burns none. Either is `too_slow`:
    several such tasks, or all of a class, must not be spent on a server that hangs. The probe that follows
    distinguishes the two in seconds.
    """
    if error is None or error.code in ANSWERED:
        return Sign.ANSWER
    if error.code in PROOFS:
        return Sign.PROOF
    if isinstance(error, Crashed) or (isinstance(error, Infrastructure) and error.code in GONE):
        return Sign.FAILURE
    return Sign.NOTHING


@dataclass(frozen=True, slots=True)
class BreakerState:
    """A server's state at one moment of the database's clock."""

    openings: int = 0  # since it last answered; 0: closed
    pausing: bool = False  # its pause, or the probe or restart under way, is not over
    asked: bool = False  # probed or restarted by a worker, which may have died since
    error_code: str = ""
    restarts: int = 0  # since it last answered
    restart_ages: tuple[float, ...] = ()  # seconds since each of the last ones


def next_move(state: BreakerState, config: BreakerConfig, *, can_restart: bool) -> Move:
    if not state.openings:
        return Move.WORK
    if state.pausing and state.asked:
        return Move.WAIT
    needed = state.openings >= config.restart_after and state.error_code not in ALIVE
    if can_restart and needed and may_restart(state, config):
        return Move.RESTART
    return Move.WAIT if state.pausing else Move.PROBE


def may_restart(state: BreakerState, config: BreakerConfig) -> bool:
    """Whether the budget allows it, and the last restart has had its time to work."""
    recent = [age for age in state.restart_ages if age < config.restart_window]
    left = config.max_restarts - max(state.restarts, len(recent))
    return left > 0 and all(age >= config.restart_grace for age in recent)


def given_up(restarts: int, config: BreakerConfig) -> bool:
    """All restarts have failed: it needs a person."""
    return restarts >= config.max_restarts


def longest_pause_seconds(config: BreakerConfig) -> float:
    return max(config.max_pause, config.given_up_pause)


def pause_seconds(openings: int, restarts: int, config: BreakerConfig) -> float:
    """How long it stays open the `openings`-th time."""
    if given_up(restarts, config):
        return config.given_up_pause
    # The exponent is bounded: an outage may last for a holiday.
    return min(config.first_pause * 2.0 ** min(openings - 1, 10), config.max_pause)
