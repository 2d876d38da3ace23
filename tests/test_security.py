"""docs/security.md: each requirement once, and what shows that it is met exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"^\| ([\d.]+)(?:–[\d.]+)? \| (.+?) \| (met|not applicable|not met) \| (.+?) \|$", re.MULTILINE)
TEXT = (ROOT / "docs" / "security.md").read_text()
ROWS = ROW.findall(TEXT)


def test_every_row_can_be_read_and_no_requirement_is_there_twice() -> None:
    written = [line for line in TEXT.splitlines() if re.match(r"\| \d", line)]
    assert len(written) == len(ROWS) > 200
    ids = [row[0] for row in ROWS]
    assert len(set(ids)) == len(ids)
    assert {int(one.split(".")[0]) for one in ids} == set(range(1, 15))


def test_what_is_met_is_shown_by_something_that_exists() -> None:
    shown = {row[0]: re.findall(r"`([\w./-]+\.\w+)`", row[3]) for row in ROWS}
    assert not [row[0] for row in ROWS if row[2] == "met" and not shown[row[0]]]
    assert not [(key, path) for key, paths in shown.items() for path in paths if not (ROOT / path).exists()]


def test_what_is_not_met_says_why() -> None:
    assert not [row[0] for row in ROWS if row[2] == "not met" and len(row[3]) < 9]
