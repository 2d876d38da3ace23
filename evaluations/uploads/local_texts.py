"""Rating transcripts that are text files of this machine, without audio, queue or database."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, Final

from evaluations.models import Evaluation, Form, Transcript
from evaluations.models.results import SubmissionResults
from evaluations.rating.rubric import RubricSpec
from evaluations.stages.names import Stage
from evaluations.stages.written import WrittenSpeech, form_of, rating_of, refuse_unratable
from evaluations.uploads.local_results import described, in_unicode, refusal
from queueing.engines.base import Engines, LanguageEngine
from queueing.exceptions import Permanent, StageError
from queueing.states import Status

STANDARD_INPUT: Final = "-"
MAX_BYTES: Final = 100_000  # an hour of speech has about half of that

Say = Callable[[str, str], None]
"""Called with a file's name and how it stands."""


@dataclass(slots=True)
class LocalText:
    """A file by the name given, what was made of it so far, and the code of the error that ended it."""

    name: str
    said: WrittenSpeech | None = None
    form: Form | None = None
    evaluation: Evaluation | None = None
    error_code: str = ""
    seconds: dict[str, float] = field(default_factory=dict)  # by stage

    @property
    def completed(self) -> bool:
        return self.evaluation is not None and not self.error_code


def rate_files(
    names: Sequence[str], language: str, rubric: RubricSpec, engines: Engines, *, attempts: int, say: Say
) -> list[LocalText]:
    """Read and rate each file; one that fails does the others no harm.

    Each model is loaded once, and unloaded in any case. Where the form's is another one than the rating's, all forms
    come first, since both may not fit together.

    Args:
        names: paths, or `-` for standard input.
        language: of the texts, ISO 639-1.
        attempts: tries for an answer that can be used.

    Raises:
        Infrastructure, OutOfMemory: a model can't be loaded.
    """
    texts = [_read(name, language, say) for name in names]
    stop = Event()
    stages = {
        Stage.EXTRACT.value: partial(_fill_in, engines=engines, stop=stop, attempts=attempts),
        Stage.RATE.value: partial(_rate, rubric=rubric, engines=engines, stop=stop, attempts=attempts),
    }
    for engine, roles in engines.language_models() if any(not text.error_code for text in texts) else ():
        with loaded(engine):
            for text in texts:
                for role in roles:
                    _take(text, Stage(role), stages[role], say)
    return texts


@contextmanager
def loaded(engine: LanguageEngine) -> Iterator[None]:
    """The model is in memory meanwhile, and out of it afterwards, however it ends."""
    try:
        engine.load()
        yield
    finally:
        engine.unload()


def result(text: LocalText) -> dict[str, Any]:
    """Everything that is known of one file, as `local_files.result` has it of a recording."""
    return described(
        text.name,
        (Status.COMPLETED if text.completed else Status.FAILED).value,
        SubmissionResults(_transcript(text.said) if text.said else None, text.form, text.evaluation),
        code=text.error_code,
        timings=text.seconds,
        attempts=(),
    )


def _transcript(said: WrittenSpeech) -> Transcript:
    # Nobody guessed the language, so an error has nothing to say of it.
    return Transcript(text=said.text, language=said.language, language_probability=0.0)


def _read(name: str, language: str, say: Say) -> LocalText:
    text = LocalText(in_unicode(name))
    try:
        text.said = WrittenSpeech(read(name), language)
        refuse_unratable(text.said)
    except StageError as error:
        _fail(text, error, say)
    return text


def _fail(text: LocalText, error: StageError, say: Say) -> None:
    text.error_code = error.code
    say(text.name, f"{Status.FAILED.label}: {error}")


def read(name: str) -> str:
    """The text of a file, or of standard input.

    Raises:
        Permanent: it can't be read, is too large, empty, or not UTF-8; its code says which.
    """
    try:
        content = _bytes(name)
    except OSError as error:
        raise Permanent(str(error), code=refusal(error)) from error
    if len(content) > MAX_BYTES:
        raise Permanent(f"more than {MAX_BYTES} bytes", code="text_too_large")
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise Permanent(str(error), code="not_utf8") from error
    if not text:
        raise Permanent("no text", code="no_text")
    return text


def _bytes(name: str) -> bytes:
    if name == STANDARD_INPUT:
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    with Path(name).open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _take(text: LocalText, stage: Stage, work: Callable[[LocalText], None], say: Say) -> None:
    """One stage of one text, unless it has ended before; how long it took is kept."""
    if text.error_code:
        return
    say(text.name, str(stage.label))
    began = time.monotonic()
    try:
        work(text)
    except StageError as error:
        _fail(text, error, say)
    text.seconds[stage.value] = round(time.monotonic() - began, 3)
    if text.completed:
        say(text.name, str(Status.COMPLETED.label))


def _fill_in(text: LocalText, engines: Engines, stop: Event, attempts: int) -> None:
    assert text.said
    text.form = Form(**form_of(text.said, engines, stop, attempts=attempts).columns())


def _rate(text: LocalText, rubric: RubricSpec, engines: Engines, stop: Event, attempts: int) -> None:
    assert text.said
    answers = text.form.answers() if text.form else {}
    rated = rating_of(text.said, answers, rubric, engines, stop, attempts=attempts)
    text.evaluation = Evaluation(**rated.columns())
