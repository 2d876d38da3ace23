"""What an engine is: the contract between the worker and whatever runs a model.

An engine turns audio into a transcript or a prompt into JSON. It knows no ORM, no settings and no task: everything
arrives as an argument, everything leaves as a frozen value or as a `queueing.exceptions.StageError` of the right class:

- `Permanent`: the input is at fault; a retry can't help.
- `Transient`: this answer was unusable (invalid JSON, cut off); another try may be.
- `OutOfMemory`: the model did not fit; the engine's process has ended and can be loaded again. Code `does_not_fit`: nor
  did anything lighter that the engine knows of.
- `Infrastructure`: server unreachable, model missing, device lost; the task is not to blame.
- `Interrupted`: `stop` was set while it worked.
- `Crashed`: the engine's process died under this task.

Life of an engine: `load()` → any number of calls → `unload()`. Both are idempotent. After `unload()` returns, no memory
of the model is held by any process that this engine started, and `resident()` is empty. An engine whose process died
reports nothing resident and can be loaded again.

Threads: `load` and `unload` are called from one thread, with no call under way; calls may come from several threads at
once, up to `slots`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

if TYPE_CHECKING:  # every command imports this module, and numpy would be a tenth of its start
    import numpy as np
    import numpy.typing as npt

SAMPLE_RATE = 16_000  # Hz; what every Whisper model was trained on

Samples: TypeAlias = "npt.NDArray[np.float32]"
"""Mono audio at SAMPLE_RATE, shape (n,), full scale ±1.0."""

JSONSchema = Mapping[str, Any]
"""A JSON Schema (draft 2020-12 subset: object, array, string, integer, number, boolean, enum, const, min/max…)."""

Progress = Callable[[float, float], None]
"""Called as (done, total), both in seconds of audio, never decreasing; cheap; never raises."""


ON_GPU_SHARE = 0.95  # of a model's bytes: a server keeps a few tables elsewhere; less is a fallback to the processor


@dataclass(frozen=True, slots=True)
class Resident:
    """A model held in memory right now."""

    model: str
    bytes: int  # of memory held, as its holder reports it; resident set size for a process
    device: str  # "cpu", "cuda:0", …
    pid: int | None = None  # the process that holds it, when it is ours
    gpu_bytes: int = 0  # of them in a GPU's memory, as its holder reports it; 0 also where it is unknown


@dataclass(frozen=True, slots=True)
class Word:
    start: float  # seconds
    end: float  # seconds
    text: str  # with its punctuation, without surrounding blanks
    probability: float  # 0..1


@dataclass(frozen=True, slots=True)
class Segment:
    start: float  # seconds
    end: float  # seconds
    text: str
    words: tuple[Word, ...]
    average_log_probability: float
    no_speech_probability: float  # 0..1
    compression_ratio: float  # of the text by zlib; above 2.4 Whisper itself calls it a repetition loop


@dataclass(frozen=True, slots=True)
class Speech:
    """What was said. Silence is a `Speech` without segments, never an error."""

    language: str  # ISO 639-1
    language_probability: float  # 0..1; 1.0 for a model of one language
    duration: float  # seconds of audio given
    speech_seconds: float  # seconds that voice activity detection calls speech
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        return " ".join(segment.text.strip() for segment in self.segments)


@dataclass(frozen=True, slots=True)
class Prompt:
    system: str
    user: str
    # How many characters at the beginning of `user` are the same in every call of this kind, as `system` is; an engine
    # may keep what it computed of them.
    head: int = 0


@dataclass(frozen=True, slots=True)
class Generation:
    """A language model's answer, parsed and valid against the schema it was given."""

    value: dict[str, Any]
    model: str  # as its server names it
    prompt_tokens: int
    output_tokens: int
    seconds: float  # wall time of the call, the second request included
    asks: int  # 1, or 2 when the first answer was unusable
    finish: str = "stop"  # why the model ended, as its server puts it; never "length": a cut answer is not used
    text: str = ""  # the answer as it came, before it was parsed
    digest: str = ""  # of the model's file, where it is known
    engine_version: str = ""  # of the program that runs the model, where it is known
    seed: int = 0
    temperature: float = 0.0
    # P(true) of each boolean of the value, 0..1, by its path ("items.2.answer"); empty unless they were asked for and
    # the server reports the probabilities of its tokens.
    probabilities: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WrittenText:
    """A language model's answer in its own words."""

    text: str
    model: str
    finish: str  # "stop", or "length" when it was cut at `max_tokens`
    prompt_tokens: int
    output_tokens: int
    seconds: float  # wall time of the call


@dataclass(frozen=True, slots=True)
class LanguageOptions:
    max_tokens: int = 700  # of the answer; a JSON answer cut at this length is never used, never repaired
    temperature: float = 0.0
    seed: int = 7
    probabilities: bool = False  # ask for the probability of each boolean of a JSON answer
    deadline_seconds: float = 180.0  # total, from the call to the whole answer
    # Until the answer begins. A processor without a GPU reads a prompt of 4,000 tokens in 80 s, at 50 a second.
    first_token_seconds: float = 90.0
    # From then on, over any `rate_window_seconds`. Half a token a second could not end an answer within the deadline.
    least_tokens_per_second: float = 0.5
    rate_window_seconds: float = 20.0


