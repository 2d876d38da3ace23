"""What each stage of the pipeline `evaluation` does to a submission."""

from evaluations.actions import EVALUATION as NAME
from evaluations.stages.extract import Extract
from evaluations.stages.rate import Rate
from evaluations.stages.transcribe import Transcribe
from queueing.pipelines import Pipeline, StageSpec
from queueing.states import PhaseName, Stage

EVALUATION = Pipeline(
    NAME,
    (
        StageSpec(Stage.TRANSCRIBE, PhaseName.STT, "speech", Transcribe()),
        StageSpec(Stage.EXTRACT, PhaseName.EVAL, "extract", Extract()),
        StageSpec(Stage.RATE, PhaseName.EVAL, "rate", Rate()),
    ),
)
