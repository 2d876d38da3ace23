"""Strictness: what is not exactly one valid JSON object is refused, and nothing is repaired."""

from __future__ import annotations

import json
import math
import random
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queueing.engines.base import LanguageOptions, Prompt
from queueing.engines.llm.answers import GrowingAnswer, InvalidAnswerError, check, correction, most_tokens
from queueing.exceptions import Transient

SCHEMA = {
    "type": "object",
    "properties": {
        "level": {"enum": ["weak", "good"]},
        "score": {"type": "integer", "minimum": 1, "maximum": 10},
        "note": {"type": ["string", "null"], "maxLength": 20},
    },
    "required": ["level", "score", "note"],
    "additionalProperties": False,
}
VALID = {"level": "good", "score": 7, "note": "clear"}


def test_a_valid_answer_comes_back_as_it_is() -> None:
    assert check(json.dumps(VALID), SCHEMA) == VALID


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param('{"level": "good", "score": 7, "note": "cl', id="cut off"),
        pytest.param("Sure! " + json.dumps(VALID), id="prose before"),
        pytest.param(json.dumps(VALID) + " I hope this helps.", id="prose after"),
        pytest.param(f"```json\n{json.dumps(VALID)}", id="a fence that does not end"),
        pytest.param(json.dumps([VALID]), id="a list"),
        pytest.param('{"level": "good", "level": "weak", "score": 7, "note": null}', id="a key twice"),
        pytest.param('{"level": "good", "score": NaN, "note": null}', id="NaN"),
        pytest.param('{"level": "good", "score": 1e999, "note": null}', id="infinite"),
        pytest.param(json.dumps(VALID | {"score": 11}), id="11 of 10"),
        pytest.param(json.dumps(VALID | {"score": 0}), id="0 of 10"),
        pytest.param('{"level": "good", "score": 7.0, "note": null}', id="a float for an integer"),
        pytest.param(json.dumps(VALID | {"score": True}), id="a truth for an integer"),
        pytest.param(json.dumps(VALID | {"score": "7"}), id="a string for an integer"),
        pytest.param(json.dumps(VALID | {"level": "superb"}), id="an invented level"),
        pytest.param(json.dumps(VALID | {"charm": 9}), id="an invented criterion"),
        pytest.param(json.dumps({"level": "good", "score": 7}), id="a key missing"),
        pytest.param(json.dumps(VALID | {"note": "x" * 21}), id="too long"),
        pytest.param(json.dumps(VALID | {"note": "a\0b"}), id="NUL"),
        pytest.param('{"level": "good", "score": 7, "note": "\\ud800"}', id="half a surrogate pair"),
        pytest.param("[" * 100_000, id="nested without end"),
        pytest.param('{"score": ' + "9" * 10_000 + "}", id="a number without end"),
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidAnswerError):
        check(text, SCHEMA)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def mangled(text: str, at: int, more: str) -> str:
    """Something put in, or a character taken out."""
    at %= len(text)
    return text[:at] + more + text[at + (not more) :]


near = st.fixed_dictionaries(
    {"level": st.sampled_from(["weak", "good", "superb", None]), "score": st.integers(-1, 12) | st.floats()},
    optional={"note": st.none() | st.text(max_size=25), "more": st.integers()},
)
far = st.dictionaries(st.sampled_from(["level", "score", "note", "more"]), json_values)


answers = (near | far).map(json.dumps)
hostile = st.builds(mangled, answers, st.integers(0), st.sampled_from(["", " ", "}", "NaN", '"', "```", "7"])) | answers


def accepted_only_if_valid(text: str) -> None:
    """Nothing is found in the middle of prose, closed, or clamped."""
    try:
        accepted = check(text, SCHEMA)
    except InvalidAnswerError:
        return
    assert json.loads(text) == accepted
    assert accepted.keys() == {"level", "score", "note"}
    assert accepted["level"] in ("weak", "good")
    assert type(accepted["score"]) is int
    assert 1 <= accepted["score"] <= 10
    assert accepted["note"] is None or len(accepted["note"]) <= 20


