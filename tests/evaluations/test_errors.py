from __future__ import annotations

import re
from pathlib import Path

import pytest

from evaluations import errors

ROOT = Path(errors.__file__).parent.parent


def codes_in_the_code() -> set[str]:
    """Every `code="…"` and `default_code = "…"` of the sources, and what uploads refuse with."""
    found: set[str] = set()
    for path in [*(ROOT / "queueing").rglob("*.py"), *(ROOT / "evaluations").rglob("*.py")]:
        text = path.read_text()
        found |= set(re.findall(r"""(?:\bcode|default_code)(?::[^=\n]*)?\s*=\s*"([a-z_]+)\"""", text))
        found |= set(re.findall(r"""RefusedError\(\d+, "([a-z_]+)\"""", text))
    return found


def test_every_code_that_is_raised_has_words() -> None:
    assert codes_in_the_code() <= set(errors.CATALOGUE)
    assert len(codes_in_the_code()) > 15


@pytest.mark.parametrize("code", errors.CATALOGUE)
def test_every_error_says_what_happened_and_what_to_do(code: str) -> None:
    words = errors.explain(code)
    assert words.title
    assert not words.title.endswith(".")
    assert words.what.endswith(".")
    assert words.todo.endswith(".")


def test_a_code_nobody_has_words_for_is_unexpected() -> None:
    assert errors.explain("no_such_code") == errors.explain("unexpected")
