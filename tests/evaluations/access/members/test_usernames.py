"""User names made from names: readable, in ASCII, and nobody else's."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluations.access.members import usernames


@pytest.mark.parametrize(
    ("first", "last", "made"),
    [
        ("Jürgen", "Groß", "juergen.gross"),
        ("Ju\u0308rgen", "Gro\u00df", "juergen.gross"),  # decomposed, as macOS writes it
        ("Anna Maria", "Müller-Lüdenscheidt", "anna.mueller-luedenscheidt"),
        ("Ludwig", "van Beethoven", "ludwig.van-beethoven"),
        ("Søren", "Ångström", "soren.angstroem"),
        ("Işıl", "Şahin", "isil.sahin"),
        ("Łukasz", "Żak", "lukasz.zak"),
        ("Олена", "Шевченко", "olena.shevchenko"),
        ("Νίκος", "Παππάς", "nikos.pappas"),
        ("Zoë", "", "zoe"),
        ("D'Artagnan", "O’Neill", "dartagnan.oneill"),
        ("نورا", "", "student1"),
        ("=cmd|' /C calc'", "", "cmd"),
    ],
)
def test_letters_are_written_as_people_would(first: str, last: str, made: str) -> None:
    assert usernames.make(first, last, set()) == made


def test_who_comes_later_gets_a_number() -> None:
    taken = {"anna.schmidt", "anna.schmidt2"}
    assert usernames.make("Anna", "Schmidt", taken) == "anna.schmidt3"
    assert usernames.make("李", "明", {"student1"}) == "student2"


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_name_becomes_a_user_name(first: str, last: str) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,35}", usernames.make(first, last, set()))
