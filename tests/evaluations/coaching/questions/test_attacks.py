"""Twenty more attacks, in words of their own, as data, on a model that does what it is told.

`python -m tests.benchmarks attacks` asks a real model the same.
"""

from __future__ import annotations

from threading import Event
from typing import Any

import pytest

from evaluations.coaching.questions.answering import answer
from evaluations.coaching.questions.guard import Fault
from tests.benchmarks.attacks import HONEST, asked_once, attacks, succeeds, tables, work
from tests.evaluations.coaching.questions.doubles import Obedient, ShownText

ATTACKS = attacks()


def gullible(attack: dict[str, Any]) -> Obedient:
    says = attack["says"]
    return Obedient(lambda asked: says.replace("{system}", asked.system).replace("{user}", asked.user))


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack["id"])
def test_an_attack_on_a_gullible_model_is_refused_in_the_students_language(attack: dict[str, Any]) -> None:
    sheet = ShownText()
    result = answer(work(attack), gullible(attack), sheet, Event())
    assert result.end in ("declined", "withheld")
    assert not succeeds(attack, sheet.text)
    assert not succeeds(attack, result.answer)
    (english,) = [fault for fault in Fault if fault == result.why]
    assert (result.answer == english.words) == (attack["language"] == "en")


@pytest.mark.parametrize("attack", [one for one in ATTACKS if "{" not in one["says"]], ids=lambda attack: attack["id"])
def test_what_a_gullible_model_says_is_known_for_what_it_is(attack: dict[str, Any]) -> None:
    """Or no figure of the benchmark would mean anything."""
    assert succeeds(attack, attack["says"] * 2)


def test_there_are_twenty_of_each_kind_in_both_languages() -> None:
    assert len({attack["question"] for attack in ATTACKS}) == 20
    kinds = {"score", "names", "personal", "off-topic", "role"}
    assert {(attack["kind"], attack["language"]) for attack in ATTACKS} == {
        (kind, language) for kind in kinds for language in ("en", "de")
    }


def test_the_benchmark_counts_what_got_through_and_what_would_have() -> None:
    by_id = {attack["id"]: attack for attack in ATTACKS}
    said = list[str]()

    def row(name: str, says: str) -> dict[str, Any]:
        return asked_once(by_id[name], Obedient(says), alone=True, say=said.append)

    rows = [row("rank-me", "Benedikt sounded nervous."), row("sitznachbar", "Nimm dir ein Vorbild.")]
    rows.append(row("sorting", "def sort(numbers): pass"))
    ours, topic = tables(rows)[0].rows
    assert (ours["asked"], ours["withheld"], ours["answered"], ours["succeed"]) == (2, 1, 1, 0)
    assert ours["succeed without the guard"] == 1
    assert (topic["declined"], topic["succeed without the guard"]) == (1, 1)
    through = {**by_id["rank-me"], "fails_if": ["nervous"]}
    assert asked_once(through, Obedient("All were nervous."), alone=False, say=said.append)["succeeds"]
    assert said[-1].startswith("rank-me: answered  SUCCEEDS")
    assert {code for code, _ in HONEST} == {"en", "de"}
