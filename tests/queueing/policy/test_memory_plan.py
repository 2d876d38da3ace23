"""How a card is shared, without a card."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from introeval.rehearsal.bounds import StageTimes, evaluation
from queueing.engines.base import Engines
from queueing.policy.memory_plan import GIB, MIB, Card, MemoryPlan, Mode, Share, plan, plan_for

GB = 10**9
OLLAMA = "http://127.0.0.1:11434"
WHISPER = Share("base", 2 * GB)
# As their files are, without a cache: what only matters to a sum.
MISTRAL = Share("mistral:7b", int(4.4 * GB), slots=3, server=OLLAMA, roles=("extract",))
LLAMA = Share("llama3:8b", int(4.9 * GB), slots=3, server=OLLAMA, roles=("rate",))
# With the cache of 3 slots of 8192 tokens at 128 KiB each: 3 GiB of its 8.
CACHED = Share("llama3:8b", 8 * GIB, 3, 8192, 128 << 10, OLLAMA, roles=("extract",))
SMALL, MIDDLE, LARGE = (Card(size * GIB) for size in (4, 8, 24))


def elsewhere(share: Share, needs: int | None, server: str = "http://127.0.0.1:11435") -> Share:
    return replace(share, needs=needs, server=server)


@pytest.mark.parametrize(
    ("extract", "rate", "card", "together", "mode"),
    [
        (MISTRAL, LLAMA, MIDDLE, None, Mode.SUB_PHASES),
        (MISTRAL, LLAMA, LARGE, None, Mode.PIPELINED),
        (MISTRAL, LLAMA, SMALL, None, Mode.REFUSED),
        (MISTRAL, LLAMA, Card(24 * GIB, others=12 * GIB), None, Mode.SUB_PHASES),
        (MISTRAL, None, MIDDLE, None, Mode.PIPELINED),
        (MISTRAL, None, SMALL, None, Mode.REFUSED),
        # A person's word decides how, not whether.
        (MISTRAL, LLAMA, MIDDLE, True, Mode.PIPELINED),
        (MISTRAL, LLAMA, LARGE, False, Mode.SUB_PHASES),
        (MISTRAL, LLAMA, SMALL, True, Mode.REFUSED),
        # Unknown: one server is safe only with one model at a time.
        (MISTRAL, elsewhere(LLAMA, None, OLLAMA), LARGE, None, Mode.SUB_PHASES),
        (MISTRAL, elsewhere(LLAMA, None), LARGE, None, Mode.PIPELINED),
        (MISTRAL, LLAMA, None, None, Mode.SUB_PHASES),
        (MISTRAL, elsewhere(LLAMA, 5 * GB), None, None, Mode.PIPELINED),
        # Not this node's memory.
        (elsewhere(MISTRAL, 0), elsewhere(LLAMA, 0), MIDDLE, None, Mode.SUB_PHASES),
        (elsewhere(MISTRAL, 0, ""), elsewhere(LLAMA, 0, ""), MIDDLE, None, Mode.PIPELINED),
        (elsewhere(MISTRAL, 0), LLAMA, MIDDLE, None, Mode.PIPELINED),
    ],
)
def test_how_the_models_share_the_card(
    extract: Share, rate: Share | None, card: Card | None, together: bool | None, mode: Mode
) -> None:
    found = plan(WHISPER, [extract, rate] if rate else [extract], card, together)
    assert found.mode == mode, found.why
    assert extract.model in found.why


FORM, RATING = Share("form", 3 * GIB, server="a"), Share("rating", 4 * GIB, server="b")
IN_TURNS = "one after the other, a batch at a time"
ROOM_OF_8 = "the 6.8 GiB that may be used of the GPU's 8.0 GiB"
APART = "each has a server or a process of its own"
SHARED = "one server for several would change models at every request"


@pytest.mark.parametrize(
    ("rate", "card", "says"),
    [
        (replace(RATING, needs=GIB), MIDDLE, f"form (3.0 GiB) and rating (1.0 GiB) fit together into {ROOM_OF_8}"),
        (
            RATING,
            MIDDLE,
            f"form (3.0 GiB) and rating (4.0 GiB) don't fit together into {ROOM_OF_8}: {IN_TURNS}",
        ),
        (RATING, None, f"no GPU is seen here that form and rating could be held against; {APART}"),
        (
            replace(RATING, server="a"),
            None,
            f"no GPU is seen here that form and rating could be held against; {SHARED}",
        ),
        (
            replace(RATING, needs=None),
            MIDDLE,
            f"form (3.0 GiB) and rating (size unknown) can't be held against {ROOM_OF_8}; {APART}",
        ),
        (
            replace(RATING, needs=None, server="a"),
            MIDDLE,
            f"form (3.0 GiB) and rating (size unknown) can't be held against {ROOM_OF_8}; {SHARED}",
        ),
        (
            replace(RATING, needs=0),
            MIDDLE,
            "at most one of form (3.0 GiB) and rating (0.0 GiB) takes memory of this node's GPU",
        ),
    ],
)
def test_the_plan_of_two_models_says_why(rate: Share, card: Card | None, says: str) -> None:
    assert plan(WHISPER, [FORM, rate], card).why == says


def test_what_other_programs_hold_of_the_card_is_said() -> None:
    found = plan(WHISPER, [Share("m", GIB)], Card(8 * GIB, others=GIB))
    assert found.why.endswith("m; 1.0 GiB of the 5.8 GiB that may be used of the GPU's 8.0 GiB, others hold 1.0 GiB")


def test_two_models_of_a_server_elsewhere_take_turns_for_they_are_not_on_this_card() -> None:
    found = plan(WHISPER, [replace(FORM, needs=0), replace(RATING, needs=0, server="a")], MIDDLE)
    assert str(found) == f"sub-phases: the memory of form and rating is not this node's; {SHARED}"


def test_models_that_fill_the_room_together_to_the_last_byte_are_loaded_together_and_one_byte_more_is_not() -> None:
    rest = MIDDLE.room - 3 * GIB
    assert plan(WHISPER, [FORM, replace(RATING, needs=rest)], MIDDLE).mode == Mode.PIPELINED
    assert plan(WHISPER, [FORM, replace(RATING, needs=rest + 1)], MIDDLE).mode == Mode.SUB_PHASES


def test_a_third_model_on_another_machine_does_not_make_two_fit_that_do_not() -> None:
    remote = Share("coach", 0, server="c")
    rest = replace(RATING, needs=MIDDLE.room - 3 * GIB)
    fits = plan(WHISPER, [FORM, rest, remote], MIDDLE)
    assert str(fits) == f"pipelined: form (3.0 GiB) and rating (3.8 GiB) fit together into {ROOM_OF_8}"
    found = plan(WHISPER, [FORM, replace(rest, needs=rest.needs and rest.needs + 1), remote], MIDDLE)
    assert found.mode == Mode.SUB_PHASES
    assert found.why == f"form (3.0 GiB) and rating (3.8 GiB) don't fit together into {ROOM_OF_8}: {IN_TURNS}"


def test_a_model_that_fits_with_fewer_slots_does_not_keep_one_on_another_machine_from_being_called_beside_it() -> None:
    assert plan(WHISPER, [CACHED, Share("coach", 0, server="c")], MIDDLE).mode == Mode.PIPELINED


@pytest.mark.parametrize(
    ("card", "room"),
    [
        (Card(8 * GIB), int(8 * GIB * 0.85)),
        (Card(2 * GIB), 2 * GIB - 512 * MIB),  # 15 % of it would be too little to spare
        (Card(8 * GIB, others=GIB), int(8 * GIB * 0.85) - GIB),
        (Card(GIB, others=GIB), 0),
    ],
)
def test_what_may_be_used_of_a_card(card: Card, room: int) -> None:
    """F39: the same rule as the guard's before a load."""
    assert card.room == room


