"""From a model's answers to verdicts on items: which are true, which are not, and which stay uncertain. Pure.

A model answers per item true or false, with the first words of the sentence that shows it. Where the server gives one,
its probability of "true" decides; else two answers, given with the items in different orders, decide by agreeing. A
second, separate question asks of each quoted sentence alone whether it shows the item. An item that has a sign
(`evaluations.rating.signs`) is false where no sentence has it, and quotes one that has. What is doubted there, or lies
between the thresholds, is asked again in another order; what is uncertain even then counts half and goes to the
teacher.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from evaluations.rating import calibration, checks, scoring
from evaluations.rating.calibration import MAX_MARGIN, Calibration
from evaluations.rating.checks import CHECKS, Transcribed
from evaluations.rating.evidence import Sentence
from evaluations.rating.rubric import CriterionSpec, ItemSpec, RubricSpec

UNDECIDED = 0.5
SHOWN_FROM = 0.35  # probability that a sentence alone shows an item: below it, the quote is dropped
SELF: Final = ItemSpec(
    "introduces_themselves",
    "introduces the person who speaks: who they are, what they like, do or want",
    0,
    whole=True,
    yes="I am Lea and I like to draw.",
    no="Stir the flour into the milk.",
)
"""Asked beside the items and worth no points: whether it is a self-introduction at all."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the model answered for one item, once or several times."""

    probabilities: tuple[float, ...]  # of "true", one of each time it was asked
    sentences: tuple[int, ...] = ()
    doubted: bool = False  # none of the quoted sentences shows the item by itself
    unfounded: bool = False  # no sentence has the item's sign: whatever the model said of it doesn't count
    margin: float = MAX_MARGIN  # of the probability, on both sides of UNDECIDED: within it, it is uncertain

    @property
    def probability(self) -> float:
        return sum(self.probabilities) / len(self.probabilities)

    @property
    def answer(self) -> bool | None:
        """None while it is uncertain."""
        # Rounded: 0.5 + 0.15 is a little more than 0.65.
        if self.unfounded or self.probability < round(UNDECIDED - self.margin, 9):
            return False
        if self.probability < round(UNDECIDED + self.margin, 9) or self.doubted:
            return None
        return True

    def with_another(self, other: Judgement) -> Judgement:
        """Both together, with the quotes of the first of them that has any which are not doubted."""
        sure = self if self.sentences and not self.doubted else other
        return Judgement(
            self.probabilities + other.probabilities,
            sure.sentences or self.sentences,
            doubted=self.doubted and (other.doubted or not other.sentences),
            unfounded=self.unfounded and other.unfounded,
            margin=self.margin,
        )


def read(
    items: Sequence[ItemSpec],
    answer: Mapping[str, Any],
    probabilities: Mapping[str, float],
    quotable: Mapping[str, Mapping[str, int]],
    calibrated: Calibration = calibration.NONE,
) -> dict[str, Judgement]:
    """The judgements in an answer of the model (`prompts.judging_schema`), by item.

    `quotable`: by item, the first words of a sentence → its number. `probabilities`: path of a boolean → probability of
    "true"; empty where the server gives none. An item that is called true without a sentence that shows it is
    uncertain, unless it is one of the whole talk, for which none is asked.
    """

    def probability(key: str) -> float:
        told = probabilities.get(f"answers.{key}")
        return float(answer["answers"][key]) if told is None else calibrated.probability(key, told)

    return {
        item.key: _judgement(
            item,
            Judgement((probability(item.key),), margin=calibrated.margin),
            answer["quotes"].get(item.key, ""),
            quotable[item.key],
        )
        for item in items
    }


def _judgement(item: ItemSpec, one: Judgement, quote: str, quotable: Mapping[str, int]) -> Judgement:
    if item.whole:
        return one
    if not quotable:
        return replace(one, unfounded=True)
    if one.answer is False:
        return one
    if (quoted := quotable.get(quote)) is None:
        return replace(one, probabilities=(min(one.probability, UNDECIDED),))
    return replace(one, sentences=(quoted,))


def joined(items: Sequence[ItemSpec], parts: Sequence[Mapping[str, Judgement]]) -> dict[str, Judgement]:
    """The judgements on a talk of those on its parts: what one part shows, the talk shows.

    Of what only the whole talk can show, each part says as much as the others.
    """
    return {item.key: _joined(item, [part[item.key] for part in parts]) for item in items}


def _joined(item: ItemSpec, parts: Sequence[Judgement]) -> Judgement:
    if item.whole:
        return replace(parts[0], probabilities=(sum(part.probability for part in parts) / len(parts),))
    return max(parts, key=lambda part: (not part.unfounded, part.probability, bool(part.sentences)))


