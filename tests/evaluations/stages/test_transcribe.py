from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Event

import pytest
from pytest_django import Settings

from evaluations import demo
from evaluations.stages.transcribe import Transcribe
from queueing.engines.base import Engines, Progress, Samples, Speech
from queueing.engines.speech.simulated import SimulatedSpeech
from tests.conftest import Cast
from tests.evaluations.material import claim, hand_in

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def disk(settings: Settings, tmp_path: Path) -> None:
    settings.UPLOADS_DIR, settings.MEDIA_ROOT = tmp_path / "uploads", tmp_path / "media"


class Listening(SimulatedSpeech):
    """Records the hints that it was given."""

    def transcribe(self, samples: Samples, *, hints: Sequence[str] = (), progress: Progress, stop: Event) -> Speech:
        self.hints = tuple(hints)
        return super().transcribe(samples, hints=hints, progress=progress, stop=stop)


def test_the_model_is_told_the_students_own_name_and_nobody_elses() -> None:
    classroom, _ = demo.load()
    task = claim(classroom.submissions.get(original_name="henry.wav"))
    engine = Listening(seconds=0.0)
    engine.load()
    try:
        stage = Transcribe()
        engines = Engines(engine, {})
        result = stage.compute(stage.prepare(task), engines, lambda done, total: None, Event())
    finally:
        engine.unload()
    assert result.speech.text
    assert engine.hints == ("Henry Jackson",)
    stage.save(task, result)
    task.refresh_from_db()
    assert task.audio_seconds == result.facts.duration > 10  # by which the next stages' time is reckoned


def test_a_student_without_a_name_is_no_name_to_listen_for(cast: Cast) -> None:
    assert Transcribe().prepare(claim(hand_in(cast.ada, cast.classroom))).student == ""
