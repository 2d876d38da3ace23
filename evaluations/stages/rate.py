"""Transcript and form → scores with evidence, feedback and suggestions.

The model picks levels and sentences; the numbers come from `evaluations.rating.scoring`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

from django.db.models.functions import Now

from evaluations.models import Classroom, Criterion, Evaluation, Form, Transcript
from evaluations.rating import evidence, feedback, scoring, speech
from evaluations.stages import prompts
from queueing.engines.base import Engines, JSONSchema, Progress, Prompt
from queueing.exceptions import Permanent
from queueing.models import Task

MAX_TOKENS = 900  # of a rating


@dataclass(frozen=True, slots=True)
class CriterionFacts:
    """A criterion, independent of its database row."""

    key: str
    title: str
    description: str
    basis: str
    measure: str
    weight: float

    @property
    def judged(self) -> bool:
        return self.basis in (Criterion.Basis.JUDGED, Criterion.Basis.BOTH)

    @property
    def computed(self) -> bool:
        return self.basis == Criterion.Basis.COMPUTED


@dataclass(frozen=True, slots=True)
class RateWork:
    criteria: tuple[CriterionFacts, ...]
    sentences: tuple[evidence.Sentence, ...]
    answers: dict[str, object]  # the form's
    facts: speech.SpeechFacts
    tries: int = 0  # failed ones so far

    @property
    def transcript(self) -> str:
        return " ".join(sentence.text for sentence in self.sentences)

    @property
    def rubric(self) -> dict[str, str]:
        """What the model judges: key → description."""
        return {one.key: one.description for one in self.criteria if one.judged}

    def prompt(self) -> Prompt:
        return prompts.rating_prompt(self.rubric, self.sentences, feedback.missing(self.answers))

    def schema(self) -> JSONSchema:
        return prompts.rating_schema(list(self.rubric), self.sentences)


@dataclass(frozen=True, slots=True)
class RateResult:
    overall: float
    scores: list[dict[str, Any]]
    feedback: str
    suggestions: list[str]
    facts: speech.SpeechFacts
    demo_quality: bool
    engine: str
    model: str
    simulated: bool


class Rate:
    def prepare(self, task: Task) -> RateWork:
        transcript = Transcript.objects.get(submission=task.submission_id)
        form = Form.objects.get(submission=task.submission_id)
        classroom = Classroom.objects.get(submissions=task.submission_id)
        words = speech.words_of(transcript.segments)
        criteria = tuple(_facts_of(criterion) for criterion in classroom.rubric.criteria.all())
        _require_scorable(criteria)
        return RateWork(
            criteria=criteria,
            sentences=tuple(evidence.sentences(words)),
            answers=form.answers(),
            facts=speech.measure(words, speech_seconds=transcript.speech_seconds, duration=transcript.duration),
            tries=task.failures,
        )

    def compute(self, work: RateWork, engines: Engines, progress: Progress, stop: Event) -> RateResult:
        engine, options = engines.language["rate"], prompts.options(MAX_TOKENS, work.tries)
        answer = engine.generate(work.prompt(), work.schema(), options, stop=stop)
        share = scoring.JUDGED_SHARE if engines.can_judge else scoring.JUDGED_SHARE_DEMO
        rows = scores(work, answer.value, judged_share=share)
        words, suggestions = advise(work, answer.value, demo_quality=not engines.can_judge)
        return RateResult(
            overall=_overall(rows),
            scores=rows,
            feedback=words,
            suggestions=suggestions,
            facts=work.facts,
            demo_quality=not engines.can_judge,
            engine=engine.name,
            model=answer.model,
            simulated=engine.simulated,
        )

    def save(self, task: Task, result: RateResult) -> None:
        classroom = Classroom.objects.get(submissions=task.submission_id)
        Evaluation.objects.update_or_create(
            submission_id=task.submission_id,
            defaults={
                "overall": result.overall,
                "scores": result.scores,
                "feedback": result.feedback,
                "suggestions": result.suggestions,
                "speech": result.facts.as_dict(),
                "demo_quality": result.demo_quality,
                "engine": result.engine,
                "model": result.model,
                "simulated": result.simulated,
                "released_at": Now() if classroom.release == Classroom.Release.AT_ONCE else None,
            },
        )


def advise(work: RateWork, answer: dict[str, list[str]], *, demo_quality: bool) -> tuple[str, list[str]]:
    """Feedback and suggestions: the model's own; of a demo model one supported sentence, and what was measured."""
    if not demo_quality:
        return " ".join(answer["feedback"]), answer["suggestions"]
    supported = feedback.grounded(answer["feedback"], work.transcript)[:1]
    remarks = [*supported, *feedback.remarks(work.facts, work.answers)]
    return " ".join(remarks[: feedback.MAX_SENTENCES]), feedback.advice(work.facts, work.answers)[
        : feedback.MAX_SENTENCES
    ]


def scores(work: RateWork, answer: dict[str, Any], *, judged_share: float) -> list[dict[str, Any]]:
    """One row per criterion, in the rubric's order; computed criteria are scored after all others."""
    rows = {one.key: _row(one, work, answer, judged_share) for one in work.criteria if not one.computed}
    overall = scoring.overall([(row["score"], row["weight"]) for row in rows.values()])
    for one in work.criteria:
        if one.computed:
            rows[one.key] = _as_row(one, overall)
    return [rows[one.key] for one in work.criteria]


def _row(one: CriterionFacts, work: RateWork, answer: dict[str, Any], judged_share: float) -> dict[str, Any]:
    judgement = answer["criteria"][one.key] if one.judged else {"level": None, "sentences": []}
    part = scoring.Part(one.key, one.weight, judged=judgement["level"], measured=_measured(one, work))
    quotes = [work.sentences[number - 1].as_quote() for number in sorted(set(judgement["sentences"]))]
    return _as_row(one, part.score(judged_share)) | {
        "judged": part.judged,
        "measured": part.measured,
        "evidence": quotes,
    }


def _as_row(one: CriterionFacts, score: float) -> dict[str, Any]:
    return {
        "key": one.key,
        "title": one.title,
        "basis": one.basis,
        "weight": one.weight,
        "score": score,
        "judged": None,
        "measured": None,
        "evidence": [],
    }


def _measured(one: CriterionFacts, work: RateWork) -> float | None:
    if one.basis == Criterion.Basis.JUDGED:
        return None
    match one.measure:
        case Criterion.Measure.DELIVERY:
            return round(scoring.delivery(work.facts), 1)
        case Criterion.Measure.FLUENCY:
            return round(scoring.fluency(work.facts), 1)
        case Criterion.Measure.COMPLETENESS:
            return round(scoring.completeness(work.answers), 1)
    return None


def _overall(rows: list[dict[str, Any]]) -> float:
    parts = [(row["score"], row["weight"]) for row in rows if row["basis"] != Criterion.Basis.COMPUTED]
    return scoring.overall(parts)


def _require_scorable(criteria: Sequence[CriterionFacts]) -> None:
    """Check before the model is called: the admin checks rubrics, but they can be created elsewhere.

    Raises:
        Permanent: `bad_rubric`.
    """
    scored = [one for one in criteria if not one.computed]
    if not scored:
        raise Permanent("no criterion of the rubric is judged or measured", code="bad_rubric")
    for one in scored:
        if not one.judged and not one.measure:
            raise Permanent(f"nothing is chosen to measure {one.key} by", code="bad_rubric")


def _facts_of(criterion: Criterion) -> CriterionFacts:
    return CriterionFacts(
        criterion.key,
        criterion.title,
        criterion.description,
        criterion.basis,
        criterion.measure,
        criterion.weight,
    )
