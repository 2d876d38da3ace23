"""What makes an answer good, and how it is requested once more when it isn't."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from queueing.engines.base import LanguageOptions, Prompt
from queueing.engines.llm.answers import (
    CutAnswerError,
    CutPromptError,
    InvalidAnswerError,
    UnusableAnswerError,
    most_tokens,
)
from queueing.engines.llm.canary import FIELD, TOKENS, Canary
from queueing.engines.llm.request import ModelRequest, Question, Reply
from queueing.engines.llm.simulated import example

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": ["string", "null"], "maxLength": 40},
        "level": {"enum": ["weak", "fair", "good"]},
        "score": {"type": "integer", "minimum": 1, "maximum": 10},
        "evidence": {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 1, "maxItems": 3, "uniqueItems": True},
    },
    "required": ["name", "level", "score", "evidence"],
    "additionalProperties": False,
}
PROMPT = Prompt("You rate.", "I am Ann.", head=4)
QUESTION = Question(PROMPT, SCHEMA, LanguageOptions(max_tokens=200), Canary(PROMPT))


def good(seed: object = 1) -> dict[str, Any]:
    return example(SCHEMA, str(seed))


def reply(text: str, finish: str = "stop", prompt_tokens: int = 0) -> Reply:
    return Reply(text, finish, prompt_tokens, 50)


def seen(value: dict[str, Any], question: Question = QUESTION) -> str:
    assert question.canary
    return json.dumps({FIELD: question.canary.code, **value})


def test_a_good_answer_is_the_callers_value_without_the_code() -> None:
    assert QUESTION.value(reply(seen(good()))) == good()


def test_a_thousand_truncated_bodies_are_valid_or_refused() -> None:
    """F49: cut anywhere, called whole or not: none is completed, none is believed."""
    chance = random.Random(49)
    outcomes = {"refused": 0, "whole": 0}
    for number in range(1000):
        whole = seen(good(number))
        text = whole[: chance.randint(0, len(whole))]
        try:
            value = QUESTION.value(reply(text, chance.choice(["stop", "stop", "length"])))
        except UnusableAnswerError:
            outcomes["refused"] += 1
        else:
            outcomes["whole"] += 1
            assert (text, value) == (whole, good(number))
    assert outcomes["refused"] > 900
    assert outcomes["whole"] > 0


def test_an_answer_that_ended_at_its_limit_is_refused_even_if_it_is_valid() -> None:
    """F49."""
    with pytest.raises(CutAnswerError, match="50 tokens"):
        QUESTION.value(reply(seen(good()), "length"))


def test_the_callers_schema_is_what_is_validated() -> None:
    with pytest.raises(InvalidAnswerError, match="score"):
        QUESTION.value(reply(seen(good() | {"score": 11})))
    with pytest.raises(InvalidAnswerError, match="charm"):
        QUESTION.value(reply(seen(good() | {"charm": 9})))
    closed = Question(QUESTION.prompt, SCHEMA, QUESTION.options, None)
    assert closed.value(reply(json.dumps(good()))) == good()
    with pytest.raises(InvalidAnswerError, match=FIELD):
        closed.value(reply(seen(good())))


def test_a_count_below_nine_tenths_of_the_fewest_tokens_is_a_cut_prompt() -> None:
    """F52."""
    request = ModelRequest(Prompt("", "word " * 100), LanguageOptions())
    request.must_be_seen_whole(reply("", prompt_tokens=90))
    request.must_be_seen_whole(reply("", prompt_tokens=0))
    with pytest.raises(CutPromptError, match="89 tokens of a prompt of at least 100"):
        request.must_be_seen_whole(reply("", prompt_tokens=89))


def test_a_prompt_with_a_code_at_its_head_has_no_head_that_is_always_the_same() -> None:
    assert QUESTION.request().prompt.head == 0


def test_the_answer_has_room_for_the_code() -> None:
    assert QUESTION.request().options.max_tokens == 200 + TOKENS
    assert Question(QUESTION.prompt, SCHEMA, QUESTION.options, None).request().options.max_tokens == 200


def again(fault: UnusableAnswerError, *, context: int = 4096, prompt_tokens: int = 60) -> Question | None:
    return QUESTION.again(fault, reply("", prompt_tokens=prompt_tokens), context_tokens=context)


@pytest.mark.parametrize(
    ("context", "limit"), [(4096, 400), (60 + 200 + TOKENS + 30, 230), (60 + 200 + TOKENS, None), (100, None)]
)
def test_a_cut_answer_gets_more_room_as_far_as_the_context_allows(context: int, limit: int | None) -> None:
    """F49: twice the room at most; with none left there is no second request."""
    longer = again(CutAnswerError("cut"), context=context)
    assert (longer and longer.options.max_tokens) == limit


def test_where_the_server_does_not_count_the_upper_bound_does() -> None:
    context = most_tokens(QUESTION.request().prompt) + 200 + TOKENS
    assert again(CutAnswerError("cut"), context=context, prompt_tokens=0) is None
    assert again(CutAnswerError("cut"), context=context + 10, prompt_tokens=0) is not None


def test_an_invalid_answer_is_asked_for_again_with_its_fault() -> None:
    corrected = again(InvalidAnswerError("$.score: 11"))
    assert corrected is not None
    assert corrected.prompt.user.startswith("I am Ann.")
    assert "$.score: 11" in corrected.prompt.user
    assert corrected.prompt.head == 4
    assert again(InvalidAnswerError("$.score: 11"), context=360) is None


def test_each_request_has_a_code_of_its_own_and_none_is_given_away() -> None:
    for fault in (CutAnswerError("cut"), InvalidAnswerError("bad"), CutPromptError("no code")):
        fresh = again(fault)
        assert fresh is not None
        assert QUESTION.canary is not None
        assert fresh.canary == QUESTION.canary.next()
        assert fresh == again(fault)
        assert QUESTION.canary.code not in fresh.request().prompt.system + fresh.request().prompt.user
