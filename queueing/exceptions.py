"""Everything that can go wrong in the queue, in one tree.

    QueueError
    ├── ClaimLost               someone else owns the task now
    ├── LineFullError           as many tasks wait as may
    ├── OwnerLimitError         … of this owner
    ├── Outgrown                a worker has stopped to be started again
    └── StageError              how an attempt ended, when it did not end well
        ├── Permanent           no retry can help: the input is at fault
        ├── Transient           a real failure that another try may not repeat
        ├── Unexpected          a fault of the program itself; tried once more, for it may be one of chance
        ├── OutOfMemory         the model did not fit
        ├── Infrastructure      a server, a disk or a device is unavailable; burns no attempt
        ├── Interrupted         asked to stop; burns no attempt
        └── Crashed             the process that did the work died

A StageError carries a `code`, the key under which `evaluations.errors` keeps the texts for people; its message is for
staff.
"""

from __future__ import annotations

from typing import ClassVar


class QueueError(Exception):
    """The base of all of the queue's errors."""


class ClaimLost(QueueError):
    """The task was claimed again, cancelled or rescued meanwhile; its result was dropped."""


class LineFullError(QueueError):
    """As many tasks of this pipeline wait as may wait."""


class OwnerLimitError(QueueError):
    """As many tasks of this owner wait in this pipeline as may wait."""


class Outgrown(QueueError):
    """The worker's memory had grown too large; it holds nothing, and has stopped to be started again."""


class StageError(QueueError):
    """An attempt at a stage failed."""

    burns_attempt: ClassVar[bool] = True
    default_code: ClassVar[str] = "unexpected"
    findings: object = None  # what was found out before; the handler stores it (`pipelines.FindingHandler`)

    def __init__(self, message: str = "", *, code: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.code = code or self.default_code

    @property
    def outcome(self) -> str:
        """The attempt's outcome class: `permanent`, `transient`, `out_of_memory`, …"""
        name = type(self).__name__
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")

    def __reduce__(self) -> tuple[object, ...]:
        # It crosses process borders by pickle; keyword-only arguments don't survive the default.
        return _rebuild, (type(self), str(self), self.code)


def _rebuild(kind: type[StageError], message: str, code: str) -> StageError:
    return kind(message, code=code)


class Permanent(StageError):
    """The input can't be processed, now or later."""


class Transient(StageError):
    """It failed this time."""


class Unexpected(StageError):
    """The program did what it should not."""


class OutOfMemory(StageError):
    """The model ran out of memory."""

    default_code = "out_of_memory"


class Infrastructure(StageError):
    """Something this stage needs is not there at the moment."""

    burns_attempt = False
    default_code = "infrastructure"


class Interrupted(StageError):
    """The work was interrupted and goes on later."""

    burns_attempt = False
    default_code = "interrupted"


class Crashed(StageError):
    """The process that did the work died."""

    default_code = "crashed"
