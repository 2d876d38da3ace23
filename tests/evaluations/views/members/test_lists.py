"""The page on which a class list is shown before it is taken."""

from __future__ import annotations

import re
from html import unescape
from io import BytesIO
from typing import Any

import openpyxl
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from evaluations.models import Classroom
from tests.conftest import Cast
from tests.evaluations.views.conftest import disk, signed_in

__all__ = ["disk"]


@pytest.fixture
def teacher(cast: Cast) -> Client:
    return signed_in(cast.teacher)


def address(classroom: Classroom) -> str:
    return f"/classes/{classroom.pk}/members/import/"


def words_of(answer: Any) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def confirmation(answer: Any) -> dict[str, str]:
    """The fields of the form that confirms."""
    page = answer.content.decode()
    form = re.search(r'<form method="post">(.*?name="confirm".*?)</form>', page, re.DOTALL)
    assert form, page
    fields = dict(re.findall(r'<input type="hidden"\s+name="(\w+)"\s+value="([^"]*)"', form[1]))
    text = re.search(r"<textarea[^>]*>(.*?)</textarea>", form[1], re.DOTALL)
    assert text
    return {**fields, "text": unescape(text[1]).removeprefix("\n")}


def workbook() -> SimpleUploadedFile:
    book, file = openpyxl.Workbook(), BytesIO()
    for row in (("Vorname", "Nachname"), ("Anna", "=1+1"), ("Jürgen", "Groß")):
        book.active.append(row)
    book.active["B2"].data_type = "s"  # text that looks like a formula
    book.save(file)
    return SimpleUploadedFile("10a.xlsx", file.getvalue())


def test_a_pasted_list_is_shown_first_and_taken_when_it_is_confirmed(cast: Cast, teacher: Client) -> None:
    shown = teacher.post(address(cast.classroom), {"text": "Anna Schmidt\nBo Berg"})
    assert shown.status_code == 200
    assert "2 rows. Nothing is written yet." in words_of(shown)
    assert "anna.schmidt" in words_of(shown)
    assert cast.classroom.students.count() == 2
    done = teacher.post(address(cast.classroom), confirmation(shown))
    assert done["Location"] == f"/classes/{cast.classroom.pk}/members/"
    assert "2 students added." in words_of(teacher.get(done["Location"]))
    assert cast.classroom.students.filter(username__in=["anna.schmidt", "bo.berg"]).count() == 2


def test_an_uploaded_workbook_goes_the_same_way(cast: Cast, teacher: Client) -> None:
    shown = teacher.post(address(cast.classroom), {"text": "", "file": workbook(), "deactivates": "on"})
    assert "Not on the list, so they leave the class: ada , bo" in words_of(shown)
    teacher.post(address(cast.classroom), confirmation(shown))
    names = cast.classroom.students.filter(is_active=True).values_list("username", "last_name")
    assert set(names) == {("anna.11", "=1+1"), ("juergen.gross", "Groß")}


def test_errors_are_shown_row_by_row_beside_the_list_and_nothing_can_be_confirmed(cast: Cast, teacher: Client) -> None:
    shown = teacher.post(address(cast.classroom), {"text": "Name;E-Mail\nAnna;a\n;b@b.example\nBo;"})
    words = words_of(shown)
    assert "Row 2: Anna : This is no e-mail address." in words
    assert "Row 3: There is no name." in words
    assert 'name="confirm"' not in shown.content.decode()
    assert "Anna;a" in words  # to be mended


def test_a_confirmation_of_what_is_not_so_any_more_shows_it_anew(cast: Cast, teacher: Client) -> None:
    form = confirmation(teacher.post(address(cast.classroom), {"text": "Anna Schmidt"}))
    teacher.post(address(cast.classroom), form)
    again = teacher.post(address(cast.classroom), form)
    assert again.status_code == 200
    assert "The class has changed since." in words_of(again)
    assert cast.classroom.students.count() == 3


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"text": ""},
        {"text": "\0"},
        {"text": "x\n" * 301},
        {"file": SimpleUploadedFile("a.xls", b"\xd0\xcf\x11\xe0")},
        {"file": SimpleUploadedFile("a.xlsx", b"PK\x03\x04")},
        {"file": SimpleUploadedFile("a.csv", b"a" * (1024 * 1024 + 1))},
        {"file": SimpleUploadedFile("a.csv", b"")},
        {"text": "Name\nAnna", "file": SimpleUploadedFile("a.png", b"\x89PNG\r\n\x1a\n\x00\x00\xff")},
    ],
)
def test_what_is_no_list_is_refused_on_the_page(cast: Cast, teacher: Client, given: dict[str, object]) -> None:
    answer = teacher.post(address(cast.classroom), given)
    assert answer.status_code == 400
    assert b'role="alert"' in answer.content or b"errorlist" in answer.content


def test_names_are_shown_as_text(cast: Cast, teacher: Client) -> None:
    shown = teacher.post(address(cast.classroom), {"text": "<script>alert(1)</script>a\n</textarea><b>x"})
    assert b"<script>alert" not in shown.content
    assert b"<b>x" not in shown.content
    teacher.post(address(cast.classroom), confirmation(shown))
    assert b"<script>alert" not in teacher.get(f"/classes/{cast.classroom.pk}/members/").content
