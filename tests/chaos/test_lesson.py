"""A share of the classes that `python -m tests.chaos lesson` evaluates; see docs/proof.md."""

from __future__ import annotations

from typing import Any

import pytest

from evaluations.stages import prompts
from tests.chaos import lesson

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_everybody_of_a_class_is_served_by_real_stages_three_at_once() -> None:
    assert list(lesson.teach(8, seed=1, jitter=0.1)) == []


def test_a_student_who_is_not_served_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(*args: Any, **kwargs: Any) -> Any:
        raise IndexError("string index out of range")

    monkeypatch.setattr(prompts, "numbered", faulty)
    (problem, *_) = lesson.teach(1, seed=1, jitter=0)
    assert "failed unexpected" in problem