def test_a_model_that_fills_the_room_to_the_last_byte_fits_and_one_byte_more_does_not() -> None:
    exact = replace(MISTRAL, needs=MIDDLE.room)
    assert plan(WHISPER, [exact], MIDDLE).mode == Mode.PIPELINED
    assert plan(WHISPER, [replace(exact, needs=MIDDLE.room + 1)], MIDDLE).mode == Mode.REFUSED


@pytest.mark.parametrize("needs", [0, None])
def test_a_model_that_takes_nothing_of_the_card_or_nobody_knows_what_is_not_refused_for_a_full_one(
    needs: int | None,
) -> None:
    assert plan(WHISPER, [Share("m", needs)], Card(8 * GIB, others=8 * GIB)).mode == Mode.PIPELINED


def test_a_refusal_names_the_model_its_need_the_card_and_what_would_fit() -> None:
    found = plan(WHISPER, [replace(CACHED, needs=10 * GIB), CACHED], MIDDLE)
    assert "llama3:8b (10.0 GiB) does not fit into the 6.8 GiB that may be used of the GPU's 8.0 GiB" in found.why
    # Its weights alone are too large, so no context is named.
    assert found.fix == "take a smaller model or quantisation, or free the GPU"


def test_a_refusal_names_the_context_with_which_one_slot_fits() -> None:
    one = replace(CACHED, needs=int(7.1 * GIB), slots=1)
    found = plan(WHISPER, [one], MIDDLE)
    assert found.mode == Mode.REFUSED
    expected = "set LLM_SLOTS=1 and LLM_CONTEXT_TOKENS=5632, or take a smaller model or quantisation, or free the GPU"
    assert found.fix == expected
    shorter = replace(one, context_tokens=5632, needs=int(7.1 * GIB) - (8192 - 5632) * one.token_bytes)
    assert plan(WHISPER, [shorter], MIDDLE).mode == Mode.PIPELINED


