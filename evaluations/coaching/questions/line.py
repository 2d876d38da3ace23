"""A question's place in the line, and how long it will still wait."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final

from django.conf import settings
from django.db.models import Avg, F
from django.utils.translation import gettext as _

from evaluations.models import COACH, CoachQuestion
from queueing.forecast.published import Estimate
from queueing.models import Forecast, Task
from queueing.report import estimates

ENDED: Final = -1
UNKNOWN: Final = -2
RECENT: Final = 30  # answers from which their length is learnt
SUPPOSED_SECONDS: Final = 20.0  # an answer takes, as long as there was none


@dataclass(frozen=True, slots=True)
class CoachLine:
    """As it is right now, from one reading."""

    places: Mapping[int, int]  # task → 0: being answered, n: the n-th in line; of those that have not ended
    forecast: Forecast
    answer_seconds: float

    def place(self, task: int) -> int:
        """As `places`; ENDED for any other one."""
        return self.places.get(task, ENDED)

    def waiting(self) -> int:
        return sum(place > 0 for place in self.places.values())

    def wait(self, task: int) -> Estimate:
        """How long until its answer is there: what the workers forecast, else by the answers before it."""
        return self.forecast.of(task) or self._reckoned(self.place(task))

    def wait_of_next(self) -> Estimate:
        """… of whoever would be the next one to ask."""
        found = [one for task in self.places if (one := self.forecast.of(task))]
        reckoned = self._reckoned(self.waiting() + 1)
        return max([reckoned, *found], key=lambda one: one.high_seconds)

    def _reckoned(self, place: int) -> Estimate:
        high = (ceil(max(place, 0) / settings.COACH_CONCURRENT) + 1) * self.answer_seconds
        return Estimate(min(self.answer_seconds, high), high)


def read() -> CoachLine:
    newest = CoachQuestion.objects.filter(end__gt="", begun_at__isnull=False, model__gt="").order_by("-asked_at")
    took = newest.annotate(took=F("task__finished_at") - F("begun_at")).values("took")[:RECENT]
    mean = took.aggregate(mean=Avg("took"))["mean"]
    return CoachLine(
        Task.objects.filter(pipeline=COACH).positions(),
        Forecast.objects.current(),
        mean.total_seconds() if mean else SUPPOSED_SECONDS,
    )


def position(question_id: uuid.UUID, student_id: int) -> int:
    """0: being answered, n: the n-th in line, -1: it has ended, -2: there is none with this id, or not of this student.

    All places come from one statement; whose question it is never changes.
    """
    task = CoachQuestion.objects.filter(pk=question_id, student=student_id).values_list("task", flat=True).first()
    return UNKNOWN if task is None else Task.objects.filter(pipeline=COACH).positions().get(task, ENDED)


def in_words(place: int, wait: Estimate) -> str:
    """For people: where it is in the line."""
    if place > 0:
        words = {"place": place, "wait": estimates.spoken(wait)}
        return _("Number %(place)s in line, %(wait)s.") % words
    return _("Being answered.") if place == 0 else ""
