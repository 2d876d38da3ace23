"""What must hold before a worker runs; checked at the start of every command."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from queueing import failpoints, pipelines
from queueing.engines.base import SPEECH

REHEARSAL: Final = "INTROEVAL_REHEARSAL"
HEARTBEATS_PER_LEASE: Final = 3  # two may get lost before another worker takes the work over

# What every process needs, one without pages as well. The workers' and operators' commands ask for these alone: for
# Django's own checks of addresses and forms they would load all pages and the API first, a quarter of their start.
RUNTIME: Final = "runtime"

COUNTS: Final = ("BATCH_SIZE", "MAX_ATTEMPTS", "MAX_CRASHES", "LLM_SLOTS")


@register(RUNTIME)
def check_lease(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    lease, heartbeat = settings.LEASE_SECONDS, settings.HEARTBEAT_SECONDS
    if lease >= HEARTBEATS_PER_LEASE * heartbeat:
        return []
    return [
        Error(
            f"LEASE_SECONDS is {lease:g}, but heartbeats are {heartbeat:g} s apart (HEARTBEAT_SECONDS).",
            hint=f"A lease of at least {HEARTBEATS_PER_LEASE} heartbeats, or living workers lose their tasks.",
            id="queueing.E001",
        )
    ]


@register(RUNTIME)
def check_failpoints(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    if not os.environ.get(failpoints.VARIABLE) or settings.DEBUG or os.environ.get(REHEARSAL) == "1":
        return []
    return [
        Error(
            f"{failpoints.VARIABLE} is set: this process would kill itself as planned there.",
            hint=f"Unset it. For a rehearsal, set {REHEARSAL}=1 too.",
            id="queueing.E002",
        )
    ]


@register(RUNTIME)
def check_figures(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    return [Error(f"{problem}.", id="queueing.E003") for problem in _nonsense()]


@register(RUNTIME)
def check_roles(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Every registered stage needs an engine."""
    known = (SPEECH, *settings.LLM_ROLES)
    return [
        Error(
            f"Stage {spec.name!r} asks for the engine {spec.engine!r}, which no setting describes.",
            hint=f"One of {', '.join(known)}; or add the role to LLM_ROLES, with LLM_{spec.engine.upper()}_URL, …",
            id="queueing.E004",
        )
        for spec in pipelines.specs()
        if spec.engine not in known
    ]


def _nonsense() -> Iterator[str]:
    """Figures that can be read and make no sense, one sentence for each."""
    for name in COUNTS:
        if getattr(settings, name) < 1:
            yield f"{name} is {getattr(settings, name)}, it must be 1 or more"
    if settings.BATCH_MAX_WAIT_SECONDS > settings.PHASE_MAX_DWELL_SECONDS:
        yield "BATCH_MAX_WAIT_SECONDS is above PHASE_MAX_DWELL_SECONDS: a batch would wait longer than a phase lasts"
    if settings.POLL_SECONDS > settings.LEASE_SECONDS:
        yield "POLL_SECONDS is above LEASE_SECONDS: no worker would see in time that work was left behind"
