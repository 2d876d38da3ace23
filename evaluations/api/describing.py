"""What every operation's description has in common."""

from __future__ import annotations

from typing import Any

from evaluations.api.schemas import Problem


def documented(answer: Any, *refusals: int, success: int = 200) -> dict[Any, Any]:
    """An operation's answers: `success`, and every status that it refuses with; nobody gets in without a session."""
    return {success: answer, **dict.fromkeys((401, *refusals), Problem)}
