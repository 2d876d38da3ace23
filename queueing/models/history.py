"""What happened: attempts and events are written once, by the statement that changed the task, and stay.

What never became a task is only counted. How the lab was is sampled once a minute; each lesson is summed up at its end.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import connection, models, transaction
from django.db.models import Q
from django.db.models.functions import Now, TruncHour

from queueing.models.clock import in_seconds

HOUR_SECONDS: Final = 3600
DAY_SECONDS: Final = 24 * HOUR_SECONDS
MINUTES_DAYS: Final = 30  # that each minute is kept
HOURS_DAYS: Final = 400  # that each hour is kept
HOURS_AT_ONCE: Final = 48


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
        indexes = (
            # The history of a node's phases, however much happened to tasks meanwhile.
            models.Index(fields=("node", "-id"), condition=Q(task__isnull=True), name="events_of_nodes"),
            # How often people put somebody first.
            models.Index(fields=("at",), condition=Q(kind="put_first"), name="put_first_lately"),
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


class LabSampleManager(models.Manager["LabSample"]):
    def keep(self, node: str, seen: Mapping[str, Any], read: Callable[[datetime], LabSample]) -> bool:
        """Of this minute: what a node sees of itself; and of the lab, if nobody has read that yet.

        Args:
            read: the lab's figures at a moment, unsaved.

        Returns whether this was the first of the minute.
        """
        with connection.cursor() as cursor:
            cursor.execute("SELECT date_trunc('minute', statement_timestamp(), 'UTC')")
            (minute,) = cursor.fetchone()
            first = not self.filter(at=minute).exists()
            if first:
                # Two may have read it at once: one of the rows stays, as good as the other.
                self.bulk_create([read(minute)], ignore_conflicts=True)
            cursor.execute(
                "UPDATE queueing_labsample SET nodes = nodes || jsonb_build_object(%s::text, %s::jsonb) WHERE at = %s",
                [node, json.dumps(seen), minute],
            )
        return first

    def prune(self) -> int:
        """After MINUTES_DAYS one row stays of each hour, after HOURS_DAYS none. Returns how many rows went."""
        gone, _ = self.filter(at__lt=in_seconds(-HOURS_DAYS * DAY_SECONDS)).delete()
        old = self.filter(at__lt=in_seconds(-MINUTES_DAYS * DAY_SECONDS - HOUR_SECONDS))
        hours = old.values(hour=TruncHour("at", tzinfo=UTC)).annotate(rows=models.Count("pk")).filter(rows__gt=1)
        for each in list(hours.order_by("hour")[:HOURS_AT_ONCE]):
            gone += self._merge(each["hour"])
        return gone

    def _merge(self, hour: datetime) -> int:
        """The minutes of an hour into its busiest one, with the sums of what ended. Returns how many rows went."""
        with transaction.atomic():
            rows = list(self.filter(at__gte=hour, at__lt=hour + timedelta(hours=1)).select_for_update())
            if len(rows) < 2:  # another worker was first
                return 0
            kept = max(rows, key=lambda row: (row.waiting_in_all, row.at))
            kept.done, kept.failed = (_sum(getattr(row, name) for row in rows) for name in ("done", "failed"))
            kept.minutes, kept.estimates = sum(row.minutes for row in rows), {}
            self.filter(pk__in=[row.pk for row in rows if row is not kept]).delete()
            kept.at = hour
            kept.save()
        return len(rows) - 1


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)


class LabSample(models.Model):
    """The lab at one minute, for graphs: one row whoever takes it, and in it what each node saw of itself."""

    at = models.DateTimeField(unique=True, help_text="The minute's beginning, or the hour's.")
    minutes = models.PositiveSmallIntegerField(default=1, help_text="That it stands for.")
    waiting = models.JSONField(default=dict, help_text="Stage → tasks.")
    running = models.JSONField(default=dict, help_text="Stage → tasks.")
    done = models.JSONField(default=dict, help_text="Pipeline → tasks that ended well in the minutes before.")
    failed = models.JSONField(default=dict, help_text="Pipeline → tasks that failed in the minutes before.")
    waits = models.JSONField(default=dict, help_text="Pipeline → p50 and p90 of the last hour's waits, in seconds.")
    workers = models.PositiveSmallIntegerField(default=0, help_text="Alive.")
    nodes = models.JSONField(default=dict, help_text="Node → what it saw of itself.")
    estimates = models.JSONField(default=dict, help_text="Task → seconds after it at which its end was expected.")

    objects = LabSampleManager()

    class Meta:
        ordering = ("at",)

    def __str__(self) -> str:
        return f"the lab at {self.at}"

    @property
    def waiting_in_all(self) -> int:
        return sum(self.waiting.values())


class LessonRecord(models.Model):
    """A lesson's report (`report.lesson`), made when its line ran empty; made again if it went on."""

    pipeline = models.CharField(max_length=30)
    since = models.DateTimeField()
    until = models.DateTimeField()
    figures = models.JSONField(default=dict, help_text="`Lesson.as_dict`.")
    made_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("-since",)
        constraints = (models.UniqueConstraint(fields=("pipeline", "since"), name="one_report_of_a_lesson"),)

    def __str__(self) -> str:
        return f"{self.pipeline} from {self.since} to {self.until}"