class Engine(Protocol):
    """What speech and language engines have in common."""

    @property
    def name(self) -> str:
        """The engine's kind, e.g. `faster-whisper`."""

    @property
    def model(self) -> str:
        """The model's name, as results record it."""

    @property
    def simulated(self) -> bool:
        """True when no model is behind it; pages and results show that."""

    @property
    def slots(self) -> int:
        """How many calls it serves at once."""

    @property
    def server(self) -> str:
        """The address of the server that answers its calls; empty for a process of the worker's own.

        Engines of one server fail together, and are restarted together.
        """

    def needs(self) -> int | None:
        """Bytes of this node's GPU memory that `load` will take at most: weights, caches and working space.

        0: it uses none of it. None: unknown before it is loaded. Called while nothing is loaded; cheap enough to be
        called at every hand-over.
        """

    def load(self) -> None:
        """Bring the model into memory; returns when a call would be answered at once.

        Raises:
            Infrastructure: the model or its server is not there; the message says what fixes it.
            OutOfMemory: it does not fit.
        """

    def unload(self) -> None:
        """Take the model out of memory; returns when it is out."""

    def resident(self) -> tuple[Resident, ...]:
        """What is in memory right now, as the process or server that holds it reports it; never remembered."""


class OwnProcess:
    """What engines have in common that call no server and, by default, use no GPU memory."""

    silence = ""

    @property
    def server(self) -> str:
        return ""

    def ping(self) -> None:
        """Nothing is asked: whoever holds the process sees whether it lives."""

    def needs(self) -> int | None:
        return 0

    def token_bytes(self) -> int:
        return 0


class SpeechEngine(Engine, Protocol):
    def transcribe(self, samples: Samples, *, hints: Sequence[str] = (), progress: Progress, stop: Event) -> Speech:
        """Turn audio into segments and words with times.

        `hints` are names that may be said, the likeliest first; the model gets as many as it has room for.

        Raises:
            OutOfMemory, Infrastructure, Interrupted, Crashed: see the module's text.
            Transient: it took longer than the wall budget (code `too_slow`).
        """


class LanguageEngine(Engine, Protocol):
    silence: str
    """Why the server is known not to answer, as whoever pings it has set it; empty: nothing is known.

    What `needs`, `unload`, `resident` and the like ask then fails at once, with that as its message.
    """

    def ping(self) -> None:
        """Ask the server whether it is there: in bounded time, from any thread; no model is used or loaded for it.

        Raises:
            Infrastructure: it does not answer.
        """

    @property
    def context_tokens(self) -> int:
        """Of each slot: prompt and answer together."""

    def token_bytes(self) -> int:
        """Bytes of `needs` for each token of context of each slot: its key/value cache. 0: none, or unknown."""

    def generate(self, prompt: Prompt, schema: JSONSchema, options: LanguageOptions, *, stop: Event) -> Generation:
        """Answer the prompt with one JSON object that is valid against `schema`.

        An unusable answer is requested once more: with what was wrong with it, or with more room if it was cut
        off. It is never repaired.

        Raises:
            Transient: invalid (code `invalid_answer`), cut off at max_tokens (`answer_cut`) or from a prompt that the
                server had cut (`prompt_cut`), twice; or past the deadline (`too_slow`).
            Permanent: the prompt does not fit the model's context (`too_long_for_model`).
            Infrastructure: the answer did not begin within `first_token_seconds`, or came more slowly than
                `least_tokens_per_second` (code `too_slow`); else see the module's text.
            OutOfMemory, Interrupted, Crashed: see the module's text.
        """

    def write(
        self, prompt: Prompt, options: LanguageOptions, *, on_text: Callable[[str], None], stop: Event
    ) -> WrittenText:
        """Answer the prompt in free text, of at most 65,536 characters.

        `on_text` gets each piece as it comes, in the calling thread; it is cheap and never raises. The pieces of a call
        that raises are no answer. Within 2 s of `stop`, the call is over and the model works on it no longer.

        Raises:
            Everything that `generate` raises, except that an answer may be cut at max_tokens: see `WrittenText.finish`.
        """


SPEECH: Final = "speech"
"""The role of the engine that recognises speech; the others are language models', named by the stages."""


@dataclass(frozen=True, slots=True)
class Engines:
    """The engines of one node. Several roles may be served by one object."""

    speech: SpeechEngine
    language: Mapping[str, LanguageEngine]  # by role
    can_judge: bool = True  # False: the language model is too small to be trusted with a judgement

    def of(self, role: str) -> Engine:
        """
        Raises:
            KeyError: no engine has this role.
        """
        return self.speech if role == SPEECH else self.language[role]

    def language_models(self) -> list[tuple[LanguageEngine, tuple[str, ...]]]:
        """Each language engine once, with its roles, in the order of the roles."""
        found: dict[int, tuple[LanguageEngine, tuple[str, ...]]] = {}
        for role, engine in self.language.items():
            found[id(engine)] = engine, (*found.get(id(engine), (engine, ()))[1], role)
        return list(found.values())
