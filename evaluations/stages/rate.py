"""Transcript and form → scores with evidence, feedback and suggestions.

The model answers yes/no items and names the sentences that show them (`evaluations.rating.judging`); what words alone
can answer is computed, and so is every number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from django.db.models.functions import Now

from evaluations.models import Classroom, Evaluation, Form, Rubric, Submission, Transcript, corrected
from evaluations.rating import calibration, evidence, feedback, gates, instructions, judging, signs, speech
from evaluations.rating.calibration import Calibration
from evaluations.rating.checks import Transcribed
from evaluations.rating.evidence import Sentence
from evaluations.rating.judging import SELF, Judgement
from evaluations.rating.rubric import BadRubricError, ItemSpec, RubricSpec
from evaluations.stages import prompts
from evaluations.stages.parts import in_parts
from evaluations.stages.seal import kind_of_device, seal
from queueing.engines.base import Engines, Generation, JSONSchema, LanguageEngine, Progress, Prompt
from queueing.exceptions import Permanent
from queueing.models import Task

TOKENS_PER_ITEM, TOKENS_PER_QUOTE, SPARE_TOKENS = 40, 24, 100  # of an answer
OFF_TOPIC, SPOKEN_INSTRUCTIONS, UNCERTAIN, DOUBTFUL = "off_topic", "spoken_instructions", "uncertain", "doubtful"
DAMAGED = "damaged"
FOR_A_PERSON = frozenset({OFF_TOPIC, SPOKEN_INSTRUCTIONS})  # never released at once, whatever the class says


@dataclass(frozen=True, slots=True)
class RateWork:
    """What a rating is made from.

    `words` is None for a written text. `masked` are the sentences as the model sees them: those that address the rater
    have the same numbers and no words. `quotable` are the numbers of the others.
    """

    rubric: RubricSpec
    sentences: tuple[Sentence, ...]
    words: tuple[speech.Spoken, ...] | None
    answers: Mapping[str, object]  # the form's
    language: str
    facts: speech.SpeechFacts | None
    tries: int = 0  # failed ones so far
    rubric_id: int | None = None
    is_damaged: bool = False  # parts of the recording could not be heard
    fitted: Mapping[str, Calibration] = field(default_factory=dict)  # by the site's teachers, by the model's digest

    @property
    def addressed(self) -> frozenset[int]:
        return instructions.addressed(self.sentences)

    @property
    def honest(self) -> tuple[Sentence, ...]:
        """The sentences that may count for anything."""
        addressed = self.addressed
        return tuple(one for one in self.sentences if one.number not in addressed)

    @property
    def items(self) -> tuple[ItemSpec, ...]:
        """What the model is asked."""
        return (*self.rubric.asked(), SELF)

    @property
    def talk(self) -> Transcribed:
        return Transcribed(self.honest, self.words)

    @property
    def material(self) -> feedback.Material:
        return feedback.material(self.sentences, self.answers)


@dataclass(frozen=True, slots=True)
class RateResult:
    method: Evaluation.Method
    rubric_id: int | None
    facts: speech.SpeechFacts | None
    engine: str
    model: str
    simulated: bool
    overall: float | None = None
    scores: list[dict[str, Any]] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    feedback: list[str] = field(default_factory=list)
    suggestions: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
    seal: str = ""

    def columns(self) -> dict[str, Any]:
        """It as `Evaluation` keeps it."""
        return {
            "method": self.method,
            "rubric_id": self.rubric_id,
            "overall": self.overall,
            "scores": self.scores,
            "flags": self.flags,
            "feedback": " ".join(self.feedback),
            "suggestions": self.suggestions,
            "speech": self.facts.as_dict() if self.facts else {},
            "engine": self.engine,
            "model": self.model,
            "simulated": self.simulated,
            "provenance": self.provenance,
            "seal": self.seal,
        }


class Rate:
    def prepare(self, task: Task) -> RateWork:
        rubric = Classroom.objects.select_related("rubric").get(submissions=task.submission_id).rubric
        return work_on(task, rubric)

    def compute(self, work: RateWork, engines: Engines, progress: Progress, stop: Event) -> RateResult:
        return rate(work, engines, progress, stop)

    def save(self, task: Task, result: RateResult) -> None:
        classroom = Classroom.objects.get(submissions=task.submission_id)
        made = Evaluation.objects.create(
            submission_id=task.submission_id,
            released_at=Now() if is_released_at_once(classroom, result) else None,
            **result.columns(),
        )
        Submission.objects.filter(pk=task.submission_id).update(evaluation=made)


def is_released_at_once(classroom: Classroom, result: RateResult | Evaluation) -> bool:
    """A simulated rating is nobody's judgement, so what it seems to be waits for no person."""
    waits = not result.simulated and not FOR_A_PERSON.isdisjoint(result.flags)
    return classroom.release == Classroom.Release.AT_ONCE and not waits