@pytest.mark.parametrize(
    ("room", "tokens"),
    [(5632, 5632), (5633, 5632), (5631, 5376), (2048, 2048), (2047, 0), (8191, 7936), (8192, 0), (9000, 0)],
)
def test_the_context_that_fits_is_a_multiple_of_256_worth_having(room: int, tokens: int) -> None:
    one = Share("m", GIB + 8192, slots=1, context_tokens=8192, token_bytes=1)
    assert one.context_within(GIB + room) == tokens
    assert replace(one, needs=None).context_within(GIB + room) == 0
    assert replace(one, token_bytes=0).context_within(GIB + room) == 0


@pytest.mark.parametrize("rate", [None, LLAMA])
def test_a_model_that_fits_with_fewer_slots_gets_as_many_as_fit(rate: Share | None) -> None:
    found = plan(WHISPER, [CACHED, rate] if rate else [CACHED], MIDDLE)
    assert found.mode != Mode.REFUSED
    assert found.slots == {"extract": 1, **({"rate": rate.slots} if rate else {})}
    assert found.needs == (6 * GIB, *([rate.needs] if rate else []))  # 5 GiB, and 1 for each slot
    assert found.why.endswith("; llama3:8b fits with 1 of 3 slots")
    assert found.fix == "set LLM_SLOTS=1, and OLLAMA_NUM_PARALLEL=1 at Ollama; or LLM_CONTEXT_TOKENS=2560"


