"""The form of the gold set (tests/gold/README.md): what is missing or misnumbered there would be measured as a fault
of a model."""

from __future__ import annotations

import json
import re
from collections import Counter
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Final

import pytest

from evaluations.rating import default_rubric
from tests.gold.material import load, sentences

INTRODUCTIONS: Final = load("introductions")
LADDER: Final = load("ladder")
ITEMS: Final = load("items")
WHOLE: Final = {item.key for item in default_rubric.ENGLISH.items() if item.whole}  # no single sentence shows them
TEXTS: Final = {each["id"]: each["text"] for each in [*INTRODUCTIONS, *LADDER]}
SCRIPTS: Final = Path(__file__).parents[3] / "evaluations" / "demo" / "scripts.json"
AGES: Final = {  # as the texts say them
    13: ("thirteen",),
    14: ("fourteen",),
    15: ("fifteen",),
    16: ("sixteen", "sechzehn"),
    17: ("seventeen", "siebzehn"),
    18: ("eighteen",),
    20: ("twenty",),
}


@pytest.fixture(params=["a", "b"])
def marking(request: pytest.FixtureRequest) -> Any:
    return load(f"markings-{request.param}")


def plain(sentence: str) -> str:
    return " ".join(re.findall(r"\w+", sentence.casefold()))


def telling(text: str) -> set[str]:
    """Its sentences of three words and more: a greeting or a thank-you gives nothing away."""
    return {plain(each) for each in sentences(text) if len(plain(each).split()) >= 3}


def test_sentences_end_at_their_marks() -> None:
    assert sentences("Hi! Is it on? I am 14… Well. so") == ["Hi!", "Is it on?", "I am 14…", "Well.", "so"]


def test_every_text_has_an_id_of_its_own() -> None:
    assert len(TEXTS) == len(INTRODUCTIONS) + len(LADDER)
    assert len(set(TEXTS.values())) == len(TEXTS)


def test_there_are_enough_of_each_kind_and_language() -> None:
    found = Counter((each["kind"], each["language"]) for each in INTRODUCTIONS)
    assert {kind for kind, _ in found} == {"introduction", "adversarial", "other"}
    assert {language for _, language in found} == {"en", "de"}
    assert found["introduction", "en"] >= 42
    assert found["introduction", "de"] >= 6
    assert found["adversarial", "en"] + found["adversarial", "de"] >= 10
    assert found["adversarial", "de"] >= 3
    assert found["other", "en"] + found["other", "de"] >= 8


def test_introductions_are_of_every_quality_and_many_are_middling() -> None:
    found = Counter(each["quality"] for each in INTRODUCTIONS if each["kind"] == "introduction")
    assert set(found) == {1, 2, 3, 4, 5}
    assert min(found.values()) >= 7
    assert found[2] + found[3] + found[4] > sum(found.values()) / 2


def test_texts_are_as_long_as_introductions_are() -> None:
    for name, text in TEXTS.items():
        assert 25 <= len(text.split()) <= 260, name


def test_the_ladder_has_ten_rungs_of_similar_length() -> None:
    assert [each["rung"] for each in LADDER] == list(range(1, 11))
    for each in LADDER:
        assert 70 <= len(each["text"].split()) <= 110, each["id"]


def test_every_text_is_marked_for_every_item(marking: Any) -> None:
    keys = {item["key"] for item in ITEMS}
    assert set(marking) == set(TEXTS)
    for name, marks in marking.items():
        assert set(marks["items"]) == keys, name
        assert all(isinstance(answer, bool) for answer in marks["items"].values()), name


def test_what_is_true_of_an_asked_item_has_its_sentences_and_nothing_else_has(marking: Any) -> None:
    asked = {item["key"] for item in ITEMS if not item["computed"]}
    for name, marks in marking.items():
        assert {key for key in asked if marks["items"][key]} == set(marks["sentences"]), name


def test_the_sentences_of_a_marking_exist(marking: Any) -> None:
    for name, marks in marking.items():
        there = range(1, len(sentences(TEXTS[name])) + 1)
        for key, numbers in marks["sentences"].items():
            assert numbers or key in WHOLE, (name, key)
            assert len(numbers) == len(set(numbers)), (name, key)
            assert set(numbers) <= set(there), (name, key)


