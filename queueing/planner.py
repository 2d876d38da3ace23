"""Pure: does the node's card hold both language models at once, must they take turns, or does one not fit at all?

Sizes in, a plan with its reason out. The worker makes one whenever nothing is loaded, `doctor` says what it would be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil

from queueing.engines.base import Engine, Engines, LanguageEngine

MIB = 1 << 20
GIB = 1 << 30

# What may be in use once a model is loaded. Beyond it a driver's own needs, fragments and a desktop's window make a
# load fail that fitted on paper.
ADMIT_SHARE = 0.85  # of the card's memory, at most
SPARE_BYTES = 512 * MIB  # and so much is left: 15 % of a small card are less than a CUDA context takes

LEAST_CONTEXT_TOKENS = 2048  # below it no transcript and its answer fit, so it is no advice


class Mode(StrEnum):
    PIPELINED = "pipelined"
    """Both language models stay loaded: one student is rated while the next one's form is extracted."""
    SUB_PHASES = "sub_phases"
    """One of them is loaded at a time: all forms of a batch are extracted, then all are rated."""
    REFUSED = "refused"
    """One of them does not fit even alone; evaluation is blocked with the reason."""


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
    needs: int | None  # bytes, with all `slots`; 0: none of it; None: nobody can tell
    slots: int = 1
    context_tokens: int = 0
    token_bytes: int = 0  # of `needs`, for each token of context of each slot; 0: nobody can tell
    server: str = ""

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
        """The longest context, in tokens, with which one slot fits; 0 if none does or nobody can tell."""
        if self.needs is None or not self.token_bytes:
            return 0
        bare = self.needs - self.slots * self.slot_bytes
        tokens = (room - bare) // self.token_bytes // 256 * 256
        return tokens if LEAST_CONTEXT_TOKENS <= tokens < self.context_tokens else 0

    def _without(self, slots: int) -> Share:
        assert self.needs is not None
        return replace(self, slots=self.slots - slots, needs=self.needs - slots * self.slot_bytes)

    def __str__(self) -> str:
        return f"{self.model} ({'size unknown' if self.needs is None else _size(self.needs)})"


@dataclass(frozen=True, slots=True)
class Plan:
    """How the node's memory is shared, and why, in words for people."""

    mode: Mode
    why: str
    slots: tuple[int, int] = (0, 0)  # of extraction and of rating: what fits; 0: as the engine says
    needs: tuple[int | None, int | None] = (None, None)  # bytes of theirs, with so many slots
    mend: str = ""  # what would make it better; empty: nothing needs to be

    def __str__(self) -> str:
        return f"{self.mode.replace('_', '-')}: {self.why}"

    def slots_of(self, role: str, engine: Engine) -> int:
        """How many calls the engine in this role ("extract", "rate", …) gets at once."""
        planned = dict(zip(("extract", "rate"), self.slots, strict=True)).get(role)
        return min(engine.slots, planned or engine.slots)


AS_THEY_ARE = Plan(Mode.PIPELINED, "nobody has looked yet")


def plan_for(engines: Engines, card: Card | None, together: bool | None = None) -> Plan:
    """Ask the engines what they need, and plan. Nothing of them should be loaded."""
    rate = None if engines.rate is engines.extract else _share(engines.rate)
    return plan(_speech(engines), _share(engines.extract), rate, card, together)


def plan(speech: Share, extract: Share, rate: Share | None, card: Card | None, together: bool | None = None) -> Plan:
    """The plan for these models on this card.

    Args:
        rate: None when the model that extracts also rates.
        card: None when there is no GPU, or nobody can tell.
        together: a person's word on whether both language models are loaded at once. It doesn't make a model fit that
            is too large alone.
    """
    languages = [extract] if rate is None else [extract, rate]
    fitted = [share.within(card.room) for share in languages] if card else languages
    for share in fitted:
        if card and (share.needs or 0) > card.room:
            return _refused(share, card)
    found = _one(extract, card) if rate is None else _as_said(_two(extract, rate, card), together)
    # Slots are given up only where a model would not fit alone: see `_two`.
    return _heard(speech, card, _with_slots(found, languages, fitted))


def _one(model: Share, card: Card | None) -> Plan:
    where = f"{_size(model.needs)} of the {card}" if card and model.needs else _elsewhere(model, card)
    return Plan(Mode.PIPELINED, f"both stages are served by one model in memory, {model.model}; {where}")


