"""What the worker's rounds need around them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from queueing.engines.base import Engines
from queueing.engines.llm.simulated import SimulatedLanguage
from queueing.engines.speech.simulated import SimulatedSpeech
from queueing.policy import phases
from queueing.policy.retries import RetryLimits
from queueing.worker.options import Options
from queueing.worker.process import PhaseWorker
from tests.queueing.worker.working import quick


@pytest.fixture(autouse=True)
def media_folder() -> None:
    """With something in it: an empty one is taken for a disk that is not mounted, and would pause everything."""
    settings.MEDIA_ROOT.mkdir(parents=True, exist_ok=True)
    (settings.MEDIA_ROOT / "someone-elses").touch()


@pytest.fixture
def node(tmp_path: Path) -> Callable[..., PhaseWorker]:
    def make(language: SimulatedLanguage | None = None, *, batch_size: int = 2, **more: Any) -> PhaseWorker:
        limits = phases.Limits(batch_size, batch_max_wait_seconds=0.05, max_dwell_seconds=600, idle_unload_seconds=60)
        options = Options(
            limits=limits,
            retries=RetryLimits(max_attempts=3, max_crashes=2, backoff_seconds=0.1),
            lease_seconds=10,
            heartbeat_seconds=1,
            poll_seconds=0.05,
            stop_grace_seconds=0.5,
            lock_dir=tmp_path,
            **more,
        )
        language = language or quick()
        engines = Engines(SimulatedSpeech(seconds=0.05), {"extract": language, "rate": language})
        return PhaseWorker("n", engines, options)

    return make
