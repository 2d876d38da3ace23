"""How a worker behaves, gathered from the settings in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from queueing import circuit, jobs, policy, restart

ASK_SECONDS = 60.0  # a model server that is asked whether it is back may have to load its model first
FORECAST_SECONDS = 2.0  # how old what is said of the waits may be


@dataclass(frozen=True, slots=True)
class Options:
    """Each figure comes from the setting of the same name."""

    limits: policy.Limits
    patience: jobs.Patience
    lease_seconds: float
    heartbeat_seconds: float
    poll_seconds: float
    stop_grace_seconds: float
    lock_dir: Path
    ask_seconds: float = ASK_SECONDS
    restarts: Mapping[str, restart.Action | None] = field(default_factory=dict)  # of the server that extracts, rates
    terms: circuit.Terms = field(default_factory=circuit.Terms)
    forecast_seconds: float = FORECAST_SECONDS
    together: bool | None = None  # a person's word on both language models at once; None: as they fit

    @classmethod
    def from_settings(cls, settings: Any) -> Options:
        return cls(
            limits=policy.Limits(
                batch_size=settings.BATCH_SIZE,
                batch_max_wait_seconds=settings.BATCH_MAX_WAIT_SECONDS,
                max_dwell_seconds=settings.PHASE_MAX_DWELL_SECONDS,
                idle_unload_seconds=settings.IDLE_UNLOAD_SECONDS,
            ),
            patience=jobs.Patience(settings.MAX_ATTEMPTS, settings.MAX_CRASHES, settings.RETRY_BACKOFF_SECONDS),
            lease_seconds=settings.LEASE_SECONDS,
            heartbeat_seconds=settings.HEARTBEAT_SECONDS,
            poll_seconds=settings.POLL_SECONDS,
            stop_grace_seconds=settings.STOP_GRACE_SECONDS,
            lock_dir=settings.DATA_DIR / "locks",
            ask_seconds=min(ASK_SECONDS, settings.LLM_DEADLINE_SECONDS),
            restarts={
                "extract": restart.parse(settings.LLM_EXTRACT_RESTART),
                "rate": restart.parse(settings.LLM_RATE_RESTART),
            },
            together=settings.LLM_TOGETHER,
        )
