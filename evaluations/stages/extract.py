"""Transcript → form. Answers that the transcript doesn't support are left out of the form, and kept as unsupported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from django.conf import settings

from evaluations.models import Form, Transcript, corrected
from evaluations.rating import evidence, gates, speech
from evaluations.rating.evidence import Sentence
from evaluations.stages import prompts
from evaluations.stages.parts import in_parts
from queueing.engines.base import Engines, Generation, Progress
from queueing.exceptions import Permanent
from queueing.models import Task

MAX_TOKENS = 500  # of a filled form


@dataclass(frozen=True, slots=True)
class ExtractResult:
    fields: dict[str, Any]
    engine: str
    model: str
    simulated: bool
    unsupported: list[dict[str, Any]] = field(default_factory=list)

    def columns(self) -> dict[str, Any]:
        """It as `Form` keeps it."""
        return {
            **self.fields,
            "unsupported": self.unsupported,
            "engine": self.engine,
            "model": self.model,
            "simulated": self.simulated,
        }


@dataclass(frozen=True, slots=True)
class ExtractWork:
    transcript: str
    sentences: tuple[Sentence, ...]
    language: str  # code
    tries: int  # failed ones so far


class Extract:
    def prepare(self, task: Task) -> ExtractWork:
        transcript = corrected(Transcript.objects.get(submission=task.submission_id))
        refuse_unratable(transcript)
        said = evidence.sentences(speech.words_of(transcript.segments), transcript.language)
        return ExtractWork(transcript.text, tuple(said), transcript.language, task.failures)

    def compute(self, work: ExtractWork, engines: Engines, progress: Progress, stop: Event) -> ExtractResult:
        return extract(work, engines, stop)

    def save(self, task: Task, result: ExtractResult) -> None:
        Form.objects.update_or_create(submission_id=task.submission_id, defaults=result.columns())


def extract(work: ExtractWork, engines: Engines, stop: Event) -> ExtractResult:
    """Ask the model to fill in the form, and keep of it what the transcript supports."""
    options, engine = prompts.options(MAX_TOKENS, work.tries), engines.language["extract"]

    def ask(part: Sequence[Sentence]) -> Generation:
        whole = len(part) == len(work.sentences)
        prompt = prompts.form_prompt(work.transcript if whole else " ".join(one.text for one in part))
        return engine.generate(prompt, prompts.FORM_SCHEMA, options, stop=stop)

    answers = in_parts(work.sentences, ask)
    given = {name: [value for answer in answers for value in _values(answer.value[name])] for name in answers[0].value}
    fields, unsupported = supported(given, work.sentences, work.language, trust=engine.simulated)
    return ExtractResult(fields, engine.name, answers[-1].model, engine.simulated, unsupported)


def refuse_unratable(transcript: Transcript) -> None:
    """End the task where no rating could be fair. Not before this stage: so people can read what was heard.

    A simulated transcript passes: nobody listened.

    Raises:
        Permanent: too little was said, or it was not understood; see `gates.check`.
    """
    heard = gates.Hearing(
        speech.words_of(transcript.segments),
        transcript.speech_seconds,
        transcript.language,
        transcript.language_probability,
    )
    refusal = None if transcript.simulated else gates.check(heard, dict(settings.LANGUAGES))
    if refusal:
        raise Permanent(refusal.reason, code=refusal.code)


def supported(
    answer: dict[str, Any], said: Sequence[Sentence], language: str, *, trust: bool
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Split a model's answer into what the speaker says and what they don't.

    Of a field with one value the first that is supported counts. Returns the form's fields, empty where there is no
    supported answer, and `[{field, value}]` of the unsupported ones. `language` is the transcript's code. `trust` skips
    the check: a simulated engine quotes nothing, and its results are marked as simulated.
    """
    fields: dict[str, Any] = {
        "name": "",
        "age": None,
        "hobbies": [],
        "career_goals": "",
        "strengths": [],
        "experience": "",
    }
    unsupported: list[dict[str, Any]] = []
    introduction = evidence.Introduction(said, language)
    for name in fields:
        for value in _values(answer[name]):
            if not trust and not introduction.saying(name, value):
                unsupported.append({"field": name, "value": value})
            elif isinstance(fields[name], list):
                fields[name].append(value)
            elif fields[name] in (None, ""):
                fields[name] = value
    return fields, unsupported


def _values(answer: Any) -> list[Any]:
    """The non-empty answers for one field, each once."""
    given = answer if isinstance(answer, list) else [answer]
    return list(dict.fromkeys(value for value in given if value is not None and value != ""))
