"""The state machine of a task, on one page.

A task is driven by its *state* and explained by its *status*: states are few and decide what may happen next; status
words are many and are what people, the admin, the commands and the API see. Both are defined here and nowhere else.
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
    """A stage failed for good; `error_code` says why. A person may retry it."""
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
    "retry": ((State.FAILED, State.CANCELLED), State.QUEUED),  # a person asked; resumes at the stage that failed
}


class Stage(TextChoices):
    TRANSCRIBE = "transcribe", _("transcription")
    EXTRACT = "extract", _("form")
    RATE = "rate", _("rating")


class PhaseName(TextChoices):
    """What the GPU of a node is for."""

    STT = "stt", "speech to text"
    EVAL = "eval", "evaluation"


class Step(TextChoices):
    """Where a node is in handing its GPU from one phase to the other."""

    IDLE = "idle", "idle"
    """Nothing is loaded; `kind` is what was loaded last, if anything."""
    LOADING = "loading", "loading the model"
    ACTIVE = "active", "working"
    DRAINING = "draining", "finishing running work"
    UNLOADING = "unloading", "unloading the model"
    VERIFYING = "verifying", "checking that memory came back"
    BLOCKED = "blocked", "blocked"
    """The last step failed; `reason` says why. Tried again with a growing pause."""


class Status(TextChoices):
    """The words people and the API see, in the language of whoever asks."""

    UPLOADED = "uploaded", _("uploaded")
    STT_PENDING = "stt_pending", _("waiting for transcription")
    STT_PROCESSING = "stt_processing", _("transcribing")
    STT_COMPLETE = "stt_complete", _("transcribed")
    EVAL_PENDING = "eval_pending", _("waiting for rating")
    EVAL_PROCESSING = "eval_processing", _("extracting the form")
    MISTRAL_COMPLETE = "mistral_complete", _("form extracted")
    LLAMA_PROCESSING = "llama_processing", _("rating")
    COMPLETED = "completed", _("done")
    FAILED = "failed", _("failed")
    RETRY_QUEUED = "retry_queued", _("retrying")
    CANCELLED = "cancelled", _("cancelled")


_RUNNING: Final = {
    Stage.TRANSCRIBE: Status.STT_PROCESSING,
    Stage.EXTRACT: Status.EVAL_PROCESSING,
    Stage.RATE: Status.LLAMA_PROCESSING,
}
_ENDED: Final = {State.DONE: Status.COMPLETED, State.FAILED: Status.FAILED, State.CANCELLED: Status.CANCELLED}


def status_of(stage: str, state: str, *, tried: bool, batch_phase: str | None) -> Status:
    """The word for a task: the only place where a status is made.

    Args:
        tried: this stage has been tried before, or a person asked for it again.
        batch_phase: the phase its batch is in, None while it is in no batch.
    """
    if state in _ENDED:
        return _ENDED[State(state)]
    if state == State.RUNNING:
        return _RUNNING[Stage(stage)]
    if tried:
        return Status.RETRY_QUEUED
    if stage == Stage.TRANSCRIBE:
        return Status.STT_PENDING if batch_phase else Status.UPLOADED
    if stage == Stage.RATE:
        return Status.MISTRAL_COMPLETE
    return Status.EVAL_PENDING if batch_phase == PhaseName.EVAL else Status.STT_COMPLETE


def diagram() -> str:
    """The machine as a Mermaid state diagram; docs/architecture.md holds a copy that a test compares."""
    lines = ["stateDiagram-v2", "    [*] --> queued: submit"]
    for verb, (sources, target) in TRANSITIONS.items():
        lines += [f"    {source.value} --> {target.value}: {verb}" for source in sources]
    return "\n".join([*lines, "    done --> [*]"])
