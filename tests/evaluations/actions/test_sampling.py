from __future__ import annotations

import pytest

from evaluations.actions.sampling import evenly


@pytest.mark.parametrize(
    ("count", "spread"), [(0, ""), (1, "c"), (2, "ae"), (3, "ace"), (4, "abde"), (5, "abcde"), (9, "abcde")]
)
def test_spreading_takes_both_ends_and_even_steps(count: int, spread: str) -> None:
    assert "".join(evenly("abcde", count)) == spread
