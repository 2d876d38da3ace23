"""What counts of a rating after a person's decisions."""

from __future__ import annotations

from typing import Any

from evaluations.rating.reviewing import reviewed


def item(key: str, points: int, *, answer: bool | None) -> dict[str, Any]:
    return {"key": key, "points": points, "answer": answer, "credit": 0.5 if answer is None else float(answer)}


def rating() -> list[dict[str, Any]]:
    return [
        {
            "key": "content",
            "weight": 3,
            "score": 5.5,
            "items": [item("plan", 1, answer=True), item("proof", 1, answer=False)],
        },
        {"key": "clarity", "weight": 1, "score": 5.5, "items": [item("closing", 2, answer=None)]},
    ]


def test_nothing_decided_leaves_every_score_as_it_was_made() -> None:
    found = reviewed(rating(), 7.7, {}, None)
    assert found.overall == 7.7  # not computed anew: other methods have other ways to a score
    assert [row["score"] for row in found.rows] == [5.5, 5.5]
    assert not found.by_person


def test_a_decided_item_moves_its_criterion_and_the_total_and_the_programs_answer_stays() -> None:
    found = reviewed(rating(), 5.5, {"proof": True}, None)
    assert [row["score"] for row in found.rows] == [10.0, 5.5]
    assert found.overall == 8.9  # (3 · 10 + 5.5) / 4
    (_, proof), (closing,) = (row["items"] for row in found.rows)
    assert (proof["answer"], proof["program"], proof["by_person"]) == (True, False, True)
    assert (closing["answer"], closing["program"], closing["by_person"]) == (None, None, False)


def test_an_uncertain_item_is_decided_by_a_person() -> None:
    assert [row["score"] for row in reviewed(rating(), 5.5, {"closing": False}, None).rows] == [5.5, 1.0]


def test_a_persons_total_counts_and_the_criteria_stay_computed() -> None:
    found = reviewed(rating(), 5.5, {"proof": True}, 4.0)
    assert (found.overall, found.by_person) == (4.0, True)
    assert found.rows[0]["score"] == 10.0


def test_what_has_no_score_gets_one_only_from_a_person() -> None:
    assert reviewed([], None, {}, None).overall is None
    assert reviewed([], None, {}, 6.0).overall == 6.0
