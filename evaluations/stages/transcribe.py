"""Video → transcript with the times of its words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import Any

from evaluations.media import store
from evaluations.media.decode import Decoded, MediaFacts, decode
from evaluations.models import Submission, Transcript
from evaluations.rating import gates
from queueing.engines.base import Engines, Progress, Segment, Speech, SpeechEngine
from queueing.exceptions import Permanent, StageError
from queueing.models import Task

MIN_SECONDS = 1.0  # of a recording, to be listened to at all; the words of `too_short` name it


@dataclass(frozen=True, slots=True)
class TranscribeWork:
    path: str  # relative to MEDIA_ROOT
    sha256: str
    max_seconds: float
    student: str  # their name is likely to be said; empty where it is unknown


@dataclass(frozen=True, slots=True)
class TranscribeResult:
    facts: MediaFacts
    speech: Speech
    engine: str
    model: str
    simulated: bool


class Transcribe:
    def prepare(self, task: Task) -> TranscribeWork:
        submission = Submission.objects.select_related("classroom", "student").get(pk=task.submission_id)
        limit = submission.classroom.max_duration_seconds
        student = submission.student.get_full_name()
        return TranscribeWork(submission.path, submission.sha256, limit, student)

    def compute(self, work: TranscribeWork, engines: Engines, progress: Progress, stop: Event) -> TranscribeResult:
        store.verify(work.path, work.sha256)
        path: Path = store.locate(work.path)
        decoded = decode(path, max_seconds=work.max_seconds, stop=stop)
        try:
            return self._listen(work, decoded, engines.speech, progress, stop)
        except StageError as error:
            error.findings = decoded.facts
            raise

    def _listen(
        self, work: TranscribeWork, decoded: Decoded, engine: SpeechEngine, progress: Progress, stop: Event
    ) -> TranscribeResult:
        if decoded.facts.duration < MIN_SECONDS:
            raise Permanent(f"{decoded.facts.duration:.2f} s of sound", code="too_short")
        progress(0.0, decoded.facts.duration)
        # Not the classmates': a hint replaces what sounds like it, a "Nora" by their "Norah", "good at" by "Ben at".
        hints = [work.student] if work.student else []
        speech = engine.transcribe(decoded.samples, hints=hints, progress=progress, stop=stop)
        unheard = gates.unheard(speech.speech_seconds)
        if unheard.code == "no_speech" and not any(segment.words for segment in speech.segments):
            # All other refusals leave a transcript to look at.
            code = "too_quiet" if decoded.is_quiet else "no_speech"
            raise Permanent(f"{unheard.reason}, {decoded.loudness:.0f} dB", code=code)
        return TranscribeResult(decoded.facts, speech, engine.name, engine.model, engine.simulated)

    def save(self, task: Task, result: TranscribeResult) -> None:
        speech = result.speech
        self.save_findings(task, result.facts)
        Transcript.objects.update_or_create(
            submission_id=task.submission_id,
            defaults={
                "text": speech.text,
                "language": speech.language,
                "language_probability": speech.language_probability,
                "duration": speech.duration,
                "speech_seconds": speech.speech_seconds,
                "segments": [_as_row(segment) for segment in speech.segments],
                "engine": result.engine,
                "model": result.model,
                "simulated": result.simulated,
            },
        )

    def save_findings(self, task: Task, facts: MediaFacts) -> None:
        Submission.objects.filter(pk=task.submission_id).update(
            container=facts.container,
            duration=facts.duration,
            has_video=facts.video_codec is not None,
            damaged_at=facts.damaged_at,
            ends_early=facts.ends_early,
        )
        Task.objects.filter(pk=task.pk).update(audio_seconds=facts.duration)


def _as_row(segment: Segment) -> dict[str, Any]:
    return {
        "start": segment.start,
        "end": segment.end,
        "text": segment.text.strip(),
        "no_speech_probability": segment.no_speech_probability,
        "words": [asdict(word) for word in segment.words],
    }
