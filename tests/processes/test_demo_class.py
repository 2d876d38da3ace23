"""The demo class, with the models that come as packages: what `make demo` shows must be true."""

from __future__ import annotations

import re

import jiwer
import pytest

from evaluations import demo
from evaluations.models import Evaluation, Submission
from queueing.models import Attempt, Phase, Task
from queueing.states import PhaseStep, State
from tests.processes.conftest import Spawn

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

WORDS_WRONG_AT_MOST = 0.10


def plain(text: str) -> str:
    """The words alone, as a listener counts them."""
    return " ".join(re.findall(r"[\w']+", text.lower()))


def test_every_good_sample_is_completed_and_the_bad_ones_fail_with_their_reasons(
    transactional_db: None, manage: Spawn
) -> None:
    classroom, new = demo.load()
    assert new == len(demo.clips())
    assert manage("run_phase_worker", "--until-idle", BATCH_MAX_WAIT_SECONDS="0.1").wait(360) == 0

    ends: dict[str, str] = {}
    for submission in Submission.objects.filter(classroom=classroom):
        task = submission.evaluation_task
        ends[submission.original_name] = "completed" if task.state == State.DONE else task.error_code
    assert ends == {clip.file: clip.expect for clip in demo.clips()}

    for clip in demo.clips():
        if clip.words is not None:
            submission = Submission.objects.get(original_name=clip.file)
            wrong = jiwer.wer(plain(clip.words), plain(submission.transcript.text))
            assert wrong <= WORDS_WRONG_AT_MOST, clip.file
            assert submission.transcript.language == "en", clip.file
            assert clip.student.split()[0] in submission.transcript.text
            assert not submission.transcript.simulated

    assert not Evaluation.objects.filter(simulated=True).exists()
    # The small model can't judge: there is what was said and measured, and no score.
    rated = list(Evaluation.objects.all())
    assert len(rated) == sum(clip.expect == "completed" for clip in demo.clips())
    assert all((row.method, row.overall, row.scores) == ("none", None, []) for row in rated)
    assert all(row.speech["words"] > 20 for row in rated)
    assert Phase.objects.get().step == PhaseStep.IDLE
    assert not Task.objects.live().exists()
    # One model per phase, loaded once each: the whole class is one batch.
    stages = list(Attempt.objects.filter(outcome="succeeded").order_by("began_at").values_list("stage", flat=True))
    assert stages.index("extract") == stages.count("transcribe")
