"""From the probabilities of tokens to those of booleans, however the tokens were cut."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueing.engines.booleans import LEAST, MOST_LOST, Token, places, probabilities, reported

ANSWER = (
    '{"items": {"name": {"why": "true, \\"false\\": true", "answer": true}, "future": {"answer":false}}, '
    '"ok": [true, [false]]}'
)
PATHS = {"items.name.answer": True, "items.future.answer": False, "ok.0": True, "ok.1.0": False}


def token(text: str | bytes, probability: float = 1.0, **others: float) -> Token:
    """Its alternatives are given by name; `_` in a name is a blank."""
    alternatives = {name.replace("_", " ").encode(): math.log(chance) for name, chance in others.items()}
    return Token(text if isinstance(text, bytes) else text.encode(), math.log(probability), alternatives)


def only(*tokens: Token) -> float:
    """P(true) of the one boolean of the answer that the tokens make."""
    text = b"".join(one.text for one in tokens).decode()
    (found,) = probabilities(text, tokens).values()
    return found


def test_every_boolean_is_found_by_its_path() -> None:
    assert {place.path: place.value for place in places(ANSWER)} == PATHS
    for place in places(ANSWER):
        assert ANSWER.startswith("true" if place.value else "false", place.start)


@pytest.mark.parametrize(
    "text", ['{"a": "true", "true": 1, "b": "\\\\", "c": "\\"true"}', "{}", '{"a": [1.5, null, ""]}']
)
def test_words_in_strings_and_keys_are_no_booleans(text: str) -> None:
    assert json.loads(text) is not None
    assert list(places(text)) == []


@given(
    st.recursive(
        st.booleans() | st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
        max_leaves=12,
    ),
    st.booleans(),
    st.sampled_from([None, 1]),
)
def test_the_booleans_of_any_json_are_those_that_a_parser_finds(
    value: Any, ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps({"root": value}, ensure_ascii=ascii_only, indent=indent)
    assert [(place.path, place.value) for place in places(text)] == list(leaves({"root": value}, []))


def leaves(value: Any, path: list[Any]) -> Any:
    if isinstance(value, bool):
        yield ".".join(map(str, path)), value
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, [*path, key])


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 7, 11, 200])
def test_tokens_of_any_length_are_read(cut: int) -> None:
    """Cut every so many characters: the boolean begins anywhere in its token, or reaches beyond it."""
    bounds = [*range(0, len(ANSWER), cut), len(ANSWER)]
    tokens = [token(ANSWER[a:b]) for a, b in pairwise(bounds)]
    found = probabilities(ANSWER, tokens)
    assert {path: chance > 0.5 for path, chance in found.items()} == PATHS
    assert [min(chance, 1 - chance) for chance in found.values()] == pytest.approx([LEAST] * len(PATHS), rel=1e-3)


def test_the_two_words_are_weighed_against_each_other_only() -> None:
    before, after = token('{"a":'), token("}")
    assert only(before, token(" true", 0.3, _false=0.1, null=0.5, The=0.1), after) == pytest.approx(0.75)
    assert only(before, token("false", 0.6, true=0.2, _true=0.1, TRUE=0.1), after) == pytest.approx(1 / 3)


def test_spellings_of_one_word_add_up() -> None:
    found = only(token('{"a":'), token("t", 0.1, true=0.3, _tr=0.1, f=0.2, fal=0.1, _=0.1), token("rue"), token("}"))
    assert found == pytest.approx(0.5 / 0.8)


def test_what_the_list_does_not_hold_has_no_chance_but_no_certainty_either() -> None:
    assert only(token('{"a": '), token("true", 0.4, yes=0.6), token("}")) == 1 - LEAST
    assert only(token('{"a": '), token("false", 1e-9), token("}")) == pytest.approx(LEAST)
    assert only(token('{"a": '), Token(b"true", -2000.0, {b"false": -2000.0}), token("}")) == pytest.approx(0.5)


def test_a_boolean_inside_a_larger_token_is_compared_with_what_follows_the_same_beginning() -> None:
    large = Token(
        b'": true,', math.log(0.6), {b'": false,': math.log(0.2), b'":': math.log(0.1), b"true": math.log(0.1)}
    )
    assert only(token('{"a'), large, token(' "b": 1}')) == pytest.approx(0.75)


def test_a_longer_word_is_no_boolean() -> None:
    assert only(token('{"a": '), token("true", 0.5, falsehood=0.4, truey=0.1), token("}")) == 1 - LEAST


def test_tokens_that_the_server_left_out_or_added_do_not_shift_the_others() -> None:
    text = '{"why": "é 漢字🙂 true", "a": true, "b": false}'
    halves = [token('{"why": "'), token(b"\xa9"), token(" "), token(b"\x97"), token(" true"), token('", "a": ')]
    tokens = [*halves, token("true", 0.7, false=0.3), token(', "b": '), token("false", 0.9, true=0.1)]
    found = probabilities(text, [token("\n"), *tokens, token("}"), token("<|im_end|>"), token("")])
    assert found == {"a": pytest.approx(0.7), "b": pytest.approx(0.1)}


def test_a_boolean_whose_token_is_missing_has_no_probability() -> None:
    assert probabilities('{"a": true, "b": false}', [token('{"a": '), token(', "b": '), token("false")]).keys() == {"b"}
    assert probabilities('{"a": true}', []) == {}
    far = "x" * (MOST_LOST + 10)
    assert probabilities(f'{{"why": "{far}", "a": true}}', [token('{"why": "'), token("true")]) == {}


def entry(text: str, logprob: Any = -0.1, **more: Any) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, **more}


def test_a_servers_list_is_read_with_and_without_bytes() -> None:
    listed = [
        entry("é", bytes=[0xC3, 0xA9], top_logprobs=[entry("é", bytes=None), entry("e", -2)]),
        entry("\ufffd", bytes=[0xA9], top_logprobs=[]),
    ]
    assert reported(listed) == (
        Token("é".encode(), -0.1, {"é".encode(): -0.1, b"e": -2}),
        Token(b"\xa9", -0.1, {}),
    )


@pytest.mark.parametrize(
    "listed",
    [
        None,
        "none",
        {},
        [None],
        [entry("a")],
        [entry("a", None, top_logprobs=[])],
        [entry("a", math.nan, top_logprobs=[])],
        [entry("a", -math.inf, top_logprobs=[])],
        [{"token": 1, "top_logprobs": []}],
    ],
)
def test_a_list_of_another_form_is_none(listed: Any) -> None:
    assert reported(listed) == ()


def test_alternatives_without_a_number_are_left_out() -> None:
    (found,) = reported([entry("a", bytes=["x"], top_logprobs=[entry("b", None), entry("c", -math.inf), 7])])
    assert found == Token(b"a", -0.1, {})
