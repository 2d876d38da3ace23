"""What the descriptions of all operations have in common."""

from __future__ import annotations

from typing import Any

from evaluations.api.schemas import Problem


def documented(answer: Any, *refusals: int, success: int = 200) -> dict[Any, Any]:
    """An operation's answers by status: `success`, its refusals, and 401 and 429, which all of them have."""
    return {success: answer, **dict.fromkeys((401, 429, *refusals), Problem)}
