from __future__ import annotations

import contextlib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluations.errors.refusals import RefusedError
from evaluations.uploads import protocol


@given(st.text())
def test_a_shown_name_is_one_short_line_of_visible_characters(name: str) -> None:
    shown = protocol.shown_name(name)
    assert 0 < len(shown) <= 255
    assert "/" not in shown
    assert "\\" not in shown
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in shown)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("C:\\fakepath\\me.mov", "me.mov"),
        ("../../etc/passwd", "passwd"),
        ("me\x00.mp4", "me.mp4"),
        ("holiday\u202e4pm.exe", "holiday4pm.exe"),
        ("Vorstellung – Jürgen.mp4", "Vorstellung – Jürgen.mp4"),
        ("自己紹介.webm", "自己紹介.webm"),
        ("", "video"),
        ("///", "video"),
    ],
)
def test_a_name_keeps_what_a_person_reads(name: str, shown: str) -> None:
    assert protocol.shown_name(name) == shown


@given(st.text(max_size=200))
def test_metadata_is_read_or_refused_and_never_crashes(header: str) -> None:
    with contextlib.suppress(RefusedError):
        assert all(isinstance(value, str) for value in protocol.metadata(header).values())


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Upload-Length": "5", "Upload-Defer-Length": "1"},
        {"Upload-Defer-Length": "2"},
        {"Upload-Length": "-1"},
        {"Upload-Length": "1e3"},
        {"Upload-Length": "٣"},
        {"Upload-Length": "9" * 5000},
        {"Upload-Length": ""},
    ],
)
def test_a_length_that_is_no_plain_number_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(RefusedError) as refused:
        protocol.declared_length(headers)
    assert refused.value.status == 400


def test_a_field_survives_the_way_to_a_header_and_back() -> None:
    fields = {"filename": "Ünï, code.mp4", "classroom": "7", "empty": ""}
    assert protocol.metadata(protocol.metadata_header(fields)) == fields
