"""The queue in the admin: read-only, but for actions through the models' verbs. States are never edited by hand."""

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
