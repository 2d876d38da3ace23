"""A prompt that was cut without a word: every answer to it is found out, and none of ours is suspected."""

from __future__ import annotations

import json
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueing.engines.base import LanguageOptions, Prompt
from queueing.engines.llm.answers import fewest_tokens, most_tokens
from queueing.engines.llm.canary import FIELD, Canary
from queueing.engines.llm.ollama import Ollama
from queueing.engines.llm.openai_compatible import OpenAICompatible
from queueing.exceptions import Permanent, Transient
from tests.doubles import acts, ollama, words
from tests.doubles.acts import saying
from tests.doubles.ollama import FakeOllama
from tests.queueing.engines.llm.servers import FakeOpenAI, serving

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
OPTIONS = LanguageOptions(max_tokens=100, deadline_seconds=20)
LONG = Prompt("You fill in forms. " + "Here is how. " * 40, "I am Ann. " + "I like chess. " * 40)


@pytest.fixture
def silent() -> Iterator[FakeOllama]:
    """A server that has less room than configured, cuts what is too long, and doesn't report what it read."""
    with ollama.serving(FakeOllama()) as fake:
        fake.cuts_silently, fake.prompt_counted = True, False
        yield fake


def ask(url: str, prompt: Prompt = LONG) -> dict[str, Any]:
    engine = Ollama(url, "tiny:latest", slots=1, context_tokens=4096)
    return engine.generate(prompt, SCHEMA, OPTIONS, stop=Event()).value


def code_of(url: str, prompt: Prompt = LONG) -> str:
    with pytest.raises(Transient) as caught:
        ask(url, prompt)
    return caught.value.code


def whole(prompt: Prompt) -> int:
    """The fake's tokens of what it is sent."""
    sent = Canary(prompt).ahead_of(prompt)
    return words.count(words.render([{"role": role, "content": getattr(sent, role)} for role in ("system", "user")]))


@pytest.mark.parametrize("missing", [20, 21, 40, 100, 200, 250])
def test_an_answer_to_a_prompt_without_its_beginning_is_thrown_away(silent: FakeOllama, missing: int) -> None:
    """F52, S27: all of them, even one that lost the code and not much more."""
    silent.real_context = whole(LONG) - missing
    assert code_of(silent.url) == "prompt_cut"
    assert len(silent.questions) == 2


def test_a_prompt_that_just_fits_is_answered(silent: FakeOllama) -> None:
    """F52: and the field for the code is removed from the answer."""
    silent.real_context = whole(LONG)
    assert ask(silent.url) == {"name": "simulated name"}
    assert len(silent.questions) == 1


def test_every_cut_is_noticed(silent: FakeOllama) -> None:
    """F52: 100 % of them, from one token too many on."""
    for missing in range(1, 40):
        silent.real_context = whole(LONG) - missing
        assert noticed(silent.url)


def noticed(url: str) -> bool:
    try:
        ask(url)
    except Transient:
        return True
    return False


def test_a_server_that_counts_too_few_tokens_is_found_out_by_its_count() -> None:
    """F52: even where the answer repeats the code."""
    with serving(FakeOpenAI()) as server:
        engine = OpenAICompatible(server.url, server.model, slots=1, context_tokens=4096)
        server.prompt_tokens = int(0.8 * fewest_tokens(LONG))
        with pytest.raises(Transient) as caught:
            engine.generate(LONG, SCHEMA, OPTIONS, stop=Event())
        assert caught.value.code == "prompt_cut"
        with pytest.raises(Transient) as written:
            engine.write(LONG, OPTIONS, on_text=lambda _: None, stop=Event())
        assert written.value.code == "prompt_cut"
        server.prompt_tokens = 0  # it doesn't report it
        assert engine.generate(LONG, SCHEMA, OPTIONS, stop=Event()).asks == 1


def test_a_server_that_says_so_is_believed(silent: FakeOllama) -> None:
    """F52: with `truncate: false`, an Ollama that knows it refuses."""
    silent.cuts_silently, silent.real_context = False, 100
    with pytest.raises(Permanent) as caught:
        ask(silent.url)
    assert caught.value.code == "too_long_for_model"


