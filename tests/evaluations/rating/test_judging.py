from __future__ import annotations

from typing import Any

import pytest

from evaluations.rating import evidence, judging
from evaluations.rating.calibration import Calibration
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
SENTENCES = evidence.sentences(
    [Spoken(word, 0.0, 0.0, 1.0) for word in ("I am Ada.", "I want to be a vet.", "I like dogs.")]
)
TALK = Transcribed(SENTENCES)


ON_TOPIC = {SELF.key: Judgement((1.0,))}
QUOTABLE = evidence.beginnings(SENTENCES)


def answer(**items: tuple[bool, str]) -> dict[str, Any]:
    given: dict[str, tuple[bool, str]] = {item.key: (False, "") for item in ASKED} | items
    return {
        "answers": {key: yes for key, (yes, _) in given.items()},
        "quotes": {item.key: given[item.key][1] for item in ASKED if not item.whole},
    }


def read(said: dict[str, Any], told: dict[str, float] | None = None) -> dict[str, Judgement]:
    return judging.read(ASKED, said, told or {}, {item.key: QUOTABLE for item in ASKED})


def test_a_servers_probability_decides_and_else_the_answer() -> None:
    told = read(answer(plan=(True, "I want to be")), {"answers.plan": 0.5, "answers.proof": 0.1})
    assert (told["plan"].answer, told["proof"].answer) == (None, False)
    assert read(answer(plan=(True, "I want to be")))["plan"].answer is True


@pytest.mark.parametrize(
    ("probability", "said"), [(0.0, False), (0.34, False), (0.35, None), (0.64, None), (0.65, True), (1.0, True)]
)
def test_between_the_thresholds_an_item_is_uncertain(probability: float, said: bool | None) -> None:
    assert Judgement((probability,), (1,)).answer is said


def test_the_margin_is_that_of_the_calibration_and_stays_with_the_judgement() -> None:
    narrow = Calibration(margin=0.05)
    told = {"answers.plan": 0.56, "answers.thread": 0.44, SELF.key: 1.0}
    found = judging.read(
        ASKED, answer(plan=(True, "I want to be")), told, {item.key: QUOTABLE for item in ASKED}, narrow
    )
    assert (found["plan"].answer, found["thread"].answer) == (True, False)
    assert read(answer(plan=(True, "I want to be")), told)["plan"].answer is None
    assert found["plan"].with_another(found["plan"]).answer is True
    assert judging.joined(ASKED, [found, found])["thread"].answer is False


def test_a_yes_that_no_sentence_shows_is_uncertain_except_of_the_whole_talk() -> None:
    found = read(answer(plan=(True, ""), thread=(True, "")), {"answers.plan": 0.99})
    assert found["plan"].answer is None
    assert found["thread"].answer is True


def test_whatever_is_said_of_what_no_sentence_can_show_it_is_false_and_not_asked_again() -> None:
    told, of = {"answers.plan": 0.99, "answers.proof": 0.5}, {item.key: QUOTABLE for item in ASKED}
    said = answer(plan=(True, ""), proof=(True, ""))
    found = judging.read(ASKED, said, told, {**of, "plan": {}, "proof": {}})
    assert [found[key].answer for key in ("plan", "proof")] == [False, False]
    assert judging.uncertain(found) == []
    assert judging.to_verify(ASKED, found) == []
    assert found["plan"].with_another(found["plan"]).answer is False
    other = judging.read(ASKED, answer(plan=(True, "I want to be")), {"answers.plan": 0.8}, of)
    assert judging.joined(ASKED, [found, other])["plan"] == other["plan"], "another part of the talk can show it"
    verdict = judging.verdicts(RUBRIC, {**found, **ON_TOPIC}, TALK)["plan"]
    assert (verdict.credit, verdict.probability, verdict.is_uncertain) == (0.0, None, False)


def test_what_is_not_sure_and_not_shown_is_no_surer_than_undecided() -> None:
    found = read(answer(plan=(True, ""), proof=(True, "")), {"answers.plan": 0.6, "answers.proof": 0.4})
    assert [found[key].probability for key in ("plan", "proof")] == [0.5, 0.4]


def test_a_quote_is_the_sentence_that_begins_so_and_a_no_has_none() -> None:
    found = read(answer(plan=(True, "I want to be"), proof=(False, "I am Ada.")))
    assert found["plan"].sentences == (2,)
    assert found["proof"].sentences == ()


def test_every_quote_is_looked_at_alone_except_of_a_no() -> None:
    found = read(
        answer(plan=(True, "I want to be"), thread=(True, ""), proof=(True, "I am Ada.")), {"answers.proof": 0.2}
    )
    assert judging.to_verify(ASKED, found) == [(PLAN, 2)]


def test_what_one_part_of_a_talk_shows_the_talk_shows_and_its_parts_have_one_say_in_the_whole() -> None:
    first = {
        "plan": Judgement((0.2,)),
        "proof": Judgement((0.5,)),
        "thread": Judgement((0.9,)),
        SELF.key: Judgement((1.0,)),
    }
    second = {
        "plan": Judgement((0.9,), (7,)),
        "proof": Judgement((0.5,), (8,)),
        "thread": Judgement((0.1,)),
        SELF.key: Judgement((0.8,)),
    }
    found = judging.joined(ASKED, [first, second])
    assert found["plan"] == Judgement((0.9,), (7,))
    assert found["proof"] == Judgement((0.5,), (8,))
    assert (found["thread"], found[SELF.key]) == (Judgement((0.5,)), Judgement((0.9,)))
    assert judging.joined(ASKED, [first]) == first


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
    judged = {"plan": Judgement((0.9,), (2,)), "proof": Judgement((0.5,)), "thread": Judgement((0.1,)), **ON_TOPIC}
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
    overall, rows = judging.rows(rubric, judging.verdicts(rubric, ON_TOPIC, TALK), SENTENCES)
    assert [row["key"] for row in rows] == ["n"]
    assert overall == 10.0


@pytest.mark.parametrize(
    ("says", "self_chance"),
    [
        (("My brother Karim plays the drums.", "He wants to be a vet.", "He is good at it."), 1.0),
        (("Take two eggs.", "Stir them.", "I am happy."), 1.0),
        (("I am Ada.", "I want to be a vet.", "I like dogs."), 0.1),
    ],
    ids=["a brother", "a recipe", "by the model"],
)
def test_what_is_off_topic_shows_nothing_of_the_speaker(says: tuple[str, ...], self_chance: float) -> None:
    talk = Transcribed(evidence.sentences([Spoken(word, 0.0, 0.0, 1.0) for word in says]))
    judged = {"plan": Judgement((0.9,), (2,)), "proof": Judgement((0.5,)), "thread": Judgement((0.9,))}
    found = judging.verdicts(RUBRIC, {**judged, SELF.key: Judgement((self_chance,))}, talk)
    assert [found[key].credit for key in ("plan", "proof", "thread")] == [0.0, 0.0, 0.0]
    assert found["plan"].sentences == ()
    assert judging.is_off_topic({**judged, SELF.key: Judgement((self_chance,))}, talk)
