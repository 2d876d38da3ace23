from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now

from queueing.states import LIVE, PhaseName, Stage, State

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

    def is_spent(self, size: int) -> bool:
        """Full, with nobody left to transcribe: what failed keeps its place, and must not block those after it."""
        live = self.tasks.filter(stage=Stage.TRANSCRIBE, state__in=LIVE)
        return self.tasks.count() >= size and not live.exists()

    def close_transcription(self) -> None:
        """From here on the batch is evaluated; nobody joins it any more; who was left waiting is free for the next."""
        with transaction.atomic():
            Batch.objects.filter(pk=self.pk).update(phase=PhaseName.EVAL)
            self.tasks.filter(stage=Stage.TRANSCRIBE, state=State.QUEUED).update(batch=None)
