"""The queue in the admin: to be read, and acted on through the verbs only. States are never edited by hand."""

from queueing.admin.nodes import BatchAdmin, BreakerAdmin, PauseAdmin, PhaseAdmin, WorkerAdmin
from queueing.admin.tasks import AttemptAdmin, EventAdmin, TaskAdmin

__all__ = [
    "AttemptAdmin",
    "BatchAdmin",
    "BreakerAdmin",
    "EventAdmin",
    "PauseAdmin",
    "PhaseAdmin",
    "TaskAdmin",
    "WorkerAdmin",
]