def verified(judged: Mapping[str, Judgement], shown: Mapping[str, bool]) -> dict[str, Judgement]:
    """With the answers of the second question: `item:sentence` → whether that sentence alone shows the item."""
    return {key: _verified(key, one, shown) for key, one in judged.items()}


def _verified(key: str, one: Judgement, shown: Mapping[str, bool]) -> Judgement:
    asked = [number for number in one.sentences if f"{key}:{number}" in shown]
    if not asked:
        return one
    kept = tuple(number for number in asked if shown[f"{key}:{number}"])
    return replace(one, sentences=kept or one.sentences, doubted=not kept)


def uncertain(judged: Mapping[str, Judgement]) -> list[str]:
    """The keys of the items that have no answer yet."""
    return [key for key, one in judged.items() if one.answer is None]


def to_verify(items: Sequence[ItemSpec], judged: Mapping[str, Judgement]) -> list[tuple[ItemSpec, int]]:
    """(item, sentence) of every quote to be looked at alone."""
    return [
        (item, number)
        for item in items
        if not item.whole and judged[item.key].answer is not False
        for number in judged[item.key].sentences
    ]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an item came out. `credit` is 0..1, or None where it doesn't apply."""

    item: ItemSpec
    credit: float | None
    probability: float | None = None  # of "true"; None where words alone decide
    sentences: tuple[int, ...] = ()

    @property
    def is_uncertain(self) -> bool:
        return self.credit == scoring.UNCERTAIN_CREDIT

    @property
    def answer(self) -> bool | None:
        return None if self.credit is None or self.is_uncertain else bool(self.credit)


def verdicts(rubric: RubricSpec, judged: Mapping[str, Judgement], talk: Transcribed) -> dict[str, Verdict]:
    """One of each item of the rubric: computed ones by their checks, the others by what the model said.

    What is off topic shows nothing of the speaker, whatever the model found in it.
    """
    off_topic = is_off_topic(judged, talk)
    return {item.key: _verdict(item, judged, talk, off_topic=off_topic) for item in rubric.items()}


def is_off_topic(judged: Mapping[str, Judgement], talk: Transcribed) -> bool:
    """Whether it is no self-introduction, by its words or by the model."""
    return judged[SELF.key].answer is False or not checks.speaks_of_themselves(talk)


def _verdict(item: ItemSpec, judged: Mapping[str, Judgement], talk: Transcribed, *, off_topic: bool) -> Verdict:
    if item.computed:
        found = CHECKS[item.computed](talk)
        return Verdict(item, None if found.answer is None else float(found.answer), sentences=found.sentences)
    one = judged[item.key]
    if one.unfounded:
        return Verdict(item, 0.0)
    if off_topic:
        return Verdict(item, 0.0, round(one.probability, 3))
    credit = scoring.UNCERTAIN_CREDIT if one.answer is None else float(one.answer)
    return Verdict(item, credit, round(one.probability, 3), one.sentences)


def rows(
    rubric: RubricSpec, found: Mapping[str, Verdict], sentences: Sequence[Sentence]
) -> tuple[float, list[dict[str, Any]]]:
    """The overall score and the rows that `Evaluation.scores` keeps, in the rubric's order.

    A criterion of which no item applies has no row.
    """
    scored = [(criterion, _score(criterion, found)) for criterion in rubric.criteria]
    known = [(criterion, score) for criterion, score in scored if score is not None]
    return scoring.overall([(score, criterion.weight) for criterion, score in known]), [
        {
            "key": criterion.key,
            "title": criterion.title,
            "weight": criterion.weight,
            "score": score,
            "items": [_item_row(found[item.key], sentences) for item in criterion.items],
        }
        for criterion, score in known
    ]


def _score(criterion: CriterionSpec, found: Mapping[str, Verdict]) -> float | None:
    return scoring.score((item.points, found[item.key].credit) for item in criterion.items)


def _item_row(verdict: Verdict, sentences: Sequence[Sentence]) -> dict[str, Any]:
    return {
        "key": verdict.item.key,
        "title": verdict.item.title,
        "statement": verdict.item.statement,
        "advice": verdict.item.advice,
        "about": verdict.item.about,
        "points": verdict.item.points,
        "hard": verdict.item.hard,
        "computed": bool(verdict.item.computed),
        "answer": verdict.answer,
        "credit": verdict.credit,
        "probability": verdict.probability,
        "sentences": [sentences[number - 1].as_quote() for number in verdict.sentences],
    }
