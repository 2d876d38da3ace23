"""Does the node's card hold all language models at once, must they take turns, or does one not fit at all?

Sizes in, a plan with its reason out. The worker makes one whenever nothing is loaded, `doctor` shows what it would be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import ceil

from queueing.engines.base import Engine, Engines, LanguageEngine

MIB = 1 << 20
GIB = 1 << 30

# What may be in use once a model is loaded. Beyond it a driver's own needs, fragments and a desktop's window make a
# load fail that fitted on paper.
ADMIT_SHARE = 0.85  # of the card's memory, at most
SPARE_BYTES = 512 * MIB  # and so much is left: 15 % of a small card are less than a CUDA context takes

MIN_CONTEXT_TOKENS = 2048  # below it no transcript and its answer fit, so it is no advice


class Mode(StrEnum):
    PIPELINED = "pipelined"
    """All language models stay loaded: the stages of a batch overlap."""
    SUB_PHASES = "sub_phases"
    """One of them is loaded at a time: all of a batch goes through one model, then all of it through the next."""
    REFUSED = "refused"
    """One of them does not fit even alone; their phase is blocked with the reason."""


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU's memory, in bytes."""

    total: int
    others: int = 0  # held by programs that are not ours

    @property
    def room(self) -> int:
        """What our models may take of it, all that are loaded at once."""
        return max(0, min(int(self.total * ADMIT_SHARE), self.total - SPARE_BYTES) - self.others)

    def __str__(self) -> str:
        others = f", others hold {_size(self.others)}" if self.others else ""
        return f"{_size(self.room)} that may be used of the GPU's {_size(self.total)}{others}"


@dataclass(frozen=True, slots=True)
class Share:
    """What one engine takes of the card."""

    model: str
    needs: int | None  # bytes, with all `slots`; 0: none of it; None: unknown
    slots: int = 1
    context_tokens: int = 0
    token_bytes: int = 0  # of `needs`, for each token of context of each slot; 0: unknown
    server: str = ""
    roles: tuple[str, ...] = ()  # that the engine serves

    @property
    def slot_bytes(self) -> int:
        return self.token_bytes * self.context_tokens

    def within(self, room: int) -> Share:
        """With as many of its slots as fit; as it is, if they all do or not even one does."""
        if self.needs is None or self.needs <= room or not self.slot_bytes:
            return self
        dropped = ceil((self.needs - room) / self.slot_bytes)
        return self._without(dropped) if dropped < self.slots else self

    def context_within(self, room: int) -> int:
        """The longest context, in tokens, with which one slot fits; 0 if none does or it is unknown."""
        if self.needs is None or not self.token_bytes:
            return 0
        bare = self.needs - self.slots * self.slot_bytes
        tokens = (room - bare) // self.token_bytes // 256 * 256
        return tokens if MIN_CONTEXT_TOKENS <= tokens < self.context_tokens else 0

    def _without(self, slots: int) -> Share:
        assert self.needs is not None
        return replace(self, slots=self.slots - slots, needs=self.needs - slots * self.slot_bytes)

    def __str__(self) -> str:
        return f"{self.model} ({'size unknown' if self.needs is None else _size(self.needs)})"


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """How the node's memory is shared, and why, as text for people."""

    mode: Mode
    why: str
    slots: Mapping[str, int] = field(default_factory=dict)  # what fits, by role; without one: the engine's own
    needs: tuple[int | None, ...] = ()  # bytes of each language model, with so many slots
    fix: str = ""  # what would improve it; empty: nothing needs to be done

    def __str__(self) -> str:
        return f"{self.mode.replace('_', '-')}: {self.why}"

    def slots_of(self, role: str, engine: Engine) -> int:
        """How many calls the engine in this role gets at once."""
        return min(engine.slots, self.slots.get(role, engine.slots))


DEFAULT_PLAN = MemoryPlan(Mode.PIPELINED, "not planned yet")


def plan_for(engines: Engines, card: Card | None, together: bool | None = None) -> MemoryPlan:
    """Read what the engines need, and plan. None of their models should be loaded."""
    return plan(_speech(engines), [_share(*served) for served in engines.language_models()], card, together)


def plan(speech: Share, languages: Sequence[Share], card: Card | None, together: bool | None = None) -> MemoryPlan:
    """The plan for these models on this card.

    Args:
        languages: each language model once, whatever it is called for; at least one.
        card: None when there is no GPU, or its memory is unknown.
        together: whether a person wants all language models loaded at once; None: by the figures. It doesn't make a
            model fit that is too large alone.
    """
    fitted = [share.within(card.room) for share in languages] if card else list(languages)
    for share in fitted:
        if card and (share.needs or 0) > card.room:
            return _refused(share, card)
    found = _one(languages[0], card) if len(languages) == 1 else _as_set(_several(languages, card), together)
    # Slots are given up only where a model would not fit alone: see `_several`.
    return _with_speech(speech, card, _with_slots(found, languages, fitted))


def _one(model: Share, card: Card | None) -> MemoryPlan:
    where = f"{_size(model.needs)} of the {card}" if card and model.needs else _elsewhere(model, card)
    return MemoryPlan(Mode.PIPELINED, f"all stages are served by one model in memory, {model.model}; {where}")


