"""A class as a file, opened again by a CSV reader and by openpyxl."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils.timezone import localtime
from django.utils.translation import override

from evaluations.actions import decisions
from evaluations.models import Classroom, ReviewDecision, Submission
from evaluations.pages.board import export
from queueing.exceptions import Permanent
from tests.conftest import Cast
from tests.evaluations.material import fail, finish, hand_in, item_row, rated, write_results
from tests.evaluations.views.conftest import disk, signed_in

__all__ = ["disk"]

DANGEROUS = (
    "=HYPERLINK(1)",
    "+1+1",
    "-2",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "＝1",
)


def read_csv(file: bytes) -> list[dict[str, str]]:
    assert file.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(StringIO(file.decode("utf-8-sig"), newline="")))


def read_xlsx(file: bytes) -> list[dict[str, Any]]:
    head, *rows = openpyxl.load_workbook(BytesIO(file)).active.iter_rows()
    return [{title.value: cell for title, cell in zip(head, row, strict=True)} for row in rows]


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """Whatever language an earlier test's request left behind."""
    with override("en"):
        yield


@pytest.fixture
def ada(cast: Cast) -> Submission:
    """Rated, with one item that her teacher decided; Bo is missing."""
    User.objects.filter(pk=cast.ada.pk).update(first_name="Ada", last_name="Çelik")
    User.objects.filter(pk=cast.teacher.pk).update(first_name="Tea", last_name="Cher")
    submission = hand_in(cast.ada, cast.classroom)
    made = write_results(submission, text="Proof", flags=["doubtful"], model="llama3")
    finish(submission)
    for kind, key, value in (
        (ReviewDecision.Kind.ITEM, "proof", True),
        (ReviewDecision.Kind.COMMENT, "", "=1+1"),
    ):
        decisions.decide(
            submission_id=submission.pk,
            evaluation_id=made.pk,
            by=cast.teacher,
            seen=0,
            kind=kind,
            key=key,
            value=value,
        )
    return submission


def test_a_row_per_student_with_what_counts_and_what_the_program_said(cast: Cast, ada: Submission) -> None:
    client = signed_in(cast.teacher)
    answer = client.get(f"/classes/{cast.classroom.pk}/export.csv")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"].startswith('attachment; filename="Group of Ms Teacher 2')
    first, second = read_csv(answer.content)
    assert first["Name"] == "Ada Çelik"
    assert first["User name"] == "ada"
    assert datetime.fromisoformat(first["Handed in"]) == localtime(ada.created_at).replace(tzinfo=None, microsecond=0)
    assert (first["Status"], first["Error"]) == ("done", "")
    assert (first["Overall"], first["Overall, by the program"]) == ("10.0", "7.5")
    assert first["Comment"] == "'=1+1"
    assert (first["Reviewed"], first["Released"]) == ("no", "yes")
    assert (first["Rubric"], first["Model"]) == (str(cast.classroom.rubric), "llama3")
    assert first["Flags"] == "hard to hear"
    assert (second["Name"], second["Status"], second["Overall"]) == ("bo", "missing", "")


def test_each_item_says_how_it_came_out_and_who_decided_it(cast: Cast, ada: Submission) -> None:
    table = export.table(cast.classroom)
    head = table.headers
    assert head[7:12] == ["Proof", "Proof: Proof", "Proof: decided by", "Proof: Proof", "Proof: decided by"]
    assert table.rows[0][7:12] == [10.0, "yes", "the program", "yes", "Tea Cher"]
    assert table.rows[1][7:12] == [None, "", "", "", ""]


