"""Codes that are typed: every slip of one sign or of two neighbours shows."""

from __future__ import annotations

import pytest

from evaluations.access.members import codes
from evaluations.access.members.codes import ALPHABET


def test_no_sign_looks_like_another() -> None:
    assert not set("01ILO") & set(ALPHABET)
    assert len(set(ALPHABET)) == 31


@pytest.mark.parametrize("length", [6, 9])
def test_every_wrong_sign_and_every_exchange_of_neighbours_is_noticed(length: int) -> None:
    for _ in range(20):
        code = codes.make(length)
        assert codes.read(code, length) == code
        for place in range(length):
            for sign in set(ALPHABET) - {code[place]}:
                assert codes.read(code[:place] + sign + code[place + 1 :], length) is None
        for place in range(length - 1):
            turned = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
            assert turned == code or codes.read(turned, length) is None


def test_it_is_read_as_people_type_it() -> None:
    code = codes.make(9)
    assert codes.shown(code).count("-") == 2
    for typed in (codes.shown(code), code.lower(), f" {code[:4]} {code[4:]} ", codes.shown(code).replace("-", "–")):
        assert codes.read(typed, 9) == code


@pytest.mark.parametrize("typed", ["", "ABC", "ABC-DEF-GHI", "0" * 9, "ABCDEFGH" * 900, "ÄBCDEFGHJ", "\0" * 9])
def test_whatever_else_is_typed_is_no_code(typed: str) -> None:
    assert codes.read(typed, 9) is None


def test_no_two_are_alike() -> None:
    assert len({codes.make(9) for _ in range(1000)}) == 1000
