"""The database's clock: the only one that leases and delays use. A process's own clock may be wrong, or have slept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models.functions import Now


def in_seconds(seconds: float) -> Any:
    """`seconds` from now, negative for the past, for a query."""
    return Now() + timedelta(seconds=seconds)
