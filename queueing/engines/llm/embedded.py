"""llama.cpp from the `xllamacpp` wheel, in a child process of our own that ends when the model is unloaded.

The heads of prompts (`Prompt.head`) are cached so that an answer is the same whether its head was cached or not. How a
prompt's tokens are split into batches changes their numbers in the last digits, so a server that keeps whatever prompt
came last answers by what came last. Here a head is always computed by itself, and the server's state after it is saved.
Before each question that state is put back, bit by bit, and the rest of the prompt computed upon it: the same batches
upon the same numbers, whatever was asked before.
"""

from __future__ import annotations

import asyncio
import math
import os
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from threading import Event, Lock
from time import monotonic, sleep
from typing import Any, ClassVar

import httpx

from queueing.engines.base import Generation, JSONSchema, LanguageOptions, OwnProcess, Prompt, Resident, WrittenText
from queueing.engines.child import EngineChild
from queueing.engines.llm import faults, models, transport
from queueing.engines.llm.openai_compatible import OpenAICompatible
from queueing.engines.llm.pace import AnswerPace
from queueing.engines.llm.request import ModelRequest, Reply
from queueing.engines.pulse import LOOK_SECONDS, Pulse
from queueing.exceptions import Crashed, Infrastructure, Transient

FACTORY = "queueing.engines.llm.embedded_server:LlamaServer"
LOAD_SECONDS = 120.0
LIFELESS_SECONDS = 25.0  # without any use of the processor it is hung, and killed within half a minute
DEATH_SECONDS = 10.0  # how long after its sockets broke a process may still seem alive
POLL_SECONDS = 0.01


class EmbeddedLlama(OwnProcess):
    """A local model, on the processor, spoken to like any OpenAI-compatible server.

    `model` is a model's name (`models.PACKAGED`, `models.IN_PARTS`) or the path of a GGUF file.
    """

    name: ClassVar[str] = "embedded"
    simulated: ClassVar[bool] = False

    def __init__(
        self, model: str, *, slots: int, context_tokens: int, threads: int = 0, folder: Path = models.FOLDER
    ) -> None:
        """`folder`: where models are that come in parts (`models.IN_PARTS`)."""
        self.model = model
        self.slots = slots  # calls that it takes at once; it answers one after the other
        self.context_tokens = context_tokens  # of each slot: prompt and answer together
        # With as many threads as processors, llama.cpp waits for its slowest as soon as anything else runs.
        self.threads = threads or max(1, processors() - 1)
        self._folder = folder
        self._child = EngineChild(FACTORY)
        self._served: HeadCachingLlama | None = None

    def load(self) -> None:
        if self._child.pid is not None:
            return
        key = secrets.token_urlsafe(24)
        try:
            self._child.start(self._arguments(key), within=LOAD_SECONDS, without_life=LIFELESS_SECONDS)
        except (Crashed, Transient) as error:
            message = f"The language model could not be loaded: {error}"
            raise Infrastructure(message, code="engine_unavailable") from error
        url, files = self._child.facts
        self._served = HeadCachingLlama(
            url,
            self.model,
            files=files,
            pulse=self._child.pulse,
            slots=self.slots,
            context_tokens=self.context_tokens,
            key=key,
            cuts_prompts=False,  # its context is what we gave it; it counts exactly, and refuses what is too long
            digest=models.digest(self.model),
            version=f"xllamacpp {metadata.version('xllamacpp')}",
        )

    def unload(self) -> None:
        self._served = None
        self._child.terminate()

    def resident(self) -> tuple[Resident, ...]:
        pid, held = self._child.pid, self._child.resident_bytes
        return (Resident(self.model, held, "cpu", pid),) if pid and held else ()

    def generate(self, prompt: Prompt, schema: JSONSchema, options: LanguageOptions, *, stop: Event) -> Generation:
        with self._serving() as served:
            return served.generate(prompt, schema, options, stop=stop)

    def write(
        self, prompt: Prompt, options: LanguageOptions, *, on_text: Callable[[str], None], stop: Event
    ) -> WrittenText:
        with self._serving() as served:
            return served.write(prompt, options, on_text=on_text, stop=stop)

    @contextmanager
    def _serving(self) -> Iterator[HeadCachingLlama]:
        served = self._served
        if served is None or self._child.pid is None:
            raise Infrastructure(f"The language model {self.model} is not loaded.", code="not_loaded")
        try:
            yield served
        except Crashed:
            self._child.terminate()  # it hangs
            raise
        except Infrastructure as error:
            if error.code == "not_loaded":
                raise
            if error.code == "too_slow":
                # Busy with this answer for longer than any may take: those after it would wait in vain.
                self._child.terminate()
                raise Transient(str(error), code="too_slow") from error
            if self._died():
                raise Crashed("The language model's process died.") from error
            raise

    def _arguments(self, key: str) -> Mapping[str, Any]:
        return {
            "path": str(models.find(self.model, self._folder)),
            "name": self.model,
            "key": key,
            "threads": self.threads,
            "context_tokens": self.context_tokens,
        }

    def _died(self) -> bool:
        # The sockets break a moment before the process has ended.
        give_up = monotonic() + DEATH_SECONDS
        while self._child.pid is not None:
            if monotonic() > give_up:
                return False
            sleep(POLL_SECONDS)
        return True


