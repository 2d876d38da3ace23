"""Places where a test, a rehearsal or `make chaos` may let a process die, freeze, fail or wait.

`INTROEVAL_FAILPOINTS="finish.moved=kill@3; claim=sleep:0.2"` kills the process when it passes `finish.moved` for the
third time and lets each claim wait. In a lab the variable is empty and a failpoint costs a lookup in an empty
dictionary; `manage.py check` refuses it outside of DEBUG and rehearsals.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from queueing.exceptions import Infrastructure

VARIABLE = "INTROEVAL_FAILPOINTS"

NAMES = (
    "claim",  # before the claim's transaction
    "claim.locked",  # rows are locked
    "claim.written",  # before its commit
    "claim.committed",  # the task is ours, nothing runs yet
    "run.prepared",  # what the stage needs is read
    "run.computed",  # on the job's thread: the result is there, not yet recorded
    "finish",  # before the transaction that records an outcome
    "finish.moved",  # the task has moved, its result is not saved yet
    "finish.saved",  # before its commit
    "finish.committed",  # recorded, the signals not sent
    "rescue.read",  # expired tasks were read, none is rescued yet
    "switch.draining",  # a hand-over: each before the step that its name says is done
    "switch.unloading",
    "switch.unloaded",
    "switch.verifying",
    "switch.stuck",
    "switch.verified",
    "switch.loading",
    "switch.admitted",
    "switch.misplaced",
    "switch.loaded",
    "switch.settled",
    "switch.blocked",
)

Action = Callable[[], None]
_actions: dict[str, Action] = {}


def failpoint(name: str) -> None:
    """Do what was planned for this place; usually nothing."""
    if _actions and (action := _actions.get(name)):
        action()


def plan(name: str, action: Action | None) -> None:
    """From now on `action` happens at `name`; None: nothing does.

    Raises:
        KeyError: there is no such place.
    """
    if name not in NAMES:
        raise KeyError(name)
    _actions.pop(name, None)
    if action is not None:
        _actions[name] = action


def plan_from(text: str) -> None:
    """Plan what the variable's text describes, in place of all that was planned.

    Raises:
        ValueError: it can't be read.
    """
    _actions.clear()
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, _, what = part.partition("=")
        if name not in NAMES:
            raise ValueError(f"{VARIABLE}: there is no failpoint {name!r}; there are {', '.join(NAMES)}")
        what, _, turn = what.partition("@")
        _actions[name] = _at(int(turn or 0), _action(what))


def _action(what: str) -> Action:
    kind, _, argument = what.partition(":")
    match kind:
        case "kill":
            return lambda: os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            return lambda: os.kill(os.getpid(), signal.SIGSTOP)
        case "sleep":
            return lambda: time.sleep(float(argument))
        case "infrastructure":
            return _fail
    raise ValueError(f"{VARIABLE}: {what!r} is none of kill, stop, sleep:SECONDS, infrastructure")


def _fail() -> None:
    raise Infrastructure("a planned failure")


def _at(turn: int, action: Action) -> Action:
    """`action` at the `turn`-th passing only; 0: at each."""
    passed = 0

    def counted() -> None:
        nonlocal passed
        passed += 1
        if turn in (0, passed):
            action()

    return counted


plan_from(os.environ.get(VARIABLE, ""))
