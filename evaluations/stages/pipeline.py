"""The pipeline `evaluation`, as it is registered with the queue: transcribe, extract a form, rate."""

from __future__ import annotations

from evaluations.models import EVALUATION
from evaluations.stages.extract import Extract
from evaluations.stages.names import Stage, StageStatus
from evaluations.stages.rate import Rate
from evaluations.stages.transcribe import Transcribe
from queueing.engines.base import SPEECH
from queueing.pipelines import Pipeline, StageSpec
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
