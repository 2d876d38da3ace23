"""The queue's signals, sent after commit. A receiver reads the database; the signal carries identities only."""

from django.dispatch import Signal

task_changed = Signal()  # task_id: int
phase_changed = Signal()  # node: str
upkeep_due = Signal()  # a worker does its upkeep; other apps do theirs