@dataclass(frozen=True, slots=True)
class SavedHead:
    file: str
    tokens: int  # those of the chat template's end included


class HeadCachingLlama(OpenAICompatible):
    """A llama.cpp of ours, with one slot. It takes `slots` calls at once and answers one after the other.

    Waiting for one's turn counts for the deadline alone, not for the time until the answer's first token.
    """

    def __init__(
        self, url: str, model: str, *, files: Sequence[str], pulse: Callable[[], Pulse], **options: Any
    ) -> None:
        """
        Args:
            files: names under the server's `slot_save_path`, each for the state of one head.
            pulse: of the server's process.
        """
        super().__init__(url, model, llama_cpp=True, **options)
        self._pulse = pulse
        self._hung = False
        self._slot = Lock()  # from a head's state to the end of the answer, the server's slot is one call's
        self._free = list(files)
        self._saved: OrderedDict[Prompt, SavedHead] = OrderedDict()  # least recently used first

    async def _streamed(self, http: httpx.AsyncClient, request: ModelRequest, on_text: Callable[[str], None]) -> Reply:
        async with self._turn(), self._living():
            if request.prompt.head:
                async with AnswerPace(request.options).kept():
                    await self._begin_with_head(http, request.prompt)
            return await super()._streamed(http, request, on_text)

    def _encode(self, request: ModelRequest) -> tuple[str, dict[str, Any]]:
        path, body = super()._encode(request)
        return path, {**body, "cache_prompt": request.prompt.head > 0}

    async def _count(self, http: httpx.AsyncClient, prompt: Prompt) -> int | None:
        async with self._turn(), self._living():
            return await super()._count(http, prompt)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        # Polled: each call has an event loop and a thread of its own, and must be able to leave at any moment.
        while not self._slot.acquire(blocking=False):
            await asyncio.sleep(POLL_SECONDS)
        try:
            if self._hung:
                raise Infrastructure(f"The process of {self.model} hung and is started again.", code="not_loaded")
            yield
        finally:
            self._slot.release()

    @asynccontextmanager
    async def _living(self) -> AsyncIterator[None]:
        """What is done inside is ended when the server's process does nothing any more.

        Raises:
            Crashed: that (code `hung`); the process must be killed.
        """
        try:
            async with asyncio.timeout(None) as limit:
                watch = asyncio.ensure_future(self._watch(limit))
                try:
                    yield
                finally:
                    watch.cancel()
        except TimeoutError:
            if not limit.expired():
                raise
            self._hung = True
            message = f"The language model's process did nothing for {LIFELESS_SECONDS:g} s."
            raise Crashed(message, code="hung") from None

    async def _watch(self, limit: asyncio.Timeout) -> None:
        pulse = self._pulse()
        while pulse.look() <= LIFELESS_SECONDS:
            await asyncio.sleep(LOOK_SECONDS)
        limit.reschedule(asyncio.get_running_loop().time())

    async def _begin_with_head(self, http: httpx.AsyncClient, prompt: Prompt) -> None:
        """Bring the slot into the state that it has after the head alone."""
        head = Prompt(prompt.system, prompt.user[: prompt.head])
        if await self._restored(http, head):
            return
        await self._compute(http, head)
        file = self._free.pop() if self._free else self._saved.popitem(last=False)[1].file
        try:
            tokens = await self._slot_action(http, "save", file)
        except BaseException:
            self._free.append(file)
            raise
        if tokens:
            self._saved[head] = SavedHead(file, tokens)
        else:
            self._free.append(file)  # the slot is in the right state all the same

    async def _restored(self, http: httpx.AsyncClient, head: Prompt) -> bool:
        saved = self._saved.get(head)
        if saved is None:
            return False
        self._saved.move_to_end(head)
        if await self._slot_action(http, "restore", saved.file) == saved.tokens:
            return True
        del self._saved[head]
        self._free.append(saved.file)
        return False

    async def _compute(self, http: httpx.AsyncClient, head: Prompt) -> None:
        body = {"model": self.model, "messages": self._messages(head), "max_tokens": 1, "cache_prompt": False}
        response = await http.post("/v1/chat/completions", json=body)
        if response.status_code != 200:
            raise faults.refusal(response.status_code, response.text, missing=self._missing())

    async def _slot_action(self, http: httpx.AsyncClient, action: str, file: str) -> int:
        """Save or restore the slot's state; how many tokens it has, 0 when the server could not do it."""
        response = await http.post("/slots/0", params={"action": action}, json={"filename": file})
        if response.status_code != 200:
            return 0
        done = transport.json_object(response.content)
        tokens = done.get("n_saved" if action == "save" else "n_restored")
        return tokens if isinstance(tokens, int) else 0


def processors() -> int:
    """How many processors this process may really use: its affinity, and its container's quota."""
    allowed = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return allowed
    return allowed if quota == "max" else max(1, min(allowed, math.ceil(int(quota) / int(period))))
