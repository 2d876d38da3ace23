from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from pytest_django import Settings

from evaluations import demo
from evaluations.models import Submission
from evaluations.stages.transcribe import Transcribe
from queueing.engines.base import Engines, Progress, Samples, Speech
from queueing.engines.speech.simulated import SimulatedSpeech
from queueing.exceptions import Permanent, StageError, Transient
from queueing.policy.retries import RetryLimits
from queueing.worker.jobs import Jobs
from tests.conftest import Cast
from tests.evaluations.material import claim, hand_in
from tests.evaluations.media import corpus

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


class Deaf(SimulatedSpeech):
    """Hears nobody."""

    def transcribe(self, samples: Samples, *, hints: Sequence[str] = (), progress: Progress, stop: Event) -> Speech:
        return Speech("en", 1.0, len(samples) / 16_000, 0.0, ())


def transcribed(cast: Cast, path: Path, engine: SimulatedSpeech) -> Submission:
    """The file, handed in and transcribed."""
    found = hand_in(cast.ada, cast.classroom, content=path.read_bytes())
    task, stage = claim(found), Transcribe()
    engine.load()
    try:
        stage.save(task, stage.compute(stage.prepare(task), Engines(engine, {}), lambda done, total: None, Event()))
    finally:
        engine.unload()
    found.refresh_from_db()
    return found


def tone(path: Path, *, seconds: float, scale: float = 1.0) -> Path:
    return corpus.with_tracks(path / "tone.mkv", [[corpus.tone(seconds, 16_000) * np.float32(scale)]])


def test_where_a_recording_is_damaged_or_ends_is_kept_with_it(cast: Cast, tmp_path: Path) -> None:
    whole = tone(tmp_path, seconds=4)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[:100_000])
    found = transcribed(cast, cut, SimulatedSpeech(seconds=0.0))
    assert found.ends_early
    assert found.damaged_at == pytest.approx(3.1, abs=0.2)
    assert transcribed(cast, whole, SimulatedSpeech(seconds=0.0)).damaged_at is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fault", [Permanent("the model can't", code="unreadable"), Transient("not this time")])
def test_where_it_is_damaged_is_kept_also_when_it_is_not_transcribed(
    fault: StageError, cast: Cast, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(tone(tmp_path, seconds=4).read_bytes()[:100_000])
    found = hand_in(cast.ada, cast.classroom, content=cut.read_bytes())
    engine = SimulatedSpeech(seconds=0.0, faults=[fault])
    jobs = Jobs(Engines(engine, {}), RetryLimits(3, 2, 1.0), wake=lambda: None, chance=random.Random(1))
    engine.load()
    try:
        jobs.start(claim(found))
        while not jobs.finish_ended():
            time.sleep(0.01)
    finally:
        engine.unload()
    found.refresh_from_db()
    assert found.ends_early
    assert found.damaged_at == pytest.approx(3.1, abs=0.2)
    assert found.evaluation_task.attempts.get().outcome == fault.outcome


@pytest.mark.parametrize(
    ("seconds", "scale", "code"),
    [(0.4, 1.0, "too_short"), (3, 0.003, "too_quiet"), (3, 0.0, "no_speech"), (3, 1.0, "no_speech")],
)
def test_what_nobody_can_be_heard_in_is_said_in_its_own_words(
    seconds: float, scale: float, code: str, cast: Cast, tmp_path: Path
) -> None:
    with pytest.raises(Permanent) as caught:
        transcribed(cast, tone(tmp_path, seconds=seconds, scale=scale), Deaf(seconds=0.0))
    assert caught.value.code == code
