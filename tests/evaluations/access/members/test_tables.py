"""Class lists as people have them, and as nobody should: all of them end in rows or in words."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from io import BytesIO

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluations.access.members import tables
from evaluations.access.members.tables import MAX_BYTES, MAX_ROWS, UnreadableListError

THREE = [
    {"last": "Groß", "first": "Jürgen", "email": "j@school.example"},
    {"last": "Şahin", "first": "Ayşe", "email": "a@school.example"},
]


def cells(text: str) -> list[dict[str, str]]:
    return [line.cells for line in tables.read(text).lines]


def workbook(*rows: tuple[object, ...]) -> bytes:
    book, file = openpyxl.Workbook(), BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(file)
    return file.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", " ; "])
@pytest.mark.parametrize("head", ["Nachname{0}Vorname{0}E-Mail\n", "LAST NAME{0}first_name{0}email:\r\n", ""])
def test_columns_are_told_apart_whatever_parts_them_with_and_without_headings(delimiter: str, head: str) -> None:
    lines = [delimiter.join((row["last"], row["first"], row["email"])) for row in THREE]
    assert cells(head.format(delimiter) + "\n".join(lines)) == THREE


def test_columns_may_come_in_any_order() -> None:
    found = cells("E-Mail;Benutzername;Name\nj@school.example;jg;Jürgen Groß\n;;Ayşe Şahin")
    assert found[0] == {"email": "j@school.example", "username": "jg", "name": "Jürgen Groß"}
    assert found[1] == {"email": "", "username": "", "name": "Ayşe Şahin"}


def test_without_headings_user_names_and_addresses_are_known_by_their_looks() -> None:
    assert cells("anna.s\tAnna Schmidt\ta@b.example") == [
        {"username": "anna.s", "name": "Anna Schmidt", "email": "a@b.example"}
    ]


def test_one_name_in_a_row_is_enough_blank_rows_are_none_and_rows_keep_their_numbers() -> None:
    found = tables.read("\ufeffAnna Schmidt\n\n  \n;;\nBo\n")
    assert (found.lines[0].number, found.lines[0].cells) == (1, {"name": "Anna Schmidt"})
    assert found.lines[-1].number == 5


def test_columns_that_mean_nothing_here_are_named() -> None:
    assert tables.read("Klasse;Name;Geburtsdatum\n10a;Anna;1.1.2010").unused == ["Klasse", "Geburtsdatum"]


def test_what_begins_like_a_formula_is_text_and_what_our_export_defused_is_as_it_was() -> None:
    names = ["=cmd|' /C calc'!A0", "+Anna", "-Bo", "@Cleo"]
    assert [row["name"] for row in cells("Name\n" + "\n".join(names))] == names
    assert [row["name"] for row in cells("Name\n" + "\n".join(f"'{name}" for name in names))] == names


def test_a_row_with_an_open_quote_or_too_many_cells_is_an_error_of_that_row_alone() -> None:
    found = tables.read('Name;E-Mail\n"Anna;a@b.example\nBo;b@b.example;x\nCleo;c@b.example\n').lines
    assert [bool(line.error) for line in found] == [True, True, False]
    assert [line.number for line in found] == [2, 3, 4]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_the_encodings_of_schools_are_read(encoding: str) -> None:
    text = "Name;E-Mail\nJürgen Groß;j@school.example\nZoë Müller;z@school.example\n"
    assert tables.of_file(text.encode(encoding)) in (text, "\ufeff" + text)


def test_a_workbook_reads_as_what_could_have_been_pasted() -> None:
    file = workbook(
        ("Name", "Benutzername", "E-Mail"), ("Jürgen\nGroß", 4711.0, None), ('Bo "B" Berg', "bo", "b@b.example")
    )
    assert cells(tables.of_file(file)) == [
        {"name": "Jürgen Groß", "username": "4711", "email": ""},
        {"name": 'Bo "B" Berg', "username": "bo", "email": "b@b.example"},
    ]


def test_a_formula_of_a_workbook_is_not_run() -> None:
    assert "=" not in tables.of_file(workbook(("Name",), ('=HYPERLINK("http://evil.example")',), ("Anna",)))


def bomb() -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b" " * (tables.MAX_UNPACKED + 1))
    return file.getvalue()


def far_down() -> bytes:
    """A workbook of a few kilobytes that claims a million rows: only the last one has anything in it."""
    book, file = openpyxl.Workbook(), BytesIO()
    book.active["A1048576"] = "Anna"
    book.save(file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (b"x" * (MAX_BYTES + 1), "larger than 1 MB"),
        (b"PK\x03\x04 no archive", "no Excel workbook"),
        (workbook(("Name",))[:-200], "no Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Excel"),
        (bomb(), "far more than a list"),
        (b"Name\n\x81\x8d\xff", "letters of this file"),
        (b"\xff\xfeN\x00a", "letters of this file"),
    ],
)
def test_a_file_that_is_no_list_is_refused_in_words(file: bytes, words: str) -> None:
    with pytest.raises(UnreadableListError, match=words):
        tables.of_file(file)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no name in the list"),
        ("\n ;; \n", "no name in the list"),
        ("Name;E-Mail\n", "no name in the list"),
        ("E-Mail;Benutzername\na@b.example;a", "No column"),
        ("\0" * 9, "no text"),
        ("Anna\n" * (MAX_ROWS + 1), "At most 300"),
        ("x" * (MAX_BYTES + 1), "too much text"),
    ],
)
def test_a_text_that_is_no_list_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(UnreadableListError, match=words):
        tables.read(text)


def test_a_workbook_that_claims_a_million_rows_is_not_filled_in() -> None:
    with pytest.raises(UnreadableListError, match="no name in the list"):
        tables.read(tables.of_file(far_down()))


def test_three_hundred_rows_are_taken() -> None:
    assert len(tables.read("Name\n" + "Anna\n" * MAX_ROWS).lines) == MAX_ROWS


@given(st.binary(max_size=300))
def test_any_file_becomes_rows_or_words(file: bytes) -> None:
    with suppress(UnreadableListError):
        assert tables.read(tables.of_file(file)).lines