def _elsewhere(model: Share, card: Card | None) -> str:
    if model.needs is None:
        return "its size is unknown"
    return "it uses no GPU memory of this node" if card else "no GPU is seen here"


def _several(models: Sequence[Share], card: Card | None) -> MemoryPlan:
    """All at once with all their slots, or one after the other with all their slots.

    Pipelining isn't bought with slots. For a batch of ten at 15 and 25 s (introeval/rehearsal/bounds.py), both at once
    with one slot take 265 s; in turns 3 slots take 160 s plus the turn, 2 slots 200 s plus the turn. Only 2 slots in
    place of 3 would gain anything (140 s). And it isn't ours to do: a server lays its slots out when it starts.
    """
    ours = [model for model in models if model.needs]
    if card and len(ours) == len(models):
        return _on_card(ours, card)
    unknown = _unknown(models, card)
    servers = [model.server for model in models if model.server]
    if len(set(servers)) < len(servers):
        return MemoryPlan(Mode.SUB_PHASES, f"{unknown}; one server for several would change models at every request")
    if not card or any(model.needs is None for model in models):
        return MemoryPlan(Mode.PIPELINED, f"{unknown}; each has a server or a process of its own")
    if len(ours) > 1:
        return _on_card(ours, card)
    return MemoryPlan(Mode.PIPELINED, f"at most one of {_enumerated(models)} takes memory of this node's GPU")


def _on_card(models: Sequence[Share], card: Card) -> MemoryPlan:
    named = _enumerated(models)
    if sum(model.needs or 0 for model in models) <= card.room:
        return MemoryPlan(Mode.PIPELINED, f"{named} fit together into the {card}")
    why = f"{named} don't fit together into the {card}: one after the other, a batch at a time"
    return MemoryPlan(Mode.SUB_PHASES, why)


def _as_set(found: MemoryPlan, together: bool | None) -> MemoryPlan:
    """What a person has set comes before the figures."""
    mode = Mode.PIPELINED if together else Mode.SUB_PHASES
    if together is None or mode == found.mode:
        return found
    fix = "unset LLM_TOGETHER" if together else ""
    return MemoryPlan(mode, f"LLM_TOGETHER says so; without it {found}", fix=fix)


def _unknown(models: Sequence[Share], card: Card | None) -> str:
    names = " and ".join(model.model for model in models)
    if not card:
        return f"no GPU is seen here that {names} could be held against"
    if any(model.needs is None for model in models):
        return f"{_enumerated(models)} can't be held against the {card}"
    return f"the memory of {names} is not this node's"


def _enumerated(models: Sequence[Share]) -> str:
    return " and ".join(map(str, models))


def _refused(model: Share, card: Card) -> MemoryPlan:
    context = model.context_within(card.room)
    fix = f"set LLM_SLOTS=1 and LLM_CONTEXT_TOKENS={context}, or " if context else ""
    fix += "take a smaller model or quantisation, or free the GPU"
    return MemoryPlan(Mode.REFUSED, f"{model} does not fit into the {card}, even alone: {fix}", fix=fix)


def _with_slots(found: MemoryPlan, wanted: Sequence[Share], fitted: Sequence[Share]) -> MemoryPlan:
    slots = {role: share.slots for share in fitted for role in share.roles}
    found = replace(found, slots=slots, needs=tuple(share.needs for share in fitted))
    fewer = [(was, now) for was, now in zip(wanted, fitted, strict=True) if now.slots < was.slots]
    if not fewer:
        return found
    reduced = ", ".join(f"{now.model} fits with {now.slots} of {was.slots} slots" for was, now in fewer)
    least = min(now.slots for _, now in fewer)
    fix = f"set LLM_SLOTS={least}, and OLLAMA_NUM_PARALLEL={least} at Ollama"
    tokens = min(now.context_tokens * now.slots // was.slots for was, now in fewer) // 256 * 256
    if tokens >= MIN_CONTEXT_TOKENS:
        fix += f"; or LLM_CONTEXT_TOKENS={tokens}"
    return replace(found, why=f"{found.why}; {reduced}", fix=fix)


def _with_speech(speech: Share, card: Card | None, found: MemoryPlan) -> MemoryPlan:
    """With a warning where speech recognition does not fit, although it has the card for itself."""
    if not card or (speech.needs or 0) <= card.room:
        return found
    fix = "set STT_MODEL to a smaller one, or STT_DEVICE=cpu"
    why = f"{found.why}; but {speech}, which transcribes, does not fit"
    return replace(found, why=why, fix="; ".join(filter(None, (fix, found.fix))))


def _share(engine: LanguageEngine, roles: tuple[str, ...]) -> Share:
    needs = engine.needs()
    return Share(
        model=engine.model,
        needs=needs,
        slots=engine.slots,
        context_tokens=engine.context_tokens,
        token_bytes=engine.token_bytes() if needs else 0,
        server=engine.server,
        roles=roles,
    )


def _speech(engines: Engines) -> Share:
    return Share(engines.speech.model, engines.speech.needs())


def _size(count: int) -> str:
    return f"{count / GIB:.1f} GiB"