@settings(max_examples=300, deadline=None)
@given(hostile)
def test_whatever_is_accepted_is_valid(text: str) -> None:
    """F51."""
    accepted_only_if_valid(text)


def test_none_of_5000_hostile_answers_is_accepted_though_invalid() -> None:
    """F51: by a generator of our own, since Hypothesis takes half a minute for as many."""
    chance = random.Random(51)
    for _ in range(5000):
        accepted_only_if_valid(anything(chance))


def anything(chance: random.Random) -> str:
    """A good answer with wrong values, keys too few, too many or twice, prose around it, or a slip of the pen."""
    fields = [
        ("level", chance.choice(["weak", "good", "superb", None, 3, ["good"]])),
        ("score", chance.choice([*range(-1, 13), 7.0, 7.5, True, "7", None, math.nan, math.inf])),
        ("note", chance.choice([None, "clear", "x" * 21, "a\0b", {}, 1])),
        *chance.choices([("more", 1), ("score", 3), ("level", "weak")], k=chance.choice([0, 0, 0, 1])),
    ]
    chance.shuffle(fields)
    kept = fields[chance.choice([0, 0, 0, 1]) :]
    text = "{" + ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in kept) + "}"
    match chance.randrange(4):
        case 0:
            before, after = chance.choice(["Sure! ", "```json\n", "[", ""]), chance.choice([" Bye.", "```", "]", "\n"])
            return before + text + after
        case 1:
            return mangled(text, chance.randrange(1000), chance.choice(["", " ", "}", "NaN", '"', "1"]))
    return text


@given(st.text(max_size=200))
def test_any_text_is_either_an_object_or_refused(text: str) -> None:
    with suppress(InvalidAnswerError):
        assert isinstance(check(text, {}), dict)


def test_the_correction_says_what_was_wrong() -> None:
    with pytest.raises(InvalidAnswerError) as caught:
        check(json.dumps(VALID | {"score": 11}), SCHEMA)
    again = correction(caught.value)
    assert "$.score" in again
    assert "11" in again


def test_256_blanks_in_a_row_pass_and_the_257th_stops_the_answer() -> None:
    answer = GrowingAnswer(LanguageOptions())
    for _ in range(256):
        answer.add(" ")
    with pytest.raises(Transient) as caught:
        answer.add("\n")
    assert caught.value.code == "invalid_answer"


def test_blanks_are_counted_within_a_piece_and_across_pieces() -> None:
    for before, piece in (("", "a" + " " * 257 + "b"), ("a" + " " * 200, " " * 57 + "b")):
        answer = GrowingAnswer(LanguageOptions())
        answer.add(before)
        with pytest.raises(Transient):
            answer.add(piece)


def test_no_answer_is_longer_than_65536_characters() -> None:
    answer = GrowingAnswer(LanguageOptions(max_tokens=100_000))
    for _ in range(64):
        answer.add("word" * 256)
    assert len(answer.text) == 65_536
    with pytest.raises(Transient) as caught:
        answer.add("!")
    assert caught.value.code == "answer_cut"


def test_blanks_between_words_do_not_add_up() -> None:
    answer = GrowingAnswer(LanguageOptions())
    for _ in range(100):
        answer.add("word" + " " * 10)
    assert len(answer.text) == 1400


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        pytest.param("I am happy to introduce myself to all of you today. " * 20, 240, id="English"),
        pytest.param("3.14159 2.71828 " * 10, 160, id="digits"),
        pytest.param("我叫李明，我今年十九岁。" * 10, 120, id="Chinese"),
    ],
)
def test_the_bound_is_above_what_a_tokenizer_counts(text: str, tokens: int) -> None:
    assert most_tokens(Prompt("", text)) >= tokens


def test_the_bound_leaves_room_for_five_minutes_of_english() -> None:
    speech = "I am happy to introduce myself to all of you today. " * 68  # 750 words
    assert most_tokens(Prompt("", speech)) < 4096 - 700
