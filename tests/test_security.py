"""docs/security.md: each requirement of levels 1 and 2 once, no other, and what shows that it is met exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"^\| ([\d.]+(?:–[\d.]+)?) \| (.+?) \| (met|not applicable|not met) \| (.+?) \|$", re.MULTILINE)
# Of ASVS 4.0.3, by section: the numbers of its requirements at level 1 or 2, without those that it has deleted.
NUMBERS: Final = """
1.1: 1-7; 1.2: 1-4; 1.4: 1 4 5; 1.5: 1-4; 1.6: 1-4; 1.7: 1-2; 1.8: 1-2; 1.9: 1-2; 1.10: 1; 1.11: 1-2; 1.12: 2; 1.14: 1-6
2.1: 1-12; 2.2: 1-3; 2.3: 1-3; 2.4: 1-6; 2.5: 1-7; 2.6: 1-3; 2.7: 1-6; 2.8: 1-7; 2.9: 1-3; 2.10: 1-4
3.1: 1; 3.2: 1-4; 3.3: 1-4; 3.4: 1-5; 3.5: 1-3; 3.7: 1
4.1: 1-3 5; 4.2: 1-2; 4.3: 1-3
5.1: 1-5; 5.2: 1-8; 5.3: 1-10; 5.4: 1-3; 5.5: 1-4
6.1: 1-3; 6.2: 1-6; 6.3: 1-2; 6.4: 1-2
7.1: 1-4; 7.2: 1-2; 7.3: 1 3 4; 7.4: 1-3
8.1: 1-4; 8.2: 1-3; 8.3: 1-8
9.1: 1-3; 9.2: 1-4
10.2: 1-2; 10.3: 1-3
11.1: 1-8
12.1: 1-3; 12.2: 1; 12.3: 1-6; 12.4: 1-2; 12.5: 1-2; 12.6: 1
13.1: 1 3-5; 13.2: 1-3 5 6; 13.3: 1-2; 13.4: 1-2
14.1: 1-4; 14.2: 1-6; 14.3: 2 3; 14.4: 1-7; 14.5: 1-4
"""
SECTIONS: Final = dict(part.strip().split(": ") for part in re.split(r"[;\n]", NUMBERS.strip()))
TEXT = (ROOT / "docs" / "security.md").read_text()
ROWS = ROW.findall(TEXT)


def test_every_row_can_be_read_and_no_requirement_is_there_twice() -> None:
    written = [line for line in TEXT.splitlines() if re.match(r"\| \d", line)]
    assert len(written) == len(ROWS) > 200
    ids = [row[0] for row in ROWS]
    assert len(set(ids)) == len(ids)
    assert {int(one.split(".")[0]) for one in ids} == set(range(1, 15))


def numbers(section: str, said: str) -> Iterator[str]:
    for part in said.split():
        first, _, last = part.partition("-")
        yield from (f"{section}.{number}" for number in range(int(first), int(last or first) + 1))


def test_the_requirements_are_those_of_the_standard() -> None:
    asked = {one for section, said in SECTIONS.items() for one in numbers(section, said)}
    answered = set()
    for key in (row[0] for row in ROWS):
        first, _, last = key.partition("–")
        section, _, number = first.rpartition(".")
        answered |= set(numbers(section, f"{number}-{last.rpartition('.')[2] or number}"))
    assert answered == asked


def test_what_is_met_is_shown_by_something_that_exists() -> None:
    shown = {row[0]: re.findall(r"`([\w./-]+\.\w+)`", row[3]) for row in ROWS}
    assert not [row[0] for row in ROWS if row[2] == "met" and not shown[row[0]]]
    assert not [(key, path) for key, paths in shown.items() for path in paths if not (ROOT / path).exists()]


def test_what_is_not_met_says_why() -> None:
    assert not [row[0] for row in ROWS if row[2] == "not met" and len(row[3]) < 9]