def work_on(task: Task, rubric: Rubric) -> RateWork:
    """What a rating of the task's submission by `rubric` is made from.

    Raises:
        Permanent: `bad_rubric`.
        ObjectDoesNotExist: it has no transcript, or no form.
    """
    transcript = corrected(Transcript.objects.select_related("submission").get(submission=task.submission_id))
    form = Form.objects.get(submission=task.submission_id)
    words = speech.words_of(transcript.segments)
    return RateWork(
        rubric=valid(rubric.spec()),
        sentences=tuple(evidence.sentences(words, transcript.language)),
        words=tuple(words),
        answers=form.answers(),
        language=transcript.language,
        facts=speech.measure(words, speech_seconds=transcript.speech_seconds, duration=transcript.duration),
        tries=task.failures,
        rubric_id=rubric.pk,
        is_damaged=transcript.submission.damaged_at is not None,
        fitted=rubric.fitted(prompts.VERSION),
    )


def valid(rubric: RubricSpec) -> RubricSpec:
    """The rubric, if something can be rated by it: the admin checks that, but rubrics can be made elsewhere.

    Raises:
        Permanent: `bad_rubric`.
    """
    try:
        rubric.validate()
    except BadRubricError as error:
        raise Permanent(str(error), code="bad_rubric") from error
    return rubric


def rate(work: RateWork, engines: Engines, progress: Progress, stop: Event) -> RateResult:
    """Judge, compute, compose. Without a model that can judge there are facts and the form, and no score."""
    engine = engines.language["rate"]
    if not engines.can_judge:
        return RateResult(
            Evaluation.Method.NONE,
            work.rubric_id,
            work.facts,
            engine.name,
            engine.model,
            simulated=engine.simulated,
            flags=[DAMAGED] if work.is_damaged else [],
            seal=Judge(engine, work, progress, stop).seal(),
        )
    if not work.honest:
        raise Permanent("every sentence addresses the rater", code="not_understood")
    judge = Judge(engine, work, progress, stop)
    judged = judge.judge()
    found = judging.verdicts(work.rubric, judged, work.talk)
    overall, rows = judging.rows(work.rubric, found, work.sentences)
    return RateResult(
        Evaluation.Method.ITEMS,
        work.rubric_id,
        work.facts,
        engine.name,
        judge.model,
        simulated=engine.simulated,
        overall=overall,
        scores=rows,
        flags=_flags(work, judged, found),
        feedback=feedback.remarks(rows, work.material),
        suggestions=feedback.advice(rows, work.material),
        provenance=judge.provenance(),
        seal=judge.seal(),
    )


def _flags(work: RateWork, judged: Mapping[str, Judgement], found: Mapping[str, judging.Verdict]) -> list[str]:
    flags = {
        OFF_TOPIC: judging.is_off_topic(judged, work.talk),
        SPOKEN_INSTRUCTIONS: bool(work.addressed),
        UNCERTAIN: any(verdict.is_uncertain for verdict in found.values()),
        DOUBTFUL: work.words is not None and gates.is_doubtful(work.words),
        DAMAGED: work.is_damaged,
    }
    return [name for name, raised in flags.items() if raised]


