"""The machine's picture in the docs."""

from __future__ import annotations

from pathlib import Path

from queueing.states import diagram


def test_the_architecture_page_shows_this_machine() -> None:
    page = Path(__file__).parents[2] / "docs" / "architecture.md"
    assert diagram() in page.read_text()
