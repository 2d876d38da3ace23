from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import pytest
from pytest_django import Settings

from evaluations import demo
from evaluations.stages.transcribe import Transcribe, names_for
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


def test_the_model_is_told_the_students_own_name_and_then_the_classmates() -> None:
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
    assert engine.hints[:3] == ("Henry Jackson", "Anna Miller", "Ben Carter")
    assert "Tess Teacher" not in engine.hints
    stage.save(task, result)
    task.refresh_from_db()
    assert task.audio_seconds == result.facts.duration > 10  # by which the next stages' time is reckoned


def test_names_are_sorted_whole_and_nothing_else(cast: Cast) -> None:
    people = [("Zoe", "Adams"), ("Amy", "Young"), ("Amy", ""), ("", ""), ("Amy", "Young")]
    random.shuffle(people)
    for number, (first, last) in enumerate(people):
        cast.classroom.students.create(username=f"s{number}", first_name=first, last_name=last, email="x@example.com")
    cast.ada.first_name, cast.ada.last_name = "Mia", "Moon"
    cast.ada.save()
    assert names_for(hand_in(cast.ada, cast.classroom)) == ("Mia Moon", "Amy", "Amy Young", "Zoe Adams")


def test_students_without_names_are_no_names_to_listen_for(cast: Cast) -> None:
    assert names_for(hand_in(cast.ada, cast.classroom)) == ()
