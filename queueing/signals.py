"""The queue's signals, sent after commit. A receiver reads the database; the signal carries identities only."""

from django.dispatch import Signal

task_changed = Signal()  # task_id: int
tasks_moved = Signal()  # a person retried, cancelled or requeued them: verb: str, tasks: of int, by: str
phase_changed = Signal()  # node: str
health_asked = Signal()  # what to alert of: receivers return FiringAlerts by kind, of the kinds that they can judge now
upkeep_due = Signal()  # a worker does its upkeep; other apps do theirs
