from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models, transaction
from django.db.models import Count, Q
from django.db.models.functions import Now

from queueing import pipelines
from queueing.states import LIVE, PhaseName, State

if TYPE_CHECKING:
    from django_stubs_ext.db.models.manager import RelatedManager

    from queueing.models.task import Task


class Batch(models.Model):
    """Up to BATCH_SIZE tasks that are transcribed together, then evaluated together, by one node."""

    node = models.CharField(max_length=100)
    phase = models.CharField(max_length=10, choices=PhaseName.choices, default=PhaseName.STT)
    opened_at = models.DateTimeField(db_default=Now())

    if TYPE_CHECKING:
        tasks: RelatedManager[Task]

    class Meta:
        verbose_name_plural = "batches"
        constraints = (
            models.UniqueConstraint(fields=("node",), condition=Q(phase="stt"), name="one_open_batch_per_node"),
        )

    def __str__(self) -> str:
        return f"batch {self.pk} on {self.node}"

    def places(self) -> tuple[int, int]:
        """How many tasks it has, and how many of them are still to be transcribed."""
        live = Q(stage__in=pipelines.batched_stages(), state__in=LIVE)
        found = self.tasks.aggregate(all=Count("pk"), live=Count("pk", filter=live))
        return found["all"], found["live"]

    def close_transcription(self) -> None:
        """From here on the batch is evaluated and no task joins it; those left waiting are free for the next one."""
        with transaction.atomic():
            Batch.objects.filter(pk=self.pk).update(phase=PhaseName.EVAL)
            self.tasks.filter(stage__in=pipelines.batched_stages(), state=State.QUEUED).update(batch=None)
