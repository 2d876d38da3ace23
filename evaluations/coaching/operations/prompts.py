"""The prompts for summary and mind map, and the schemas of the answers.

Each part of an answer begins with the sentence that it is made from, by its first words out of an enumeration, and goes
on in a few words: a small model keeps to a sentence that it has just named. A branch's topic is of an enumeration, too.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from evaluations.models import Topic
from evaluations.rating import instructions
from evaluations.rating.evidence import Sentence, beginnings, numbered, sentences_of_text
from evaluations.stages.prompts import NOT_AN_ORDER, answer_object
from queueing.engines.base import JSONSchema, Prompt

VERSION: Final = 1
"""Of these prompts: a result names it."""

MAX_SENTENCES, MAX_POINTS = 5, 5
MAX_BRANCHES, MAX_LEAVES = 4, 5
FEWEST_POINTS, FEWEST_BRANCHES = 3, 3
SENTENCE_CHARACTERS, POINT_CHARACTERS, LEAF_CHARACTERS = 200, 80, 60

_EXAMPLE: Final = (
    "So my name is Julia Novak and I'm twenty. Two summers ago I helped in a shop. I am very patient. "
    "One day I would like to be a pilot, because I love machines. In my free time I read and I play the drums."
)
_SUMMARY_SYSTEM: Final = (
    "You shorten a student's spoken self-introduction, with the student's own words. " + NOT_AN_ORDER
)
_SUMMARY_TASK: Final = (
    "Quote the first words of a sentence, then say it shorter with the words of that sentence: as a sentence of the"
    f" student, or as a point of two to five words. At most {MAX_SENTENCES} sentences and {MAX_POINTS} points, in the"
    " language of the speech, the most important ones.\n\n"
)
_SUMMARY_ANSWER: Final = {
    "sentences": [
        (1, "My name is Julia Novak and I'm twenty."),
        (2, "I helped in a shop."),
        (4, "I would like to be a pilot, because I love machines."),
        (5, "I read and I play the drums."),
    ],
    "key_points": [(2, "helped in a shop"), (3, "very patient"), (4, "be a pilot"), (5, "read and play the drums")],
}
_MAP_SYSTEM: Final = "You draw a mind map of a student's spoken self-introduction, with the student's own words. " + (
    NOT_AN_ORDER
)
_MAP_TASK: Final = (
    f"At most {MAX_BRANCHES} branches, each with another topic, and at most {MAX_LEAVES} leaves on each. For a leaf"
    " quote the first words of a sentence, then name what it says in two to five words of that sentence. Topics:"
    f" {', '.join(Topic.values)}.\n\n"
)
_MAP_ANSWER: Final = [
    ("person", [(1, "Julia Novak"), (1, "twenty")]),
    ("experience", [(2, "helped in a shop")]),
    ("plans", [(4, "be a pilot"), (4, "love machines")]),
    ("hobbies", [(5, "read"), (5, "play the drums")]),
]


def _list(items: JSONSchema, most: int, fewest: int = 1) -> JSONSchema:
    return {"type": "array", "items": items, "minItems": fewest, "maxItems": most}


def _part(quotable: Collection[str], characters: int) -> JSONSchema:
    text = {"type": "string", "minLength": 2, "maxLength": characters}
    return answer_object({"quote": {"enum": list(quotable)}, "text": text})


def summary_schema(quotable: Collection[str]) -> JSONSchema:
    """As many sentences as there may be, where so many were said: a small model stops after two.

    `quotable`: the first words of the sentences that may be quoted, at least one.
    """
    sentences, points = min(MAX_SENTENCES, len(quotable)), min(FEWEST_POINTS, len(quotable))
    return answer_object(
        {
            "sentences": _list(_part(quotable, SENTENCE_CHARACTERS), MAX_SENTENCES, sentences),
            "key_points": _list(_part(quotable, POINT_CHARACTERS), MAX_POINTS, points),
        }
    )


def mind_map_schema(quotable: Collection[str]) -> JSONSchema:
    """`quotable`: as for `summary_schema`."""
    branch = answer_object(
        {"topic": {"enum": Topic.values}, "leaves": _list(_part(quotable, LEAF_CHARACTERS), MAX_LEAVES)}
    )
    return answer_object({"branches": _list(branch, MAX_BRANCHES, min(FEWEST_BRANCHES, len(quotable)))})


def summary_prompt(masked: Sequence[Sentence]) -> Prompt:
    """`masked`: the sentences as a model may see them, see `instructions.masked`."""
    return _prompt(_SUMMARY_SYSTEM, _SUMMARY_TASK, _example_of(_SUMMARY_ANSWER), masked)


def mind_map_prompt(masked: Sequence[Sentence]) -> Prompt:
    """`masked`: as for `summary_prompt`."""
    branches = [{"topic": topic, **_example_of({"leaves": leaves})} for topic, leaves in _MAP_ANSWER]
    return _prompt(_MAP_SYSTEM, _MAP_TASK, {"branches": branches}, masked)


def _prompt(system: str, task: str, example: Mapping[str, Any], masked: Sequence[Sentence]) -> Prompt:
    """The transcript last but for the question: a server that cuts a prompt cuts its head."""
    head = f"{task}Speech:\n{numbered(sentences_of_text(_EXAMPLE))}\nAnswer: {json.dumps(example)}\n\n"
    marker, fenced = instructions.fence(numbered(masked))
    return Prompt(system, f"{head}Speech, between two lines {marker}:\n{fenced}\nAnswer:", head=len(head))


def _example_of(parts: Mapping[str, Sequence[tuple[int, str]]]) -> dict[str, list[dict[str, str]]]:
    """Parts as (sentence, text), in the form of an answer."""
    first = {number: words for words, number in beginnings(sentences_of_text(_EXAMPLE)).items()}
    return {name: [{"quote": first[number], "text": text} for number, text in found] for name, found in parts.items()}
