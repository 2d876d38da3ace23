"""The stage `answer`: a question → an answer, shown while it is written."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now
from django.dispatch import Signal
from django.utils.translation import override

from evaluations.coaching.questions import facts, prompt
from evaluations.coaching.questions.facts import Facts
from evaluations.coaching.questions.guard import AnswerGuard, Fault
from evaluations.models import CoachQuestion, Submission
from evaluations.rating.evidence import Sentence
from queueing.engines.base import Engines, LanguageEngine, WrittenText
from queueing.exceptions import ClaimLost, Interrupted, Permanent
from queueing.models import Task

if TYPE_CHECKING:
    from queueing.pipelines import StageProgress

answer_grew = Signal()  # question_id: UUID; sent after commit

End = CoachQuestion.End


@dataclass(frozen=True, slots=True)
class AnswerWork:
    question: str
    language: str
    facts: Facts
    names: tuple[str, ...]  # of everybody else
    tries: int  # failed ones so far


@dataclass(frozen=True, slots=True)
class AnswerResult:
    answer: str
    end: End
    why: str = ""
    written: WrittenText | None = None  # None: no model was asked
    simulated: bool = False

    def columns(self) -> dict[str, Any]:
        """It as `CoachQuestion` keeps it."""
        columns: dict[str, Any] = {"answer": self.answer, "end": self.end, "why": self.why}
        if self.written:
            columns |= {
                "model": self.written.model,
                "simulated": self.simulated,
                "prompt_version": prompt.VERSION,
                "prompt_tokens": self.written.prompt_tokens,
                "output_tokens": self.written.output_tokens,
            }
        return columns


class Answering:
    def prepare(self, task: Task) -> AnswerWork:
        question = CoachQuestion.objects.filter(task=task.pk).first()
        if question is None:
            raise Permanent("the submission was deleted", code="deleted")
        self._begin(task, question)
        submission = Submission.objects.select_related("student", "classroom").get(pk=task.submission_id)
        others = User.objects.exclude(pk=submission.student_id).only("first_name", "last_name", "username")
        return AnswerWork(
            question.text,
            question.language,
            facts.of(submission),
            tuple(facts.name_of(one) for one in others),
            task.failures,
        )

    def compute(self, work: AnswerWork, engines: Engines, progress: StageProgress, stop: Event) -> AnswerResult:
        return answer(work, engines.language["rate"], progress, stop)

    def save_text(self, task: Task, text: str) -> None:
        CoachQuestion.objects.filter(task=task.pk).update(
            answer=text, first_text_at=Coalesce(F("first_text_at"), Now())
        )
        _tell(task)

    def save(self, task: Task, result: AnswerResult) -> None:
        CoachQuestion.objects.filter(task=task.pk).update(
            first_text_at=Coalesce(F("first_text_at"), Now()), **result.columns()
        )

    def _begin(self, task: Task, question: CoachQuestion) -> None:
        """What an interrupted try has written is gone; readers are told by `restarts`."""
        changes: dict[str, Any] = {"begun_at": Now()}
        if question.begun_at:
            changes = {"answer": "", "first_text_at": None, "restarts": F("restarts") + 1}
        with suppress(ClaimLost), task.kept():  # a lost claim shows at the next poll
            CoachQuestion.objects.filter(pk=question.pk).update(**changes)
            _tell(task)


def _tell(task: Task) -> None:
    transaction.on_commit(lambda: answer_grew.send_robust(Answering, question_id=task.subject))


def answer(work: AnswerWork, engine: LanguageEngine, progress: StageProgress, stop: Event) -> AnswerResult:
    """Ask the model, unless the question is declined; what may not be shown ends the answer."""
    guard = AnswerGuard(work.names, work.facts.own_words, prompt.SYSTEM)
    if fault := guard.of_question(work.question):
        return AnswerResult(_words(fault, work.language), End.DECLINED, fault)
    shown: list[str] = []

    def write(piece: str) -> None:
        if text := guard.add(piece):
            shown.append(text)
            progress.write(text)
        if guard.fault:
            stop.set()  # nothing that follows would be shown

    try:
        written = _ask(work, engine, work.facts.said, write, stop)
    except Interrupted:
        if guard.fault is None:
            raise
        written = WrittenText("", engine.model, "stop", 0, 0, 0.0)
    shown.append(guard.finish())
    if guard.fault:
        return AnswerResult(_words(guard.fault, work.language), End.WITHHELD, guard.fault, written, engine.simulated)
    end = End.CUT if written.finish == "length" else End.ANSWERED
    return AnswerResult("".join(shown).strip(), end, "", written, engine.simulated)


def _ask(work: AnswerWork, engine: LanguageEngine, said: Sequence[Sentence], write: Any, stop: Event) -> WrittenText:
    """With as many of the sentences as the model has room for: only its server knows how many tokens they are."""
    asked = prompt.prompt(work.question, work.facts, work.language, said)
    try:
        return engine.write(asked, prompt.options(work.tries), on_text=write, stop=stop)
    except Permanent as error:
        if error.code != "too_long_for_model" or not said:
            raise
    return _ask(work, engine, said[: len(said) // 2], write, stop)


def _words(fault: Fault, language: str) -> str:
    with override(language):
        return str(fault.words)
