"""When a model server is left alone, probed and restarted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from queueing.engines.llm import faults
from queueing.exceptions import Crashed, Infrastructure, Interrupted, OutOfMemory, Permanent, StageError, Transient
from queueing.policy import breaker
from queueing.policy.breaker import BreakerConfig, BreakerState, Move, Sign

CONFIG = BreakerConfig()
GONE = Infrastructure("nobody answers", code="engine_unavailable")
LATE = Transient("no whole answer", code="too_slow")


@pytest.mark.parametrize(
    ("error", "sign"),
    [
        (None, Sign.ANSWER),
        (Transient(code="invalid_answer"), Sign.ANSWER),
        (Transient(code="answer_cut"), Sign.ANSWER),
        (GONE, Sign.FAILURE),
        (Crashed(), Sign.FAILURE),
        (LATE, Sign.PROOF),
        (faults.unfit("no chat"), Sign.PROOF),
        (Infrastructure("no token came in 90 s", code="too_slow"), Sign.PROOF),
        (Transient(), Sign.NOTHING),
        (OutOfMemory(), Sign.NOTHING),
        (Interrupted(), Sign.NOTHING),
        (Permanent(code="too_long_for_model"), Sign.NOTHING),
        (Infrastructure("no space left", code="disk_full"), Sign.NOTHING),
        (Infrastructure("the database: gone"), Sign.NOTHING),
    ],
)
def test_only_what_the_server_did_counts(error: StageError | None, sign: Sign) -> None:
    assert breaker.sign_of(error) is sign


@pytest.mark.parametrize(
    ("status", "text", "code", "sign", "cured"),
    [
        (503, "server busy, please try again: maximum pending requests exceeded", "engine_busy", Sign.FAILURE, False),
        (429, "slow down", "engine_busy", Sign.FAILURE, False),
        (401, "unauthorized", "engine_refuses", Sign.FAILURE, False),
        (404, "model 'llama3' not found", "model_missing", Sign.FAILURE, False),
        (502, "bad gateway", "engine_unavailable", Sign.FAILURE, True),
        (500, "llama runner process has terminated", "crashed", Sign.FAILURE, True),
        (500, "CUDA error: out of memory", "out_of_memory", Sign.NOTHING, False),
        (500, "something else", "unexpected", Sign.NOTHING, False),
        (500, "failed to load model vocabulary required for format", "engine_unfit", Sign.PROOF, False),
        (500, "unable to load model: /models/blobs/sha256-1", "engine_unfit", Sign.PROOF, False),
        (
            500,
            "llama runner process has terminated: unknown model architecture",
            "engine_unfit",
            Sign.PROOF,
            False,
        ),
        (500, "this model requires a newer version of Ollama", "engine_unfit", Sign.PROOF, False),
        (400, "'tiny' does not support chat", "engine_unfit", Sign.PROOF, False),
        (400, "'tiny' does not support generate", "engine_unfit", Sign.PROOF, False),
        (400, "invalid JSON schema in format", "engine_unfit", Sign.PROOF, False),
        (400, "Failed to initialize samplers: failed to parse grammar", "engine_unfit", Sign.PROOF, False),
        (400, "This model does not support response_format json_schema", "engine_unfit", Sign.PROOF, False),
        (500, "unable to load model: cudaMalloc failed: out of memory", "out_of_memory", Sign.NOTHING, False),
        (500, "error loading model", "engine_unavailable", Sign.FAILURE, True),
    ],
)
def test_each_refusal_has_its_meaning(status: int, text: str, code: str, sign: Sign, cured: bool) -> None:
    """F55: what the server answers decides whether it is left alone, and whether a restart could help."""
    error = faults.refusal(status, f'{{"error": "{text}"}}', missing="ollama pull llama3")
    assert (error.code, breaker.sign_of(error)) == (code, sign)
    assert error.burns_attempt == (not isinstance(error, Infrastructure))
    if sign is Sign.FAILURE:
        state = BreakerState(openings=2, error_code=error.code)
        move = breaker.next_move(state, CONFIG, can_restart=True)
        assert move is (Move.RESTART if cured else Move.PROBE)


@pytest.mark.parametrize(
    ("state", "can_restart", "move"),
    [
        (BreakerState(), True, Move.WORK),
        (BreakerState(openings=1, pausing=True), True, Move.WAIT),
        (BreakerState(openings=1), True, Move.PROBE),  # a blip restarts nothing
        (BreakerState(openings=2, pausing=True), True, Move.RESTART),
        (BreakerState(openings=2, pausing=True), False, Move.WAIT),
        (BreakerState(openings=2), False, Move.PROBE),
        (BreakerState(openings=2, pausing=True, asked=True), True, Move.WAIT),  # by somebody else
        (BreakerState(openings=2, asked=True), True, Move.RESTART),  # who died over it
        (BreakerState(openings=3, restarts=1, restart_ages=(30.0,)), True, Move.PROBE),  # it may still come up
        (BreakerState(openings=9, restarts=1, restart_ages=(61.0,)), True, Move.RESTART),
        (BreakerState(openings=9, restarts=3, restart_ages=(300.0, 200.0, 100.0)), True, Move.PROBE),
        (BreakerState(openings=9, restarts=3, restart_ages=(9000.0,) * 3), True, Move.PROBE),  # given up
        (
            BreakerState(openings=2, restarts=0, restart_ages=(599.0, 300.0, 100.0)),
            True,
            Move.PROBE,
        ),  # by others
        (BreakerState(openings=2, restarts=0, restart_ages=(600.0, 300.0, 100.0)), True, Move.RESTART),
        (BreakerState(openings=2, restarts=1, restart_ages=(60.0,)), True, Move.RESTART),
    ],
)
def test_what_is_done_next(state: BreakerState, can_restart: bool, move: Move) -> None:
    assert breaker.next_move(state, CONFIG, can_restart=can_restart) is move


def test_pauses_grow_up_to_a_bound_that_lets_work_resume_within_ten_seconds() -> None:
    """F45"""
    pauses = [breaker.pause_seconds(openings, 0, CONFIG) for openings in (1, 2, 3, 4, 5, 100_000)]
    assert pauses == [2, 4, 8, 8, 8, 8]
    assert breaker.pause_seconds(9, 3, CONFIG) == 60
    assert breaker.pause_seconds(100_000, 0, replace(CONFIG, max_pause=1e9)) == 2 * 2**10  # a number, whatever happens
