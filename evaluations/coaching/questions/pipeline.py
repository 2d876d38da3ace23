"""The coach as it is registered with the queue."""

from __future__ import annotations

from django.conf import settings
from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from evaluations.coaching.questions.answering import Answering
from evaluations.models import COACH
from queueing.pipelines import Pipeline, SlotShare, StageSpec
from queueing.states import PhaseName


class CoachStatus(TextChoices):
    """The statuses of a question that has not ended."""

    ASKED = "asked", _("waiting for an answer")
    ANSWERING = "answering", _("being answered")


ANSWER = "answer"


def pipeline() -> Pipeline:
    """One question after the other, at the settings' pace."""
    stage = StageSpec(
        ANSWER,
        PhaseName.EVAL,
        "rate",
        Answering(),
        label=_("answer"),
        waiting=CoachStatus.ASKED,
        running=CoachStatus.ANSWERING,
        max_slots=settings.COACH_CONCURRENT,
        share=SlotShare(settings.COACH_SLOTS_BESIDE_CLASS, settings.COACH_CLASS_TASKS_PER_ANSWER),
    )
    return Pipeline(
        COACH,
        (stage,),
        in_order=True,
        one_per_owner=True,
        max_waiting=settings.COACH_QUEUE,
        max_waiting_per_owner=settings.COACH_WAITING_PER_STUDENT,
    )
