"""The state machine of a task, on one page.

A task is driven by its *state* and explained by its *status*: states are few and decide what may happen next; status
words are many and are what people, the admin, the commands and the API see. Those that all pipelines share are here,
those of a stage come with its registration (pipelines.py).
"""

from __future__ import annotations

from typing import Final

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class State(TextChoices):
    QUEUED = "queued", "waiting"
    """Waits for a worker, not before `not_before`."""
    RUNNING = "running", "running"
    """Belongs to one worker until `lease_until`; every write names its epoch."""
    DONE = "done", "done"
    """The last stage succeeded."""
    FAILED = "failed", "failed"
    """A stage failed and is not retried; `error_code` says why. A person may retry it."""
    CANCELLED = "cancelled", "cancelled"
    """A person stopped it. A person may retry it."""


LIVE: Final = (State.QUEUED, State.RUNNING)
ENDED: Final = (State.DONE, State.FAILED, State.CANCELLED)

TRANSITIONS: Final[dict[str, tuple[tuple[State, ...], State]]] = {
    # verb: (from, to)
    "join": ((State.QUEUED,), State.QUEUED),  # it got a place in a batch
    "claim": ((State.QUEUED,), State.RUNNING),
    "advance": ((State.RUNNING,), State.QUEUED),  # this stage is done, the next one waits
    "finish": ((State.RUNNING,), State.DONE),
    "retry_later": ((State.RUNNING,), State.QUEUED),  # a failure with attempts left
    "hand_back": ((State.RUNNING,), State.QUEUED),  # interrupted, or nobody's fault: burns no attempt
    "rescue": ((State.RUNNING,), State.QUEUED),  # its worker died
    "fail": ((State.RUNNING,), State.FAILED),
    "cancel": ((State.QUEUED, State.RUNNING), State.CANCELLED),
    "requeue": ((State.QUEUED, State.RUNNING), State.QUEUED),  # a person took it from its worker, or from its pause
    "put_first": ((State.QUEUED,), State.QUEUED),  # a person lets it pass the others of its line, with a reason
    "put_last": ((State.QUEUED,), State.QUEUED),  # a person lets the others of its line pass it, with a reason
    "retry": ((State.FAILED, State.CANCELLED), State.QUEUED),  # a person asked; resumes at the stage that failed
}

IN_PLACE: Final = ("join", "put_first", "put_last")
"""Verbs that only change where a waiting task stands in its line."""


class PhaseName(TextChoices):
    """What the GPU of a node is for."""

    STT = "stt", "speech to text"
    EVAL = "eval", "evaluation"


class PhaseStep(TextChoices):
    """Where a node is in handing its GPU from one phase to the other."""

    IDLE = "idle", "idle"
    """Nothing is loaded."""
    LOADING = "loading", "loading the model"
    ACTIVE = "active", "working"
    DRAINING = "draining", "finishing running work"
    UNLOADING = "unloading", "unloading the model"
    VERIFYING = "verifying", "checking that memory came back"
    BLOCKED = "blocked", "blocked"
    """The last step failed; `reason` says why. Tried again with a growing pause."""


class Status(TextChoices):
    """The statuses that every pipeline has, in the reader's language; a stage's own are in its `StageSpec`."""

    WAITING = "waiting", _("waiting")
    RUNNING = "running", _("running")
    COMPLETED = "completed", _("done")
    FAILED = "failed", _("failed")
    RETRY_QUEUED = "retry_queued", _("retrying")
    CANCELLED = "cancelled", _("cancelled")


ENDED_STATUS: Final = {State.DONE: Status.COMPLETED, State.FAILED: Status.FAILED, State.CANCELLED: Status.CANCELLED}


def diagram() -> str:
    """The machine as a Mermaid state diagram; docs/architecture.md holds a copy that a test compares."""
    lines = ["stateDiagram-v2", "    [*] --> queued: submit"]
    for verb, (sources, target) in TRANSITIONS.items():
        lines += [f"    {source.value} --> {target.value}: {verb}" for source in sources]
    return "\n".join([*lines, "    done --> [*]"])