def test_uncertain_and_inapplicable_items_and_other_versions_have_their_columns(cast: Cast) -> None:
    items = [item_row("a", "first", 0.5), item_row("b", "second", None), item_row("c", "third", 0.0)]
    row = {"key": "old", "title": "Old", "weight": 1, "score": 5.5, "items": items}
    rated(hand_in(cast.ada, cast.classroom), overall=5.5, scores=[row])
    other = {"key": "new", "title": "New", "weight": 1, "score": 2.0, "items": [item_row("d", "fourth", 1.0)]}
    rated(hand_in(cast.bo, cast.classroom), overall=2.0, scores=[other])
    table = export.table(cast.classroom)
    found = [dict(zip(table.headers, cells, strict=True)) for cells in table.rows]
    assert [found[0][f"Old: {name}"] for name in ("first", "second", "third")] == ["unsure", "doesn’t apply", "no"]
    assert (found[0]["New"], found[0]["New: fourth"]) == (None, "")
    assert (found[1]["Old"], found[1]["New"], found[1]["New: fourth"]) == (None, 2.0, "yes")


def test_a_workbook_has_numbers_times_and_no_formula(cast: Cast, ada: Submission) -> None:
    answer = signed_in(cast.teacher).get(f"/classes/{cast.classroom.pk}/export.xlsx")
    first, second = read_xlsx(answer.content)
    assert first["Overall"].value == 10.0
    assert first["Overall"].data_type == "n"
    assert isinstance(first["Handed in"].value, datetime)
    assert (first["Comment"].value, first["Comment"].data_type) == ("'=1+1", "s")
    assert second["Overall"].value is None


@pytest.mark.parametrize("text", DANGEROUS)
def test_no_cell_is_taken_for_a_formula(text: str, cast: Cast) -> None:
    User.objects.filter(pk=cast.ada.pk).update(first_name=text, last_name="x")
    Classroom.objects.filter(pk=cast.classroom.pk).update(name="=[]:*?/\\'" + "n" * 80)
    table = export.table(Classroom.objects.get(pk=cast.classroom.pk))
    shown = [row["Name"] for row in read_csv(table.as_format("csv"))]
    assert not [name for name in shown if export.FORMULA.match(name)]
    assert any(name.startswith("'") for name in shown)
    workbook = read_xlsx(table.as_format("xlsx"))
    assert {row["Name"].data_type for row in workbook} == {"s"}


def test_what_no_workbook_can_hold_is_left_out(cast: Cast) -> None:
    User.objects.filter(pk=cast.ada.pk).update(first_name="A\x01d\x0ba\uffff")
    table = export.table(cast.classroom)
    assert read_xlsx(table.as_format("xlsx"))[0]["Name"].value == "Ada"


def test_why_something_failed_is_said_in_words(cast: Cast) -> None:
    fail(hand_in(cast.ada, cast.classroom), Permanent(code="no_audio"))
    first, _ = read_csv(export.table(cast.classroom).as_format("csv"))
    assert (first["Status"], first["Error"]) == ("failed", "There is no sound in it.")


def test_words_are_in_the_readers_language(cast: Cast, ada: Submission) -> None:
    client = Client(headers={"accept-language": "de"})
    client.force_login(cast.teacher)
    first, _ = read_csv(client.get(f"/classes/{cast.classroom.pk}/export.csv").content)
    assert first["Geprüft"] == "nein"


def test_the_command_writes_the_same(cast: Cast, ada: Submission, tmp_path: Path) -> None:
    printed = StringIO()
    call_command("export", cast.classroom.name, stdout=printed)
    assert read_csv(printed.getvalue().encode())[0]["User name"] == "ada"
    file = tmp_path / "class.xlsx"
    call_command("export", str(cast.classroom.pk), output=file)
    assert read_xlsx(file.read_bytes())[0]["User name"].value == "ada"
    call_command("export", str(cast.classroom.pk), output=tmp_path / "class.txt", format="csv")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["class.txt", "class.xlsx"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("nothing",), "There is no class 'nothing'. There are: "),
        ((str(10**30),), "There is no class"),
        (("Group of Ms Teacher", "--format=xlsx"), "name a file with --output"),
        (("Group of Ms Teacher", "--output=class.doc"), "says no format"),
        (("Group of Ms Teacher", "--output=/nowhere/class.csv"), "could not be written"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: tuple[str, ...], why: str, cast: Cast) -> None:
    with pytest.raises(CommandError, match=why):
        call_command("export", *arguments)
