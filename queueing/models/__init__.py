"""The queue's tables, and the verbs that are the only way to change them; one file per noun."""

from queueing.models.alert import Alert
from queueing.models.batch import Batch
from queueing.models.breaker import Breaker
from queueing.models.clock import in_seconds
from queueing.models.forecast import Forecast
from queueing.models.history import Attempt, Event, LabSample, LessonRecord, Overflow
from queueing.models.phase import Pause, Phase
from queueing.models.task import Claim, Task
from queueing.models.worker import Worker

__all__ = [
    "Alert",
    "Attempt",
    "Batch",
    "Breaker",
    "Claim",
    "Event",
    "Forecast",
    "LabSample",
    "LessonRecord",
    "Overflow",
    "Pause",
    "Phase",
    "Task",
    "Worker",
    "in_seconds",
]
