from __future__ import annotations

from typing import Any

import pytest

from evaluations.rating import evidence, judging
from evaluations.rating.checks import Transcribed
from evaluations.rating.judging import SELF, Judgement
from evaluations.rating.rubric import CriterionSpec, ItemSpec, RubricSpec
from evaluations.rating.speech import Spoken

PLAN = ItemSpec("plan", "names a plan", 1)
PROOF = ItemSpec("proof", "proves a strength", 2, hard=True)
THREAD = ItemSpec("thread", "leads on", 1, whole=True)
NAME = ItemSpec("name", "says their name", 1, computed="name")
PACE = ItemSpec("pace", "speaks at a pace", 1, computed="pace")
RUBRIC = RubricSpec("R", 1, "en", (CriterionSpec("c", "C", (PLAN, PROOF, THREAD, NAME, PACE)),))
ASKED = (*RUBRIC.asked(), SELF)
SENTENCES = evidence.sentences([Spoken(word, 0.0, 0.0, 1.0) for word in ("I am Ada.", "I want to be a vet.")])
TALK = Transcribed(SENTENCES)


def answer(**items: tuple[bool, list[int]]) -> dict[str, Any]:
    given: dict[str, tuple[bool, list[int]]] = {item.key: (False, []) for item in ASKED} | items
    return {
        "answers": {key: yes for key, (yes, _) in given.items()},
        "sentences": {key: quoted for key, (_, quoted) in given.items()},
    }


def test_a_servers_probability_decides_and_else_the_answer() -> None:
    told = judging.read(ASKED, answer(plan=(True, [2])), {"answers.plan": 0.5, "answers.proof": 0.1})
    assert (told["plan"].answer, told["proof"].answer) == (None, False)
    assert judging.read(ASKED, answer(plan=(True, [2])), {})["plan"].answer is True


@pytest.mark.parametrize(
    ("probability", "said"), [(0.0, False), (0.34, False), (0.35, None), (0.64, None), (0.65, True), (1.0, True)]
)
def test_between_the_thresholds_an_item_is_uncertain(probability: float, said: bool | None) -> None:
    assert Judgement((probability,), (1,)).answer is said


def test_a_yes_that_no_sentence_shows_is_uncertain_except_of_the_whole_talk() -> None:
    found = judging.read(ASKED, answer(plan=(True, []), thread=(True, [])), {"answers.plan": 0.99})
    assert found["plan"].answer is None
    assert found["thread"].answer is True


def test_quotes_of_a_no_are_none_and_each_quote_counts_once() -> None:
    found = judging.read(ASKED, answer(plan=(True, [2, 1, 2]), proof=(False, [1])), {})
    assert found["plan"].sentences == (1, 2)
    assert found["proof"].sentences == ()


def test_every_quote_is_looked_at_alone_except_of_the_whole_talk_and_of_a_no() -> None:
    found = judging.read(
        ASKED, answer(plan=(True, [1, 2]), thread=(True, [1]), proof=(True, [1])), {"answers.proof": 0.2}
    )
    assert judging.to_verify(ASKED, found) == [(PLAN, 1), (PLAN, 2)]


def test_quotes_that_show_nothing_go_and_without_any_the_item_is_uncertain() -> None:
    judged = {"plan": Judgement((0.9,), (1, 2)), "proof": Judgement((0.9,), (1,)), "thread": Judgement((0.9,), (1,))}
    found = judging.verified(judged, {"plan:1": False, "plan:2": True, "proof:1": False})
    assert (found["plan"].sentences, found["plan"].answer) == ((2,), True)
    assert found["proof"].answer is None
    assert found["thread"] == judged["thread"]


def test_two_answers_count_as_their_mean_and_a_doubt_goes_when_the_second_has_none() -> None:
    both = Judgement((0.4,), ()).with_another(Judgement((1.0,), (2,)))
    assert (both.probability, both.sentences, both.answer) == (0.7, (2,), True)
    assert Judgement((1.0,)).with_another(Judgement((0.0,))).answer is None
    doubted = Judgement((0.9,), (1,), doubted=True)
    assert doubted.with_another(Judgement((0.9,), (1,))).answer is True
    assert doubted.with_another(doubted).answer is None


def test_uncertain_counts_half_and_what_does_not_apply_counts_neither_way() -> None:
    judged = {"plan": Judgement((0.9,), (2,)), "proof": Judgement((0.5,)), "thread": Judgement((0.1,))}
    found = judging.verdicts(RUBRIC, judged, TALK)
    assert {key: verdict.credit for key, verdict in found.items()} == {
        "plan": 1.0,
        "proof": 0.5,
        "thread": 0.0,
        "name": 1.0,
        "pace": None,  # a written text has none
    }
    overall, rows = judging.rows(RUBRIC, found, SENTENCES)
    assert overall == rows[0]["score"] == pytest.approx(1 + 9 * (1 + 1 + 0 + 1) / 5, abs=0.05)
    by_key = {item["key"]: item for item in rows[0]["items"]}
    assert [(by_key[key]["answer"], by_key[key]["computed"]) for key in ("plan", "proof", "name", "pace")] == [
        (True, False),
        (None, False),
        (True, True),
        (None, True),
    ]
    assert by_key["plan"]["sentences"] == [SENTENCES[1].as_quote()]
    assert by_key["plan"]["probability"] == 0.9


def test_a_criterion_of_which_nothing_applies_has_no_row() -> None:
    rubric = RubricSpec("R", 1, "en", (CriterionSpec("p", "P", (PACE,)), CriterionSpec("n", "N", (NAME,))))
    overall, rows = judging.rows(rubric, judging.verdicts(rubric, {}, TALK), SENTENCES)
    assert [row["key"] for row in rows] == ["n"]
    assert overall == 10.0
