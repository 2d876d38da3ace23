from __future__ import annotations

from typing import Any

import pytest
from django.utils.translation import override

from evaluations.rating import evidence, feedback
from evaluations.rating.speech import Spoken

NOTHING: dict[str, object] = dict.fromkeys(("name", "age", "hobbies", "career_goals", "strengths", "experience"))


def material(text: str = "I am Ada. I swim.", **answers: object) -> feedback.Material:
    words = [Spoken(word, 0.0, 0.0, 1.0) for word in text.split()]
    return feedback.material(evidence.sentences(words), NOTHING | answers)


def item(key: str, credit: float | None, *, points: int = 1, quote: str = "", number: int = 1, about: str = "") -> Any:
    quotes = [{"sentence": number, "quote": quote, "start": 0.0, "end": 0.0}] if quote else []
    return {"key": key, "title": f"the {key}", "advice": f"Show the {key}.", "about": about, "points": points} | {
        "credit": credit,
        "sentences": quotes,
    }


def rows(*items: Any) -> list[dict[str, Any]]:
    return [{"key": "c", "items": list(items)}]


def test_what_was_shown_is_cited_the_most_points_first_and_each_sentence_once() -> None:
    found = feedback.remarks(
        rows(
            item("plan", 1.0, points=2, quote="I want to be a vet.", number=2),
            item("proof", 1.0, points=4, quote="I fed the goats.", number=1),
            item("reason", 1.0, points=3, quote="I fed the goats.", number=1),
            item("closing", 0.5, points=9, quote="Bye.", number=3),
        ),
        material(),
    )
    assert found == [
        "You give your listeners the proof: “I fed the goats.”",
        "You give your listeners the plan: “I want to be a vet.”",
    ]


def test_who_showed_nothing_is_cited_all_the_same() -> None:
    assert feedback.remarks(rows(item("plan", 0.0)), material("I am Ada. Bye.")) == [
        "You said: “I am Ada.” Your listeners want to hear more."
    ]


def test_advice_is_for_what_was_not_shown_the_most_points_first_and_three_at_most() -> None:
    missed = [item(f"k{points}", 0.0, points=points) for points in (1, 4, 2, 3)]
    tips = feedback.advice(rows(*missed, item("plan", 1.0, points=9), item("pace", None, points=9)), material())
    assert [tip.split(".")[0] for tip in tips] == ["Show the k4", "Show the k3", "Show the k2"]


@pytest.mark.parametrize("credit", [1.0, 0.5, None])
def test_nothing_is_advised_that_was_shown_or_may_have_been(credit: float | None) -> None:
    assert feedback.advice(rows(item("plan", credit)), material()) == []


def test_nothing_is_asked_for_that_the_form_holds() -> None:
    """The model's miss is not the student's."""
    missed = rows(item("future", 0.0, about="career_goals"))
    assert feedback.advice(missed, material(career_goals="become a vet")) == []
    assert len(feedback.advice(missed, material())) == 1


def test_advice_starts_from_the_students_own_words() -> None:
    missed = rows(item("detail", 0.0, points=2, about="hobbies"), item("hedges", 0.0, quote="Maybe I ski."))
    assert feedback.advice(missed, material(hobbies=["swimming", "chess"])) == [
        "Show the detail. You could start from “swimming”.",
        "Show the hedges. You said: “Maybe I ski.”",
    ]
    assert feedback.advice(rows(item("event", 0.0)), material("I am Ada. I swim.")) == [
        "Show the event. Your last words were: “I swim.”"
    ]


def test_an_answer_of_a_whole_sentence_ends_the_advice_with_one_full_stop() -> None:
    found = feedback.advice(rows(item("detail", 0.0, about="experience")), material(experience="I fixed bikes. "))
    assert found == ["Show the detail. You could start from “I fixed bikes”."]


def test_a_long_quote_is_cut_between_words() -> None:
    words = "and I like the sea " * 10
    assert len(feedback.shortened(words)) <= feedback.MAX_QUOTE + 2
    assert feedback.shortened(words).endswith(("sea …", "and …", "I …", "like …", "the …"))
    assert feedback.shortened("I swim.") == "I swim."


def test_it_is_in_the_readers_language() -> None:
    with override("de"):
        assert feedback.remarks(rows(item("plan", 1.0, quote="Ja.")), material())[0].startswith("Du gibst")