@pytest.mark.parametrize(
    "echo", ["", "AAAAAA", "null", "the code", "CODE CODE"[:2]], ids=["empty", "wrong", "null", "words", "half"]
)
def test_a_wrong_echo_counts_as_the_one_bad_answer(echo: str) -> None:
    """F52: requested once more, with a new code, and without mention of the last one."""
    bad = saying(f'{{"{FIELD}": "{echo}", "name": "Ann"}}')
    with ollama.serving(FakeOllama(script=[bad, acts.right])) as fake:
        assert ask(fake.url, Prompt("Be brief.", "Hello.")) == {"name": "simulated name"}
        first, second = (question["messages"] for question in fake.questions)
    assert first[1] == second[1]
    assert first[0] != second[0]
    with ollama.serving(FakeOllama(script=[bad, bad])) as fake:
        assert code_of(fake.url) == "prompt_cut"
        assert len(fake.questions) == 2


def test_an_answer_without_the_field_is_thrown_away() -> None:
    """F52."""
    bad = saying('{"name": "Ann"}')
    with ollama.serving(FakeOllama(script=[bad, bad])) as fake:
        assert code_of(fake.url) == "prompt_cut"


@pytest.mark.parametrize("echo", ["{}", "Code: {}", '"{}".'])
def test_a_code_with_something_around_it_was_seen(echo: str) -> None:
    canary = Canary(LONG)
    assert canary.echoed_by(echo.format(canary.code.lower()))
    assert not canary.echoed_by(echo.format(canary.next().code))


def test_the_field_is_free_text_that_no_grammar_can_fill_in() -> None:
    """F52: with an enum, a constant or a pattern the model needn't have seen anything."""
    schema = Canary(LONG).asked_for_in(SCHEMA)
    assert schema["properties"][FIELD].keys() == {"type", "maxLength"}
    assert next(iter(schema["properties"])) == schema["required"][0] == FIELD
    assert FIELD not in SCHEMA["properties"]


def test_the_code_is_at_the_head_of_whatever_comes_first() -> None:
    canary = Canary(LONG)
    with_system, without = canary.ahead_of(Prompt("Be brief.", "Hi.")), canary.ahead_of(Prompt("", "Hi."))
    assert canary.code in with_system.system
    assert with_system.system.endswith("Be brief.")
    assert with_system.user == "Hi."
    assert canary.code in without.user
    assert without.system == ""


def test_the_code_is_computed_from_the_prompt_and_the_number_of_the_try() -> None:
    """The same question is the same request, byte for byte, in every process."""
    assert Canary(Prompt("Be brief.", "Hi.")).code == "4JKLC3"
    prompts = [Prompt("Be", "brief"), Prompt("Be brief", ""), Prompt("", "Be brief"), Prompt("Beb", "rief")]
    tries = [canary for prompt in prompts for canary in (Canary(prompt), Canary(prompt).next(), Canary(prompt, 3))]
    assert len({canary.code for canary in tries}) == len(tries)
    assert Canary(LONG).next().next() == Canary(LONG, 3)
    assert Canary(Prompt("", "half a pair \ud800")).code


def test_the_same_question_is_the_same_request_byte_for_byte() -> None:
    bad = saying(f'{{"{FIELD}": "", "name": "Ann"}}')
    with ollama.serving(FakeOllama(script=[bad, acts.right, bad, acts.right])) as fake:
        assert ask(fake.url) == ask(fake.url)
        first, again, second, second_again = (json.dumps(question) for question in fake.questions)
    assert (first, again) == (second, second_again)
    assert first != again


@given(st.text(max_size=300), st.text(max_size=300))
def test_the_fewest_tokens_are_never_more_than_the_most_nor_than_there_are_words(system: str, user: str) -> None:
    prompt = Prompt(system, user)
    assert fewest_tokens(prompt) <= most_tokens(prompt)
    assert fewest_tokens(prompt) <= len(system) + len(user)


def test_the_fewest_tokens_of_english_are_its_words() -> None:
    assert fewest_tokens(Prompt("One two.", "Three\nfour, five!")) == 5
