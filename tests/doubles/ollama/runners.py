"""Which models the fake holds in memory, for how long, and who waits for what: Ollama's scheduler."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.doubles.card import GIB, FakeCard

DEFAULT_CONTEXT = 4096
FOR_EVER = timedelta(microseconds=(1 << 63) / 1000)  # Go's longest duration: some 292 years
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)")


class Refused(Exception):
    """A status and Ollama's words for it."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


@dataclass(frozen=True, slots=True)
class RunnerModel:
    """What is installed."""

    name: str
    weights: int = 4 * GIB
    layers: int = 32
    heads: int = 32
    heads_kv: int = 8
    embedding: int = 4096
    context: int = 8192  # that it was trained for; a longer one is not given
    family: str = "llama"
    parameters: str = "8.0B"

    def size(self, context: int, slots: int) -> int:
        """Bytes in memory: the weights, and a 16-bit key and value per layer, head and token."""
        return self.weights + 2 * 2 * self.layers * self.heads_kv * (self.embedding // self.heads) * context * slots


@dataclass
class Runner:
    """A model in memory, or on its way in or out."""

    model: RunnerModel
    context: int
    stays: timedelta
    size: int
    on_gpu: int
    slots: asyncio.Semaphore
    in_use: int = 0
    orphan: bool = False  # its load was cancelled: nothing unloads it
    expires_at: datetime | None = None
    expiry: asyncio.Task[None] | None = None
    leaving: asyncio.Task[None] | None = None


@dataclass
class Runners:
    """The scheduler. What it does slowly or wrongly can be set at any time."""

    card: FakeCard | None = None
    parallel: int = 1  # OLLAMA_NUM_PARALLEL
    most_waiting: int = 512  # OLLAMA_MAX_QUEUE
    stay: timedelta = timedelta(minutes=5)  # OLLAMA_KEEP_ALIVE
    load_seconds: float = 0.0
    load_error: str = ""  # every load fails with these words
    unload_seconds: float = 0.0  # from "unload" to gone from /api/ps; infinity is never
    free_seconds: float = 0.0  # from gone from /api/ps to free on the card
    gpu_share: float = 1.0  # of what is loaded from now on, at most
    cancels_during_load: int = 0
    held: dict[str, Runner] = field(default_factory=dict)
    _waiting: int = 0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # one load or eviction at a time

    @asynccontextmanager
    async def use(self, model: RunnerModel, context: int | None, stays: timedelta | None) -> AsyncIterator[Runner]:
        """The model in memory, in use for the length of the block.

        Raises:
            Refused: too many wait already, or it can't be loaded.
        """
        if self._waiting >= self.most_waiting:
            raise Refused(503, "server busy, please try again.  maximum pending requests exceeded")
        self._waiting += 1
        try:
            async with self._turn:
                runner = await self._ready(model, min(context or DEFAULT_CONTEXT, model.context))
                runner.in_use += 1
                if stays is not None:  # else what the last request said still holds
                    runner.stays = stays
                _stop(runner.expiry)
        finally:
            self._waiting -= 1
        try:
            yield runner
        finally:
            runner.in_use -= 1
            self._rest(runner)

    @asynccontextmanager
    async def slot(self, runner: Runner) -> AsyncIterator[None]:
        """One of the parallel places; who waits for one counts as waiting, too."""
        self._waiting += 1
        try:
            await runner.slots.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            runner.slots.release()

    def expire(self, name: str) -> None:
        """Unload it when nobody uses it any more; returns long before."""
        if runner := self.held.get(name):
            runner.stays = timedelta(0)
            self._rest(runner)

    def forget_all(self) -> None:
        """As when the process dies: its memory is free at once."""
        for runner in self.held.values():
            _stop(runner.expiry)
            _stop(runner.leaving)
            if self.card:
                self.card.give_back(runner.model.name)
        self.held.clear()

    def listed(self) -> list[tuple[Runner, datetime]]:
        """Each runner, and when it goes if nobody asks; the longest first."""
        now = datetime.now(UTC)
        return sorted(
            ((one, one.expires_at or now + one.stays) for one in self.held.values()),
            key=lambda pair: -pair[1].timestamp(),
        )

    async def _ready(self, model: RunnerModel, context: int) -> Runner:
        runner = self.held.get(model.name)
        if runner and (runner.context != context or runner.leaving):
            await self._evict(runner)
            runner = None
        return runner or await self._load(model, context)

    async def _load(self, model: RunnerModel, context: int) -> Runner:
        size = model.size(context, self.parallel)
        await self._make_room(size)
        on_gpu = self._take(model, int(size * self.gpu_share))
        runner = Runner(model, context, self.stay, size, on_gpu, asyncio.Semaphore(self.parallel))
        self.held[model.name] = runner
        try:
            await asyncio.sleep(self.load_seconds)
        except asyncio.CancelledError:
            self.cancels_during_load += 1
            runner.orphan, runner.stays = True, FOR_EVER
            raise
        if self.load_error:
            self._drop(runner)
            raise Refused(500, self.load_error)
        return runner

    async def _make_room(self, size: int) -> None:
        for runner in list(self.held.values()):
            if self._free() < size and not runner.orphan:
                await self._evict(runner)

    def _take(self, model: RunnerModel, size: int) -> int:
        """What doesn't fit beside other programs goes to the processor, without a word."""
        on_gpu = min(size, self._free())
        if self.card and on_gpu:
            self.card.take(model.name, "eval", on_gpu)
        return on_gpu

    def _free(self) -> int:
        return max(0, self.card.total - self.card.used) if self.card else 1 << 60

    async def _evict(self, runner: Runner) -> None:
        while runner.in_use:
            await asyncio.sleep(0.005)
        self._leave(runner)
        while self.held.get(runner.model.name) is runner or (self.card and self._still_on_card(runner)):
            await asyncio.sleep(0.005)

    def _still_on_card(self, runner: Runner) -> bool:
        assert self.card
        return any(one.owner == runner.model.name for one in self.card.look().holdings)

    def _rest(self, runner: Runner) -> None:
        """Nobody uses it: its time to stay begins."""
        if runner.in_use or runner.leaving or runner.orphan or self.held.get(runner.model.name) is not runner:
            return
        _stop(runner.expiry)
        runner.expires_at = datetime.now(UTC) + runner.stays
        if runner.stays <= timedelta(0):
            self._leave(runner)
        elif runner.stays < FOR_EVER:
            runner.expiry = asyncio.ensure_future(self._expire_later(runner))

    async def _expire_later(self, runner: Runner) -> None:
        await asyncio.sleep(runner.stays.total_seconds())
        self._leave(runner)

    def _leave(self, runner: Runner) -> None:
        if not runner.leaving:
            runner.leaving = asyncio.ensure_future(self._left(runner))

    async def _left(self, runner: Runner) -> None:
        # The answer to the request that asked for it is on its way before anything is freed.
        await asyncio.sleep(self.unload_seconds if math.isfinite(self.unload_seconds) else 1e6)
        self._drop(runner)

    def _drop(self, runner: Runner) -> None:
        self.held.pop(runner.model.name, None)
        if self.card:
            self.card.give_back(runner.model.name, after=self.free_seconds)


def _stop(task: asyncio.Task[None] | None) -> None:
    if task:
        task.cancel()


def duration(keep_alive: Any) -> timedelta | None:
    """What `keep_alive` says: a number of seconds or Go's `1h30m`; below zero is for ever. None where it says nothing.

    Raises:
        Refused: it is neither.
    """
    if keep_alive is None:
        return None
    if isinstance(keep_alive, bool) or not isinstance(keep_alive, int | float | str):
        raise Refused(400, f"Unsupported type: '{type(keep_alive).__name__}'")
    seconds = _go_seconds(keep_alive) if isinstance(keep_alive, str) else float(keep_alive)
    return FOR_EVER if seconds < 0 else timedelta(seconds=seconds)


def _go_seconds(text: str) -> float:
    digits = text.removeprefix("-")
    if digits == "0":
        return 0.0
    if not digits or _PART.sub("", digits):
        missing = "missing unit in" if re.fullmatch(r"\d+(\.\d*)?", digits) else "invalid"
        raise Refused(400, f'time: {missing} duration "{text}"')
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(digits))
    return -seconds if text.startswith("-") else seconds
