"""Figures of made-up ratings, worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.benchmarks.judge import figures
from tests.benchmarks.judge.figures import Counts, ranks, spearman
from tests.benchmarks.judge.texts import further_texts, gold_texts, spread
from tests.gold.material import load

A = {"x": {"items": {"name": True, "event": True}}, "y": {"items": {"name": False, "event": True}}}
B = {"x": {"items": {"name": True, "event": False}}, "y": {"items": {"name": False, "event": True}}}


def row(name: str, kind: str = "introduction", overall: float | None = 5.0, **more: Any) -> dict[str, Any]:
    plain = {"language": "en", "of": "", "rung": 0, "error": "", "items": {}, "flags": [], "seconds": 1.0}
    return {"id": name, "kind": kind, "overall": overall, **plain, **more}


def test_answers_are_counted_by_what_they_say_and_what_is_marked() -> None:
    counts = Counts()
    for credit, marked in [(1.0, True), (1.0, False), (0.0, True), (0.0, False), (0.0, False), (0.5, True)]:
        counts.add(credit, marked)
    assert counts == Counts(tp=1, fp=1, fn=1, tn=2, uncertain=1)
    assert counts.right == 0.5


def test_without_answers_there_is_no_share() -> None:
    assert math.isnan(Counts().right)


def test_each_marking_is_counted_by_itself_and_both_where_they_agree() -> None:
    rows = [row("x", items={"name": 1.0, "event": 1.0}), row("y", items={"name": 0.5, "event": 1.0})]
    name, event, everything = figures.items(rows, A, B, ["name", "event"])
    assert (name["A tp"], name["uncertain"], name["right A"]) == (1, 1, 0.5)
    assert (event["A tp"], event["B tp"], event["B fp"]) == (2, 1, 1)
    assert (event["right A"], event["right B"], event["right where both agree"]) == (1.0, 0.5, 1.0)
    assert everything["right A"] == 0.75
    assert everything["right where both agree"] == pytest.approx(2 / 3)


def test_an_item_that_does_not_apply_is_not_counted() -> None:
    (name, _) = figures.items([row("x", items={"name": None}), row("y", items={"name": 0.0})], A, B, ["name"])
    assert (name["A tn"], name["right A"]) == (1, 1.0)


def test_a_marking_of_all_items_makes_the_best_score_and_one_of_none_the_lowest() -> None:
    keys = [item["key"] for item in load("items")]
    assert figures.score_of(dict.fromkeys(keys, True), "en") == 10.0
    assert figures.score_of(dict.fromkeys(keys, False), "de") == 1.0


def test_scores_are_held_against_the_mean_of_both_markings() -> None:
    marks = load("markings-a")
    texts = ["rung-01", "rung-05", "rung-10"]
    theirs = [figures.score_of(marks[name]["items"], "en") for name in texts]
    higher = [row(name, overall=score + 0.5) for name, score in zip(texts, theirs, strict=True)]
    found = figures.scores(higher, marks, marks)
    assert found["bias"] == pytest.approx(0.5)
    assert found["mean distance"] == pytest.approx(0.5)
    same = figures.scores([row(name, overall=score) for name, score in zip(texts, theirs, strict=True)], marks, marks)
    assert same["QWK"] == 1.0
    assert same["share from 8"] == same["theirs"]


def test_inflation_is_what_the_orders_added() -> None:
    rows = [
        row("bold", "adversarial", 7.5, flags=["spoken_instructions"]),
        row("bold/honest", "honest part", 7.0, of="bold"),
        row("sly", "adversarial", 4.0),
        row("sly/honest", "honest part", 4.1, of="sly"),
        row("alone", "adversarial", 9.0),
    ]
    found = figures.trust(rows)
    assert (found["largest"], found["of"], found["flagged"]) == (0.5, "bold", "1 of 2")
    assert found["inflation, mean"] == pytest.approx(0.2)


def test_a_group_is_as_wide_as_its_furthest_two() -> None:
    rows = [row(str(at), "fairness", score, of="names") for at, score in enumerate((5.0, 5.3, 4.9))]
    found = figures.trust([*rows, row("9", "fairness", 1.0, of="a group of one")])
    assert (found["widest group"], found["group"]) == (0.4, "names")


def test_the_highest_of_what_is_no_introduction_is_named_by_its_score() -> None:
    assert figures.trust([row("poem", "other", 2.0), row("recipe", "other", 3.5)])["highest other"] == 3.5


def test_of_nothing_there_are_no_figures() -> None:
    found = figures.trust([])
    assert all(math.isnan(value) for value in found.values() if isinstance(value, float))
    assert math.isnan(float(figures.scores([], A, B)["QWK"]))  # type: ignore[arg-type]


def test_failed_texts_are_told_by_their_errors_and_are_in_no_other_figure() -> None:
    rows = [row("x", items={"name": 1.0}, seconds=3.0), row("y", overall=None, error="invalid_answer", seconds=9.0)]
    items, scores, _, run = figures.tables(rows, A, B, ["name"])
    assert (run.rows[0]["texts"], run.rows[0]["failed"], run.rows[0]["most"]) == ("2", "invalid_answer 1", 3.0)
    assert items.rows[0]["A tp"] == 1
    assert scores.rows[0]["texts"] == "1"


def test_ranks_of_equal_values_are_shared() -> None:
    assert ranks([10, 20, 20, 30]) == [1, 2.5, 2.5, 4]


def test_spearman_reaches_from_the_same_order_to_its_opposite() -> None:
    assert spearman([1, 2, 3, 4], [1, 5, 6, 100]) == pytest.approx(1)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert spearman([1, 2, 3, 4, 5], [1, 2, 3, 5, 4]) == pytest.approx(0.9)
    assert math.isnan(spearman([1, 2, 3], [5, 5, 5]))


def test_a_few_are_spread_from_the_first_to_the_last() -> None:
    assert spread(range(10), 3) == [0, 4, 9]
    assert list(spread(range(10), 1)) == [0]
    assert list(spread(range(3), 5)) == list(spread(range(3), None)) == [0, 1, 2]


def test_every_adversarial_text_is_rated_a_second_time_without_its_orders() -> None:
    texts = {text.id: text for text in gold_texts()}
    honest = [text for text in texts.values() if text.kind == "honest part"]
    assert len(honest) == sum(text.kind == "adversarial" for text in texts.values()) >= 10
    for text in honest:
        assert text.text
        assert len(text.text) < len(texts[text.of].text)


def test_a_few_of_each_kind_are_taken() -> None:
    texts = gold_texts(2)
    kinds = {kind: [text for text in texts if text.kind == kind] for kind in ("introduction", "other", "ladder")}
    assert [len(found) for found in kinds.values()] == [2, 2, 2]
    assert [text.rung for text in kinds["ladder"]] == [1, 10]
    assert len({text.of for text in texts if text.kind == "fairness"}) == 2


def test_further_texts_are_none_of_the_others_and_have_all_marks() -> None:
    gold, further = gold_texts(), further_texts()
    assert not {each.id for each in further} & {each.id for each in gold}
    assert not {each.text for each in further} & {each.text for each in gold}
    keys = {item["key"] for item in load("items")}
    assert all(each["items"].keys() == keys for each in load("further"))
