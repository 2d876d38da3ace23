"""When a batch starts, who joins it and when it is closed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueing.policy.batches import Filling, fill, is_ready, sizes


@pytest.mark.parametrize(
    ("due", "oldest", "ready"), [(0, 100.0, False), (1, 2.9, False), (1, 3.0, True), (9, 0.0, False), (10, 0.0, True)]
)
def test_a_batch_starts_when_it_is_full_or_its_first_upload_has_waited(due: int, oldest: float, ready: bool) -> None:
    assert is_ready(due, oldest, size=10, max_wait_seconds=3) == ready


@pytest.mark.parametrize(
    ("taken", "unfinished", "filling"),
    [
        (0, 0, Filling(close=False, room=10)),  # there is none
        (4, 4, Filling(close=False, room=6)),
        (4, 0, Filling(close=False, room=6)),  # all transcribed, and there is room
        (10, 1, Filling(close=False, room=0)),
        (10, 0, Filling(close=True, room=10)),
        (12, 3, Filling(close=False, room=0)),  # BATCH_SIZE was made smaller meanwhile
    ],
)
def test_who_may_join_and_whether_it_is_closed(taken: int, unfinished: int, filling: Filling) -> None:
    assert fill(taken, unfinished, size=10) == filling


@given(st.integers(0, 200), st.integers(1, 20))
def test_a_line_becomes_full_batches_and_a_rest(waiting: int, size: int) -> None:
    found = list(sizes(waiting, size=size))
    assert sum(found) == waiting
    assert all(each == size for each in found[:-1])
    assert all(0 < each <= size for each in found)
