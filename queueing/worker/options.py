"""How a worker behaves, gathered from the settings in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from queueing.policy.breaker import BreakerConfig
from queueing.policy.phases import Limits
from queueing.policy.retries import RetryLimits
from queueing.worker import restart

PROBE_SECONDS = 60.0  # a model server that is probed may have to load its model first
FORECAST_SECONDS = 2.0  # how old an estimate of the waits may be


@dataclass(frozen=True, slots=True)
class Options:
    """Each figure comes from the setting of the same name."""

    limits: Limits
    retries: RetryLimits
    lease_seconds: float
    heartbeat_seconds: float
    poll_seconds: float
    stop_grace_seconds: float
    lock_dir: Path
    probe_seconds: float = PROBE_SECONDS
    restarts: Mapping[str, restart.RestartAction | None] = field(default_factory=dict)  # of the server, by role
    breaker: BreakerConfig = field(default_factory=BreakerConfig)
    forecast_seconds: float = FORECAST_SECONDS
    alert_seconds: float = 20.0
    history_days: float = 400.0  # that events and attempts are kept
    worker_max_bytes: int = 1024**3  # policy.growth.most_bytes
    child_max_bytes: int = 0  # the same, of a model's process
    together: bool | None = None  # whether a person wants all language models loaded at once; None: if they fit

    @classmethod
    def from_settings(cls, settings: Any) -> Options:
        return cls(
            limits=Limits(
                batch_size=settings.BATCH_SIZE,
                batch_max_wait_seconds=settings.BATCH_MAX_WAIT_SECONDS,
                max_dwell_seconds=settings.PHASE_MAX_DWELL_SECONDS,
                idle_unload_seconds=settings.IDLE_UNLOAD_SECONDS,
            ),
            retries=RetryLimits(settings.MAX_ATTEMPTS, settings.MAX_CRASHES, settings.RETRY_BACKOFF_SECONDS),
            lease_seconds=settings.LEASE_SECONDS,
            heartbeat_seconds=settings.HEARTBEAT_SECONDS,
            poll_seconds=settings.POLL_SECONDS,
            stop_grace_seconds=settings.STOP_GRACE_SECONDS,
            lock_dir=settings.DATA_DIR / "locks",
            probe_seconds=min(PROBE_SECONDS, settings.LLM_DEADLINE_SECONDS),
            restarts={
                role: restart.parse(getattr(settings, f"LLM_{role.upper()}_RESTART")) for role in settings.LLM_ROLES
            },
            alert_seconds=settings.ALERT_SECONDS,
            history_days=settings.HISTORY_DAYS,
            worker_max_bytes=settings.WORKER_MAX_MEMORY_BYTES,
            child_max_bytes=settings.CHILD_MAX_MEMORY_BYTES,
            together=settings.LLM_TOGETHER,
        )