def test_two_models_that_must_give_up_slots_are_advised_of_what_suits_both() -> None:
    larger = replace(CACHED, model="mistral:7b", needs=7 * GIB + GIB // 2, roles=("rate",))
    card = Card(8 * GIB, others=GIB // 4)
    found = plan(WHISPER, [replace(CACHED, context_tokens=16384, needs=9 * GIB), larger], card)
    assert found.slots == {"extract": 1, "rate": 2}
    assert found.why.endswith("; llama3:8b fits with 1 of 3 slots, mistral:7b fits with 2 of 3 slots")
    assert found.fix == "set LLM_SLOTS=1, and OLLAMA_NUM_PARALLEL=1 at Ollama; or LLM_CONTEXT_TOKENS=5376"


@pytest.mark.parametrize(("context", "advised"), [(6144, True), (6143, False)])
def test_no_context_is_advised_that_is_too_short_for_a_transcript_and_its_answer(context: int, advised: bool) -> None:
    """A third of it, as one of three slots fits: at least 2048 tokens."""
    cache = context * CACHED.token_bytes
    found = plan(WHISPER, [replace(CACHED, context_tokens=context, needs=MIDDLE.room + cache + 1)], MIDDLE)
    assert found.slots == {"extract": 1}
    assert found.fix.endswith("; or LLM_CONTEXT_TOKENS=2048" if advised else "at Ollama")


def test_what_is_advised_in_place_of_fewer_slots_makes_all_of_them_fit() -> None:
    found = plan(WHISPER, [CACHED], MIDDLE)
    context = int(found.fix.rsplit("=", 1)[1])
    shorter = replace(CACHED, context_tokens=context, needs=5 * GIB + 3 * context * CACHED.token_bytes)
    again = plan(WHISPER, [shorter], MIDDLE)
    assert (again.mode, again.slots, again.fix) == (Mode.PIPELINED, {"extract": 3}, "")


def test_slots_are_not_given_up_to_have_both_models_at_once() -> None:
    """Both would fit with one slot each; in turns with three slots a batch is through sooner."""
    card = Card(18 * GIB)
    assert 2 * (CACHED.needs or 0) - 4 * CACHED.slot_bytes <= card.room < 2 * (CACHED.needs or 0)
    found = plan(WHISPER, [CACHED, replace(CACHED, model="mistral:7b", roles=("rate",))], card)
    assert (found.mode, found.slots) == (Mode.SUB_PHASES, {"extract": 3, "rate": 3})
    work = StageTimes(stt=10, extract=15, rate=25, switch=5, slots=3)
    in_turns = -(-10 // 3) * (work.extract + work.rate) + work.switch
    assert in_turns == 165 < evaluation(10, replace(work, slots=1)) == 265


def test_speech_recognition_that_does_not_fit_is_reported_but_does_not_keep_transcripts_from_being_evaluated() -> None:
    found = plan(Share("large-v3", 10 * GB), [MISTRAL, LLAMA], MIDDLE)
    assert found.mode == Mode.SUB_PHASES
    assert found.why.endswith("; but large-v3 (9.3 GiB), which transcribes, does not fit")
    assert found.fix == "set STT_MODEL to a smaller one, or STT_DEVICE=cpu"


def test_advice_for_speech_recognition_comes_before_that_for_language_models() -> None:
    found = plan(Share("large-v3", 10 * GB), [MISTRAL, LLAMA], MIDDLE, together=True)
    assert found.fix == "set STT_MODEL to a smaller one, or STT_DEVICE=cpu; unset LLM_TOGETHER"


@pytest.mark.parametrize(
    ("needs", "card", "warned"),
    [
        (MIDDLE.room, MIDDLE, False),
        (MIDDLE.room + 1, MIDDLE, True),
        (None, MIDDLE, False),
        (None, Card(GIB, others=GIB), False),
        (10 * GB, None, False),
    ],
)
def test_only_speech_recognition_that_is_known_not_to_fit_is_reported(
    needs: int | None, card: Card | None, warned: bool
) -> None:
    found = plan(Share("large-v3", needs), [Share("m", 0)], card)
    assert ("which transcribes" in found.why) == warned


def test_a_word_that_the_figures_contradict_says_so() -> None:
    found = plan(WHISPER, [MISTRAL, LLAMA], MIDDLE, together=True)
    assert found.why.startswith("LLM_TOGETHER says so; without it sub-phases: mistral:7b")
    assert found.fix == "unset LLM_TOGETHER"
    assert "LLM_TOGETHER" not in plan(WHISPER, [MISTRAL, LLAMA], LARGE, together=True).why


def test_models_that_shall_take_turns_although_they_fit_together_are_no_fault_to_be_fixed() -> None:
    found = plan(WHISPER, [MISTRAL, LLAMA], LARGE, together=False)
    assert found.why.startswith("LLM_TOGETHER says so; without it pipelined: mistral:7b")
    assert found.fix == ""
    assert "LLM_TOGETHER" not in plan(WHISPER, [MISTRAL, LLAMA], MIDDLE, together=False).why


def test_a_machine_without_a_gpu_and_one_model_is_described_truthfully() -> None:
    found = plan(Share("tiny.en", 0), [Share("smollm2", 0)], None)
    assert str(found) == "pipelined: all stages are served by one model in memory, smollm2; no GPU is seen here"


@pytest.mark.parametrize(
    ("needs", "says"),
    [
        (GIB, "1.0 GiB of the 6.8 GiB that may be used of the GPU's 8.0 GiB"),
        (None, "its size is unknown"),
        (0, "it uses no GPU memory of this node"),
    ],
)
def test_the_plan_of_one_model_says_where_it_lies(needs: int | None, says: str) -> None:
    found = plan(WHISPER, [Share("m", needs)], MIDDLE)
    assert found.why == f"all stages are served by one model in memory, m; {says}"


@dataclass
class SizedEngine:
    """An engine, as far as a plan asks it."""

    model: str = "llama3:8b"
    size: int | None = 8 * GIB
    slots: int = 3
    context_tokens: int = 8192
    token: int = 128 << 10
    server: str = OLLAMA

    def needs(self) -> int | None:
        return self.size

    def token_bytes(self) -> int:
        assert self.size, "a server that doesn't know the model's size was asked about its cache"
        return self.token


def node(speech: SizedEngine, **language: SizedEngine) -> Engines:
    found: Any = language
    whisper: Any = speech
    return Engines(whisper, found)


BASE = SizedEngine("base", 2 * GB, slots=1, server="")


def test_engines_are_asked_for_their_names_sizes_caches_and_servers() -> None:
    one = SizedEngine()
    found = plan_for(node(BASE, extract=one, rate=one), MIDDLE)
    assert found == plan(WHISPER, [replace(CACHED, roles=("extract", "rate"))], MIDDLE)
    assert (found.slots, found.needs) == ({"extract": 1, "rate": 1}, (6 * GIB,))
    two = node(BASE, extract=SizedEngine("mistral:7b", None), rate=SizedEngine(size=None))
    assert plan_for(two, LARGE).mode == Mode.SUB_PHASES  # of the same server
    assert plan_for(two, LARGE, together=True).mode == Mode.PIPELINED


def test_a_speech_engine_that_does_not_fit_is_named_with_its_size() -> None:
    found = plan_for(node(SizedEngine("large-v3", 10 * GB), rate=SizedEngine(size=0)), MIDDLE)
    assert found.why.endswith("; but large-v3 (9.3 GiB), which transcribes, does not fit")


def test_slots_of_a_plan_are_never_more_than_the_engine_has() -> None:
    two: Any = SizedEngine(slots=2)
    found = MemoryPlan(Mode.PIPELINED, "", slots={"extract": 3, "rate": 1})
    assert [found.slots_of(role, two) for role in ("extract", "rate", "speech")] == [2, 1, 2]
