"""What every operation's description has in common."""

from __future__ import annotations

from typing import Any

from evaluations.api.schemas import Problem


def documented(answer: Any, *refusals: int) -> dict[Any, Any]:
    """The answers of an operation: 200, and every status that it refuses with; nobody is let in without a session."""
    return {200: answer, **dict.fromkeys((401, *refusals), Problem)}
