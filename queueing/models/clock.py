"""The database's clock: the only one that leases and delays use. A process's own clock may be wrong, or have slept.

It may step back by hours: a hardware clock in local time that is set by the network, a machine that was restored. Then
every time in the database lies in the future by as much, and what waits for it would wait as long. So for each there is
a furthest future that its writer could mean. What lies beyond it was written before a step: a delay is over, and
`mend_times` of each model sets the others to what they would be if they were written now.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import F, Q
from django.db.models.functions import Now

from queueing.policy import retries

SLACK_SECONDS: Final = 1.0  # a row that was written since this statement began is no sign of a step


def in_seconds(seconds: float) -> Any:
    """`seconds` from now, negative for the past, for a query."""
    return Now() + timedelta(seconds=seconds)


def is_ahead(column: str, seconds: float = 0.0) -> Q:
    """Whether a time lies further in the future than its writer could mean, who wrote `seconds` from now at most."""
    return Q(**{f"{column}__gt": in_seconds(seconds + SLACK_SECONDS)})


def shifted(column: str, began: str) -> Any:
    """The end of a span whose beginning lies in the future, as if it began now: it keeps its length."""
    return F(column) - (F(began) - Now())


def longest_delay_seconds() -> float:
    """The furthest that a task may be delayed."""
    return retries.longest_delay_seconds(settings.RETRY_BACKOFF_SECONDS, settings.MAX_ATTEMPTS)