def _elsewhere(model: Share, card: Card | None) -> str:
    if model.needs is None:
        return "its size is unknown"
    return "it uses no GPU memory of this node" if card else "no GPU is seen here"


def _two(extract: Share, rate: Share, card: Card | None) -> Plan:
    """Both at once with all their slots, or one after the other with all their slots.

    Pipelining isn't bought with slots. For a batch of ten at 15 and 25 s (queueing/rehearsal/bounds.py), both at once
    with one slot take 265 s; in turns 3 slots take 160 s plus the turn, 2 slots 200 s plus the turn. Only 2 slots in
    place of 3 would gain anything (140 s). And it isn't ours to do: a server lays its slots out when it starts.
    """
    both = f"{extract} and {rate}"
    if extract.needs and rate.needs and card:
        if extract.needs + rate.needs <= card.room:
            return Plan(Mode.PIPELINED, f"{both} fit together into the {card}")
        return Plan(Mode.SUB_PHASES, f"{both} don't fit together into the {card}: first all forms, then all ratings")
    unknown = _unknown(extract, rate, card)
    if extract.server and extract.server == rate.server:
        return Plan(Mode.SUB_PHASES, f"{unknown}; one server for both would change models at every request")
    if extract.needs is None or rate.needs is None or not card:
        return Plan(Mode.PIPELINED, f"{unknown}; each has a server or a process of its own")
    return Plan(Mode.PIPELINED, f"at most one of {both} takes memory of this node's GPU")


def _as_said(found: Plan, together: bool | None) -> Plan:
    """A person's word before the figures."""
    said = Mode.PIPELINED if together else Mode.SUB_PHASES
    if together is None or said == found.mode:
        return found
    mend = "unset LLM_TOGETHER" if together else ""
    return Plan(said, f"LLM_TOGETHER says so; without it {found}", mend=mend)


def _unknown(extract: Share, rate: Share, card: Card | None) -> str:
    if not card:
        return f"no GPU is seen here that {extract.model} and {rate.model} could be held against"
    if extract.needs is None or rate.needs is None:
        return f"{extract} and {rate} can't be held against the {card}"
    return f"the memory of {extract.model} and {rate.model} is not this node's"


def _refused(model: Share, card: Card) -> Plan:
    context = model.context_within(card.room)
    mend = f"set LLM_SLOTS=1 and LLM_CONTEXT_TOKENS={context}, or " if context else ""
    mend += "take a smaller model or quantisation, or free the GPU"
    return Plan(Mode.REFUSED, f"{model} does not fit into the {card}, even alone: {mend}", mend=mend)


def _with_slots(found: Plan, wanted: list[Share], fitted: list[Share]) -> Plan:
    first, last = fitted[0], fitted[-1]
    found = replace(found, slots=(first.slots, last.slots), needs=(first.needs, last.needs))
    fewer = [(was, now) for was, now in zip(wanted, fitted, strict=True) if now.slots < was.slots]
    if not fewer:
        return found
    told = ", ".join(f"{now.model} fits with {now.slots} of {was.slots} slots" for was, now in fewer)
    least = min(now.slots for _, now in fewer)
    mend = f"set LLM_SLOTS={least}, and OLLAMA_NUM_PARALLEL={least} at Ollama"
    if all(now.context_tokens * now.slots // was.slots >= LEAST_CONTEXT_TOKENS for was, now in fewer):
        tokens = min(now.context_tokens * now.slots // was.slots for was, now in fewer) // 256 * 256
        mend += f"; or LLM_CONTEXT_TOKENS={tokens}"
    return replace(found, why=f"{found.why}; {told}", mend=mend)


def _heard(speech: Share, card: Card | None, found: Plan) -> Plan:
    """With a word on speech recognition where it does not fit: it has the card for itself, and still."""
    if not card or (speech.needs or 0) <= card.room:
        return found
    mend = "set STT_MODEL to a smaller one, or STT_DEVICE=cpu"
    why = f"{found.why}; but {speech}, which transcribes, does not fit"
    return replace(found, why=why, mend="; ".join(filter(None, (mend, found.mend))))


def _share(engine: LanguageEngine) -> Share:
    needs = engine.needs()
    return Share(
        engine.model, needs, engine.slots, engine.context_tokens, engine.token_bytes() if needs else 0, engine.server
    )


def _speech(engines: Engines) -> Share:
    return Share(engines.speech.model, engines.speech.needs(), engines.speech.slots)


def _size(count: int) -> str:
    return f"{count / GIB:.1f} GiB"
