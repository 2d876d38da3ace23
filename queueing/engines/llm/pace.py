"""How slowly an answer may come: until its first token, and from then on."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from queueing.engines.base import LanguageOptions
from queueing.exceptions import Infrastructure

CHARACTERS_PER_TOKEN = 4  # where a server sends several tokens in one piece; a guess on the side of the server


class AnswerPace:
    """The limit of one answer, moved on by every piece of it.

    Waiting for a free slot ends with the first token, so only `first_token_seconds` bounds it. From then on the last n
    tokens must be younger than the window, n being what the least rate makes of it.
    """

    def __init__(self, options: LanguageOptions) -> None:
        self._options = options
        self._window = options.rate_window_seconds
        self._tokens = math.ceil(options.least_tokens_per_second * self._window)
        self._times: deque[float] = deque(maxlen=max(1, self._tokens))
        self._limit = asyncio.timeout(options.first_token_seconds)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[AnswerPace]:
        """What is done inside is ended when it falls behind.

        Raises:
            Infrastructure: the answer did not begin in time, or came too slowly.
        """
        try:
            async with self._limit:
                yield self
        except TimeoutError:
            # Of the same weight as a whole deadline without an answer: such a server hangs (policy/breaker.py).
            raise Infrastructure(self._late(), code="too_slow") from None

    def came(self, piece: str) -> None:
        """A piece of the answer is here; an empty one doesn't count."""
        if not piece or self._limit.expired():
            return
        now = asyncio.get_running_loop().time()
        count = math.ceil(len(piece) / CHARACTERS_PER_TOKEN) if self._times else self._times.maxlen or 1
        self._times.extend([now] * count)
        self._limit.reschedule(self._times[0] + self._window if self._tokens else None)

    def _late(self) -> str:
        options = self._options
        if not self._times:
            return f"The language model server took a question, but no token came in {options.first_token_seconds:g} s."
        since = asyncio.get_running_loop().time() - self._window
        recent = sum(time > since for time in self._times)
        return (
            f"The language model server gave only some {recent} tokens within {self._window:g} s, "
            f"fewer than {options.least_tokens_per_second:g} a second."
        )
