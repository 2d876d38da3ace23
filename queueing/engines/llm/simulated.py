"""A simulated language model: answers of the right form, as slow and as faulty as configured."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterable
from threading import Event, Lock
from time import monotonic
from typing import Any, ClassVar

from queueing.engines import booleans
from queueing.engines.base import Generation, JSONSchema, LanguageOptions, OwnProcess, Prompt, Resident, WrittenText
from queueing.engines.llm import answers
from queueing.exceptions import Infrastructure, Interrupted, Permanent, StageError, Transient


class SimulatedLanguage(OwnProcess):
    """Takes `seconds` per call and answers with an object valid against the schema, the same for the same prompt.

    `faults` says how each call ends, in the order in which calls begin: None for well, a StageError to be raised after
    `seconds`. When they run out, all goes well.
    """

    name: ClassVar[str] = "simulated"
    simulated: ClassVar[bool] = True

    def __init__(
        self,
        seconds: float = 0.0,
        faults: Iterable[StageError | None] = (),
        *,
        model: str = "simulated",
        slots: int = 1,
        context_tokens: int = 4096,
        load_seconds: float = 0.0,
    ) -> None:
        self.model = model
        self.slots = slots
        self.context_tokens = context_tokens
        self._seconds = seconds
        self._load_seconds = load_seconds
        self._faults = iter(faults)
        self._lock = Lock()
        self._loaded = False

    def load(self) -> None:
        if not self._loaded:
            Event().wait(self._load_seconds)
            self._loaded = True

    def unload(self) -> None:
        self._loaded = False

    def resident(self) -> tuple[Resident, ...]:
        return (Resident(self.model, 1, "simulated"),) if self._loaded else ()

    def generate(self, prompt: Prompt, schema: JSONSchema, options: LanguageOptions, *, stop: Event) -> Generation:
        began = monotonic()
        self._work(prompt, options, stop)
        value = example(schema, f"{prompt.system}\n{prompt.user}\n{options.seed}")
        text = json.dumps(value, ensure_ascii=False)
        return Generation(
            value,
            self.model,
            answers.most_tokens(prompt),
            len(text) // 4,
            monotonic() - began,
            1,
            text=text,
            seed=options.seed,
            temperature=options.temperature,
            probabilities=_sureness(text) if options.probabilities else {},
        )

    def write(
        self, prompt: Prompt, options: LanguageOptions, *, on_text: Callable[[str], None], stop: Event
    ) -> WrittenText:
        began = monotonic()
        self._work(prompt, options, stop)
        words = ["This", "answer", "is", "simulated:", "no", "model", "has", "read", "the", "question."]
        kept = [word if number == 0 else f" {word}" for number, word in enumerate(words[: options.max_tokens])]
        for word in kept:
            on_text(word)
        finish = "stop" if len(kept) == len(words) else "length"
        return WrittenText(
            "".join(kept), self.model, finish, answers.most_tokens(prompt), len(kept), monotonic() - began
        )

    def _work(self, prompt: Prompt, options: LanguageOptions, stop: Event) -> None:
        with self._lock:
            fault = next(self._faults, None)
        self._refuse(prompt, options)
        if stop.wait(min(self._seconds, options.deadline_seconds)):
            raise Interrupted
        if self._seconds > options.deadline_seconds:
            raise Transient(f"Simulated: no answer within {options.deadline_seconds:g} s.", code="too_slow")
        if fault:
            raise fault

    def _refuse(self, prompt: Prompt, options: LanguageOptions) -> None:
        if not self._loaded:
            raise Infrastructure(f"The language model {self.model} is not loaded.", code="not_loaded")
        if answers.fewest_tokens(prompt) + options.max_tokens > self.context_tokens:
            raise Permanent("Simulated: the prompt is too long.", code="too_long_for_model")


def _sureness(text: str) -> dict[str, float]:
    """P(true) of each boolean of an answer: on the side of what it says, and mostly far from the middle."""
    chance = random.Random(text)  # noqa: S311 - a repeatable choice
    found = {}
    for place in booleans.places(text):
        sure = 1 - 0.5 * chance.random() ** 3
        found[place.path] = sure if place.value else 1 - sure
    return found


def example(schema: JSONSchema, seed: str) -> dict[str, Any]:
    """An object that is valid against the schema; the same for the same seed.

    Raises:
        ValueError: the schema is not of the subset that `base.JSONSchema` names.
    """
    chance = random.Random(hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest())  # noqa: S311 - a repeatable choice
    value = _example(schema, "answer", chance)
    if not isinstance(value, dict):
        raise ValueError("the schema is not one of an object")  # noqa: TRY004 - the value is at fault, not its type
    return value


def _example(schema: JSONSchema, name: str, chance: random.Random) -> Any:
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return chance.choice(schema["enum"])
    if alternatives := schema.get("anyOf") or schema.get("oneOf"):
        return _example(alternatives[0], name, chance)
    return _of_type(_type(schema), schema, name, chance)


def _type(schema: JSONSchema) -> str:
    given = schema.get("type", "object")
    return given if isinstance(given, str) else next(one for one in given if one != "null")


def _of_type(kind: str, schema: JSONSchema, name: str, chance: random.Random) -> Any:
    match kind:
        case "object":
            return {key: _example(part, key, chance) for key, part in schema.get("properties", {}).items()}
        case "array":
            return _array(schema, name, chance)
        case "string":
            return _string(schema, name)
        case "integer":
            return chance.randint(*_range(schema))
        case "number":
            low, high = _range(schema)
            return round(chance.uniform(low, high), 2)
        case "boolean":
            return chance.random() < 0.5
        case "null":
            return None
    raise ValueError(f"no example of type {kind!r}")


def _range(schema: JSONSchema) -> tuple[int, int]:
    low = schema.get("minimum", schema.get("exclusiveMinimum", 0) + ("exclusiveMinimum" in schema))
    high = schema.get("maximum", schema.get("exclusiveMaximum", low + 10) - ("exclusiveMaximum" in schema))
    return int(low), int(high)


def _string(schema: JSONSchema, name: str) -> str:
    text = f"simulated {name.replace('_', ' ')}"
    return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength", len(text) + 1000)]


def _array(schema: JSONSchema, name: str, chance: random.Random) -> list[Any]:
    count = max(schema.get("minItems", 0), min(2, schema.get("maxItems", 2)))
    items = schema.get("items", {})
    if schema.get("uniqueItems") and "enum" in items:
        return chance.sample(list(items["enum"]), min(count, len(items["enum"])))
    return [_example(items, f"{name} {number}", chance) for number in range(1, count + 1)]