def test_orders_to_the_rater_are_listed_and_show_nothing(marking: Any) -> None:
    for each in INTRODUCTIONS:
        orders = set(each.get("orders", ()))
        assert bool(orders) == (each["kind"] == "adversarial"), each["id"]
        assert orders <= set(range(1, len(sentences(each["text"])) + 1)), each["id"]
        for key, numbers in marking[each["id"]]["sentences"].items():
            assert not orders & set(numbers), (each["id"], key)


def test_the_markings_tell_texts_and_items_apart(marking: Any) -> None:
    for item in ITEMS:
        trues = sum(marks["items"][item["key"]] for marks in marking.values())
        assert 0.2 <= trues / len(marking) <= 0.95, item["key"]


def test_no_text_shares_a_sentence_with_the_demo_or_with_an_example_of_the_rubric() -> None:
    words = [each["words"] for each in json.loads(SCRIPTS.read_text(encoding="utf-8")) if each["words"]]
    examples = [item[side] for item in ITEMS for side in ("yes", "no") if item[side]]
    taken = set[str]().union(*map(telling, [*words, *examples]))
    assert len(taken) > 40
    for name, text in TEXTS.items():
        assert not telling(text) & taken, name


def test_the_groups_of_texts_for_fairness_cover_every_kind_of_difference() -> None:
    groups = load("fairness")
    assert len({group["id"] for group in groups}) == len(groups) >= 12
    found = Counter(difference for group in groups for difference in group["differs"])
    assert set(found) == {"name", "gender", "origin", "school"}
    assert min(found.values()) >= 3
    assert sum(group["language"] == "de" for group in groups) >= 4


def test_texts_of_a_group_differ_in_a_few_words_only() -> None:
    for group in load("fairness"):
        first, *others = group["texts"]
        assert others, group["id"]
        assert len(set(group["texts"])) == len(group["texts"]), group["id"]
        for other in others:
            assert len(sentences(other)) == len(sentences(first)), group["id"]
            assert SequenceMatcher(None, first.split(), other.split()).ratio() >= 0.85, group["id"]


def test_the_right_forms_hold_what_was_said_in_the_words_of_the_text() -> None:
    forms = load("forms")
    assert len({each["id"] for each in forms}) == len(forms) == 20
    for each in forms:
        form, text = each["form"], TEXTS[each["id"]].casefold()
        assert set(form) == {"name", "age", "hobbies", "career_goals", "strengths", "experience"}, each["id"]
        for said in filter(None, _claims(form)):
            assert said.casefold() in text, (each["id"], said)
        if form["age"] is not None:
            assert any(word in text for word in AGES[form["age"]]), each["id"]


def test_what_must_not_be_in_a_form_tempts_from_the_text_and_is_not_in_it() -> None:
    tempting = [each for each in load("forms") if each["not"]]
    assert len(tempting) >= 6
    for each in tempting:
        for trap in each["not"]:
            assert trap["value"].casefold() in TEXTS[each["id"]].casefold(), (each["id"], trap)
            right = json.dumps(each["form"][trap["field"]], ensure_ascii=False).casefold()
            assert trap["value"].casefold() not in right, (each["id"], trap)


def _claims(form: dict[str, Any]) -> list[str | None]:
    return [form["name"], form["career_goals"], form["experience"], *form["hobbies"], *form["strengths"]]


def test_the_markers_had_the_items_of_the_english_rubric_before_them() -> None:
    """All but those that need times, which nobody can mark in a text."""
    rubric = {
        item.key: {"statement": item.statement, "yes": item.yes, "no": item.no, "computed": bool(item.computed)}
        for item in default_rubric.ENGLISH.items()
        if item.key not in ("pace", "phrases")
    }
    marked = {item["key"]: {name: item[name] for name in ("statement", "yes", "no", "computed")} for item in ITEMS}
    assert marked == rubric
    assert [item["key"] for item in ITEMS] == list(rubric)
