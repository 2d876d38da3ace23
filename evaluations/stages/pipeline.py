"""The pipelines as they are registered with the queue: transcribe, extract a form, rate; and the last two again."""

from __future__ import annotations

from evaluations.models import EVALUATION, REEXTRACTION, RERATING
from evaluations.stages.again import ExtractAgain, RateAgain
from evaluations.stages.extract import Extract
from evaluations.stages.names import Stage, StageAgain, StageStatus
from evaluations.stages.rate import Rate
from evaluations.stages.transcribe import Transcribe
from queueing.engines.base import SPEECH
from queueing.pipelines import Pipeline, SlotShare, StageSpec
from queueing.states import PhaseName

PIPELINE = Pipeline(
    EVALUATION,
    (
        StageSpec(
            Stage.TRANSCRIBE.value,
            PhaseName.STT,
            SPEECH,
            Transcribe(),
            label=Stage.TRANSCRIBE.label,
            waiting=StageStatus.UPLOADED,
            ready=StageStatus.STT_PENDING,
            running=StageStatus.STT_PROCESSING,
            batched=True,
        ),
        StageSpec(
            Stage.EXTRACT.value,
            PhaseName.EVAL,
            "extract",
            Extract(),
            label=Stage.EXTRACT.label,
            waiting=StageStatus.STT_COMPLETE,
            ready=StageStatus.EVAL_PENDING,
            running=StageStatus.EVAL_PROCESSING,
        ),
        StageSpec(
            Stage.RATE.value,
            PhaseName.EVAL,
            "rate",
            Rate(),
            label=Stage.RATE.label,
            waiting=StageStatus.MISTRAL_COMPLETE,
            running=StageStatus.LLAMA_PROCESSING,
        ),
    ),
)

# After everything that a student waits for; see `queueing.policy.lanes` on how it still comes to its turn.
LOW_PRIORITY = -1

RERATING_PIPELINE = Pipeline(
    RERATING,
    (
        StageSpec(
            StageAgain.RATE_AGAIN.value,
            PhaseName.EVAL,
            "rate",
            RateAgain(),
            label=StageAgain.RATE_AGAIN.label,
            waiting=StageStatus.EVAL_PENDING,
            running=StageStatus.LLAMA_PROCESSING,
            priority=LOW_PRIORITY,
            share=SlotShare(),
        ),
    ),
)

REEXTRACTION_PIPELINE = Pipeline(
    REEXTRACTION,
    (
        StageSpec(
            StageAgain.EXTRACT_AGAIN.value,
            PhaseName.EVAL,
            "extract",
            ExtractAgain(),
            label=StageAgain.EXTRACT_AGAIN.label,
            waiting=StageStatus.EVAL_PENDING,
            running=StageStatus.EVAL_PROCESSING,
            priority=LOW_PRIORITY,
            share=SlotShare(),
        ),
    ),
)

PIPELINES = (PIPELINE, REEXTRACTION_PIPELINE, RERATING_PIPELINE)
