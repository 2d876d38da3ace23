"""How long everybody in line still has to wait, as it was last estimated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Final

from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now

from queueing.forecast.published import Estimate, PlaceInLine, Published
from queueing.models.clock import in_seconds, is_ahead

ONLY: Final = 1  # the row's key
STALE_SECONDS: Final = 30.0  # an older forecast is not shown


class ForecastManager(models.Manager["Forecast"]):
    def current(self) -> Forecast:
        """The current one; without estimates if it is stale, and an empty one if there is none."""
        fresh = Q(made_at__gte=in_seconds(-STALE_SECONDS))
        found = self.annotate(is_fresh=models.ExpressionWrapper(fresh, models.BooleanField())).first() or Forecast()
        if not getattr(found, "is_fresh", True):
            found.ranges = {pk: [None, None, *rest] for pk, (_low, _high, *rest) in found.ranges.items()}
        return found

    def mend_times(self) -> int:
        """After a step of the clock back: it is stale, and is made anew. Returns how many were mended."""
        return self.filter(is_ahead("made_at")).update(made_at=in_seconds(-STALE_SECONDS))

    @contextmanager
    def renew(self, seconds: float) -> Iterator[Forecast | None]:
        """The row, locked, to be published anew; None when it is younger than `seconds` or another worker renews it."""
        with transaction.atomic():
            self.bulk_create([Forecast(made_at=in_seconds(-STALE_SECONDS))], ignore_conflicts=True)
            due = self.filter(pk=ONLY, made_at__lte=in_seconds(-seconds / 2))
            row = due.annotate(now=Now()).select_for_update(skip_locked=True).first()
            if row:
                row.made_at = row.now  # what is read from here on is not older
            yield row


class Forecast(models.Model):
    """Of all tasks in one row, which is read and replaced as a whole: a page reads all that it shows in one query.

    The seconds are those of `made_at`. They are not counted down in between: the next forecast does that, in which they
    never grow without a reason (queueing/forecast/published.py).
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    made_at = models.DateTimeField(db_default=Now())
    # Task → low and high in seconds (null: work stands still), group, setbacks, whole way in seconds, share of it done.
    ranges = models.JSONField(default=dict, help_text="Task → low and high in seconds, group, setbacks.")
    which_lab = models.TextField(blank=True, help_text="The nodes and slots for which it was made.")

    objects = ForecastManager()

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(id=ONLY), name="one_forecast"),)

    def __str__(self) -> str:
        return f"forecast for {len(self.ranges)} tasks"

    def of(self, task_id: int) -> Estimate | None:
        """None: not known."""
        found = self.ranges.get(str(task_id))
        return Estimate(*found[:2]) if found and found[0] is not None else None

    def share_of(self, task_id: int) -> float:
        """How much of its way a task has behind it, 0 to below 1; it never shrinks while the task is in line."""
        found = self.ranges.get(str(task_id))
        return min(float(found[5]), 0.99) if found and len(found) > 5 else 0.0

    @cached_property
    def published(self) -> dict[int, Published]:
        return {int(pk): _published(int(pk), *found) for pk, found in self.ranges.items()}

    def publish(self, published: Mapping[int, Published], *, which_lab: str) -> None:
        """Replace it. Only on the row of `renew`, which is locked."""
        ranges: dict[str, Any] = {str(pk): _packed(each) for pk, each in published.items()}
        Forecast.objects.filter(pk=ONLY).update(ranges=ranges, which_lab=which_lab, made_at=self.made_at)


def _published(
    task: int, low: float | None, high: float | None, group: int, setbacks: int, whole: float = 0.0, share: float = 0.0
) -> Published:
    found = None if low is None or high is None else Estimate(low, high)
    return Published(PlaceInLine(task, group, setbacks), found, whole, share)


def _packed(published: Published) -> list[float | None]:
    found, place = published.estimate, published.place
    range_ = [round(found.low_seconds, 2), round(found.high_seconds, 2)] if found else [None, None]
    return [*range_, place.group, place.setbacks, round(published.whole_seconds, 2), round(published.share, 4)]