class Judge:
    """The calls that one rating takes, and what is kept of them."""

    def __init__(self, engine: LanguageEngine, work: RateWork, progress: Progress, stop: Event) -> None:
        self.engine, self.work, self.progress, self.stop = engine, work, progress, stop
        self.model, self.digest, self.engine_version = engine.model, "", ""
        self.device = ""
        self.calls: list[dict[str, Any]] = []
        self.calibration = calibration.NONE
        self.having = {sign: having(work.honest, work.language) for sign, having in signs.SIGNS.items()}

    def judge(self) -> dict[str, Judgement]:
        """One call for all items; where the server tells no probabilities another, in the next order.

        Then one that looks at each quote alone, and once more both for what is uncertain.
        """
        items = self.work.items
        # A few fixed orders, so that the heads of their prompts can be cached.
        orders = iter((items, items[::-1], items[len(items) // 2 :] + items[: len(items) // 2]))
        judged, sure = self._ask(next(orders))
        if not sure:
            judged = _together(judged, self._ask(next(orders))[0])
        judged = self._verified(items, judged)
        if doubtful := [item for item in items if judged[item.key].answer is None]:
            again, _ = self._ask(next(orders))
            judged = _together(judged, self._verified(doubtful, {item.key: again[item.key] for item in doubtful}))
        # After the calls: a server may load its model for the first of them.
        self.device = kind_of_device(self.engine.resident())
        return judged

    def _ask(self, items: Sequence[ItemSpec]) -> tuple[dict[str, Judgement], bool]:
        """The judgements, and whether the server told probabilities."""
        asked = in_parts(instructions.masked(self.work.sentences), lambda part: self._ask_of(items, part))
        return judging.joined(items, [judged for judged, _ in asked]), all(told for _, told in asked)

    def _ask_of(self, items: Sequence[ItemSpec], masked: Sequence[Sentence]) -> tuple[dict[str, Judgement], bool]:
        said = evidence.beginnings([one for one in masked if one.number not in self.work.addressed])
        quotable = {
            item.key: {
                words: number for words, number in said.items() if not item.sign or number in self.having[item.sign]
            }
            for item in items
        }
        answer = self._call(
            prompts.judging_prompt(items, masked, self.work.rubric.worked_examples()),
            prompts.judging_schema(items, quotable),
            TOKENS_PER_ITEM * len(items),
        )
        calibrated = self.work.fitted.get(answer.digest) or calibration.of(answer.digest, self.work.rubric.digest)
        self.calibration = calibrated
        return judging.read(items, answer.value, answer.probabilities, quotable, calibrated), bool(answer.probabilities)

    def _verified(self, items: Sequence[ItemSpec], judged: Mapping[str, Judgement]) -> dict[str, Judgement]:
        quotes = judging.to_verify(items, judged)
        if not quotes:
            return dict(judged)
        answer = self._call(
            prompts.verifying_prompt(self.work.items, quotes, self.work.sentences),
            prompts.verifying_schema(quotes),
            TOKENS_PER_QUOTE * len(quotes),
        )
        told = answer.probabilities
        shown = {quote: told.get(quote, float(yes)) >= judging.SHOWN_FROM for quote, yes in answer.value.items()}
        return judging.verified(judged, shown)

    def _call(self, prompt: Prompt, schema: JSONSchema, tokens: int) -> Generation:
        options = prompts.options(tokens + SPARE_TOKENS, self.work.tries, probabilities=True)
        answer = self.engine.generate(prompt, schema, options, stop=self.stop)
        self.model, self.digest, self.engine_version = answer.model, answer.digest, answer.engine_version
        self.calls.append(
            {
                "prompt_sha256": _digest(f"{prompt.system}\n{prompt.user}"),
                "answer": answer.text,
                "probabilities": dict(answer.probabilities),
                "prompt_tokens": answer.prompt_tokens,
                "output_tokens": answer.output_tokens,
                "seed": answer.seed,
                "temperature": answer.temperature,
                "digest": answer.digest,
            }
        )
        return answer

    def provenance(self) -> dict[str, Any]:
        rubric = self.work.rubric
        return {
            "rubric": {"name": rubric.name, "version": rubric.version, "sha256": rubric.digest},
            "prompts": prompts.VERSION,
            "engine": {"name": self.engine.name, "version": self.engine_version},
            "device": self.device,
            "transcript_sha256": _digest("\n".join(one.text for one in self.work.sentences)),
            "calibration": self.calibration.as_dict(),
            "calls": self.calls,
        }

    def seal(self) -> str:
        """Of the rating that the calls so far are for."""
        return seal(
            rubric_sha256=self.work.rubric.digest,
            prompts=prompts.VERSION,
            model=self.digest or self.model,
            engine=self.engine.name,
            engine_version=self.engine_version,
            device=self.device,
            calibration=self.calibration,
        )


def _together(one: Mapping[str, Judgement], other: Mapping[str, Judgement]) -> dict[str, Judgement]:
    return {key: each.with_another(other[key]) if key in other else each for key, each in one.items()}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
