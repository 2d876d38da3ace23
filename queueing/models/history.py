"""What happened: attempts and events are written once, by the statement that changed the task, and stay.

What never became a task is only counted.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Attempt(models.Model):
    """One try of one stage by one worker: opened by the claim, closed by whatever ended it."""

    task = models.ForeignKey("queueing.Task", on_delete=models.CASCADE, related_name="attempts")
    stage = models.CharField(max_length=30)
    epoch = models.PositiveBigIntegerField()
    worker = models.ForeignKey("queueing.Worker", null=True, on_delete=models.SET_NULL)
    began_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=20, blank=True, help_text="Empty while it runs.")
    error_code = models.CharField(max_length=40, blank=True)
    detail = models.TextField(blank=True)
    compute_seconds = models.FloatField(
        null=True, blank=True, help_text="Time in the stage's own work, without the queue."
    )

    class Meta:
        ordering = ("began_at",)
        constraints = (
            models.UniqueConstraint(fields=("task", "epoch"), name="one_attempt_per_epoch"),
            models.UniqueConstraint(fields=("task",), condition=Q(ended_at=None), name="one_open_attempt_per_task"),
            models.CheckConstraint(
                condition=Q(ended_at=None, outcome="") | (Q(ended_at__isnull=False) & ~Q(outcome="")),
                name="ended_means_outcome",
            ),
        )
        indexes = (
            # What the forecast learns from: the last ones of each stage, however many others there are.
            models.Index(fields=("stage", "-id"), condition=Q(outcome="succeeded"), name="succeeded_by_stage"),
        )

    def __str__(self) -> str:
        return f"{self.stage} #{self.epoch}: {self.outcome or 'running'}"


class Event(models.Model):
    """What changed: append-only, by trigger, and pruned by age. `sequence` orders a task's events without gaps."""

    task = models.ForeignKey("queueing.Task", null=True, on_delete=models.CASCADE, related_name="events")
    node = models.CharField(max_length=100, blank=True)
    sequence = models.PositiveBigIntegerField(default=0)
    kind = models.CharField(max_length=30)
    stage = models.CharField(max_length=30, blank=True)
    state = models.CharField(max_length=10, blank=True)
    detail = models.JSONField(default=dict)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("at", "pk")
        constraints = (
            models.UniqueConstraint(
                fields=("task", "sequence"), condition=Q(task__isnull=False), name="one_event_per_change"
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} at {self.at}"


class OverflowManager(models.Manager["Overflow"]):
    def count_one(self, pipeline: str) -> None:
        """One more; in a transaction of its own, for the one in which there was no room is rolled back."""
        self.bulk_create([Overflow(pipeline=pipeline)], ignore_conflicts=True)
        self.filter(pipeline=pipeline).update(refused=models.F("refused") + 1)


class Overflow(models.Model):
    """How many were refused because as many waited as may (`Pipeline.max_waiting`)."""

    pipeline = models.CharField(max_length=30, primary_key=True)
    refused = models.PositiveBigIntegerField(default=0)

    objects = OverflowManager()

    def __str__(self) -> str:
        return f"{self.pipeline}: {self.refused} refused"
