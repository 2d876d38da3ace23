"""A server of either protocol that follows its script, and the engine that calls it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from queueing.engines.llm.ollama import Ollama
from queueing.engines.llm.openai_compatible import OpenAICompatible
from queueing.engines.llm.served import ServedModel
from tests.doubles import ollama
from tests.doubles.acts import Act
from tests.doubles.ollama import FakeOllama
from tests.queueing.engines.llm import servers
from tests.queueing.engines.llm.servers import FakeOpenAI

Fake = FakeOpenAI | FakeOllama
Start = Callable[..., tuple[Fake, ServedModel]]


@pytest.fixture(params=["openai", "ollama"])
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Start a server of one protocol with a script, and the engine that speaks to it, two calls at once."""
    with ExitStack() as stack:

        def go(*script: Act) -> tuple[Fake, ServedModel]:
            if request.param == "openai":
                openai = stack.enter_context(servers.serving(FakeOpenAI(list(script))))
                return openai, OpenAICompatible(openai.url, openai.model, slots=2, context_tokens=4096)
            fake = stack.enter_context(ollama.serving(FakeOllama(script=list(script))))
            fake.runners.parallel = 2
            return fake, Ollama(fake.url, fake.model, slots=2, context_tokens=4096)

        yield go
