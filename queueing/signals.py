"""News of the queue, sent after commit. A receiver looks at the database; the signal carries identities only."""

from django.dispatch import Signal

task_changed = Signal()  # task_id: int
phase_changed = Signal()  # node: str
upkeep_due = Signal()  # a worker tidies up; whoever keeps something of their own does the same
