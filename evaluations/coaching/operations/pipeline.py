"""The two pipelines as they are registered with the queue: one stage each, after everybody's rating."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_lazy as _

from evaluations.coaching.operations.handlers import DrawMap, Summarise
from evaluations.models import MIND_MAP, SUMMARY
from evaluations.stages.pipeline import LOW_PRIORITY
from queueing.pipelines import Pipeline, SlotShare, StageSpec
from queueing.states import PhaseName

PRIORITY: Final = LOW_PRIORITY - 1  # a rating that was ordered again is still somebody's rating

SUMMARY_PIPELINE = Pipeline(
    SUMMARY,
    (
        StageSpec(
            "summarise", PhaseName.EVAL, "rate", Summarise(), label=_("summary"), priority=PRIORITY, share=SlotShare()
        ),
    ),
)
MIND_MAP_PIPELINE = Pipeline(
    MIND_MAP,
    (StageSpec("map", PhaseName.EVAL, "rate", DrawMap(), label=_("mind map"), priority=PRIORITY, share=SlotShare()),),
)
PIPELINES = (SUMMARY_PIPELINE, MIND_MAP_PIPELINE)
