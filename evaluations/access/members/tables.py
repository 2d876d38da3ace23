"""A class list as somebody pasted or uploaded it, read into rows of text. Nothing of it is believed.

Text is parted by tabs, semicolons or commas, quoted as spreadsheets do; files are that, in UTF-8, UTF-16 or
Windows-1252, or an Excel workbook, of which the first sheet is read. Workbooks are read by openpyxl itself and not
through tablib, which fills in all the empty rows and columns that a small file may claim to have.
"""

from __future__ import annotations

import csv
import re
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from io import BytesIO, StringIO
from typing import Final

from django.utils.translation import gettext as _

MAX_BYTES: Final = 1024 * 1024
MAX_ROWS: Final = 300
MAX_COLUMNS: Final = 30
MAX_CELL: Final = 500  # characters
MAX_UNPACKED: Final = 20 * 1024 * 1024  # of a workbook, which is a zip archive
MAX_PARTS: Final = 200

DELIMITERS: Final = "\t;,"
DEFUSED: Final = re.compile(r"'(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")
"""How our own export marks text that a spreadsheet would take for a formula (pages/board/export.py)."""

HEADINGS: Final = {
    "name": ("name", "full name", "student", "students", "student name", "vollständiger name", "schüler", "schülerin"),
    "first": ("first name", "firstname", "given name", "forename", "vorname", "vornamen", "rufname"),
    "last": ("last name", "lastname", "surname", "family name", "nachname", "familienname"),
    "username": ("user name", "username", "user", "login", "account", "benutzername", "benutzer", "anmeldename"),
    "email": ("e-mail", "email", "mail", "e-mail address", "email address", "e-mail-adresse", "emailadresse"),
}
_COLUMN: Final = {heading: column for column, headings in HEADINGS.items() for heading in headings}

_BOMS: Final = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_OLD_EXCEL: Final = b"\xd0\xcf\x11\xe0"
_ZIP: Final = b"PK\x03\x04"
_USER_NAME: Final = re.compile(r"[a-z0-9._+-]*[a-z0-9]")


class UnreadableListError(Exception):
    """The list as a whole can't be taken; the message says why, in the language of the request."""


@dataclass(frozen=True, slots=True)
class ListLine:
    """One row of a list: its number as people count, and its cells by column (keys of HEADINGS)."""

    number: int
    cells: dict[str, str]
    error: str = ""  # why its cells can't be told apart


@dataclass(frozen=True, slots=True)
class NameList:
    """The rows of a list, and what it says of its columns."""

    lines: list[ListLine]
    has_header: bool = False
    unused: list[str] = field(default_factory=list)  # headings of columns that mean nothing here


def of_file(content: bytes) -> str:
    """The text of an uploaded file, a workbook's as lines parted by tabs: what could have been pasted as well.

    Raises:
        UnreadableListError: it is too large, of another kind, or broken.
    """
    if len(content) > MAX_BYTES:
        raise UnreadableListError(_("The file is larger than 1 MB. A list of 300 students is much smaller."))
    if content.startswith(_ZIP):
        return _of_workbook(content)
    if content.startswith(_OLD_EXCEL):
        raise UnreadableListError(_("This is a workbook of an old Excel. Save it as .xlsx or as CSV."))
    return _decoded(content)


def read(text: str) -> NameList:
    """The rows of a pasted list.

    Raises:
        UnreadableListError: there is nothing in it, or too much.
    """
    if len(text) > MAX_BYTES:
        raise UnreadableListError(_("That is too much text for a list of 300 students."))
    if "\0" in text:
        raise UnreadableListError(_("This is no text and no Excel workbook. Save the list as .xlsx or as CSV."))
    rows = _parted(text)
    if not rows:
        raise UnreadableListError(_("There is no name in the list."))
    if len(rows) > MAX_ROWS + 1:
        raise UnreadableListError(_("At most %(count)s students can be taken at once.") % {"count": MAX_ROWS})
    (_first, head, problem), *_others = rows
    named = [_COLUMN.get(_folded(cell), "") for cell in head]
    has_header = any(named) and not problem
    if not has_header:
        named = _guessed([cells for _number, cells, _problem in rows])
    elif not {"name", "first", "last"} & set(named):
        raise UnreadableListError(_("No column is called “Name”, and none “First name” or “Last name”."))
    body = rows[1:] if has_header else rows
    if not body:
        raise UnreadableListError(_("There is no name in the list."))
    if len(body) > MAX_ROWS:
        raise UnreadableListError(_("At most %(count)s students can be taken at once.") % {"count": MAX_ROWS})
    unused = [cell for cell, column in zip(head, named, strict=False) if not column and cell] if has_header else []
    return NameList([_line(*row, named) for row in body], has_header, unused)


def _line(number: int, cells: Sequence[str], problem: str, named: Sequence[str]) -> ListLine:
    if problem:
        return ListLine(number, {}, problem)
    if any(cells[len(named) :]):
        return ListLine(number, {}, _("This row has more cells than there are columns."))
    found: dict[str, str] = {}
    for column, cell in zip(named, cells, strict=False):
        if column:
            found[column] = f"{found[column]} {cell}".strip() if column in found else cell
    return ListLine(number, found)


def _parted(text: str) -> list[tuple[int, list[str], str]]:
    """Number, cells and problem of each line that has anything on it."""
    lines = text.lstrip("\ufeff").splitlines()
    delimiter = next((sign for sign in DELIMITERS if any(sign in line for line in lines)), ",")
    found: list[tuple[int, list[str], str]] = []
    for number, line in enumerate(lines, 1):
        if len(found) > MAX_ROWS + 1:
            break  # too many, whatever follows
        if not line.strip(f" \t{delimiter}\"'"):
            continue
        try:
            # A line at a time: one open quote must not swallow the rest of the class.
            cells, problem = next(csv.reader(StringIO(line), delimiter=delimiter, strict=True)), ""
        except csv.Error:
            cells, problem = [], _("There is a quotation mark that does not end.")
        if len(cells) > MAX_COLUMNS or any(len(cell) > MAX_CELL for cell in cells):
            cells, problem = [], _("This row is too long.")
        found.append((number, [_clean(cell) for cell in cells], problem))
    return found


def _clean(cell: str) -> str:
    return DEFUSED.sub("", cell.strip(), count=1) if cell.strip().startswith("'") else cell.strip()


def _folded(cell: str) -> str:
    return re.sub(r"[\s_]+", " ", cell).strip(" *:").lower()


def _guessed(rows: Sequence[Sequence[str]]) -> list[str]:
    """Which column is which, by what is in it, where no header says so."""
    width = max((len(row) for row in rows), default=0)
    columns = [[row[place] for row in rows if place < len(row) and row[place]] for place in range(width)]
    named = ["email" if cells and all("@" in cell.strip("@") for cell in cells) else "" for cells in columns]
    others = [place for place, column in enumerate(named) if not column and columns[place]]
    if len(others) > 1:  # a single column of words holds names, whatever they look like
        for place in others:
            if all(_USER_NAME.fullmatch(cell) for cell in columns[place]):
                named[place] = "username"
                others.remove(place)
                break
    # Two columns of names: the last name first, as registers have it.
    for place, column in zip(others, ("name",) if len(others) == 1 else ("last", "first"), strict=False):
        named[place] = column
    return named


def _decoded(content: bytes) -> str:
    encoding = next((name for bom, name in _BOMS if content.startswith(bom)), "")
    if not encoding and content[1:200:2].count(0) > len(content[1:200:2]) // 2:
        encoding = "utf-16-le"  # as some programs write it, without a mark
    for one in (encoding,) if encoding else ("utf-8", "cp1252"):
        try:
            return content.decode(one)
        except UnicodeDecodeError:
            continue
    raise UnreadableListError(_("The letters of this file can’t be read. Save it as .xlsx, or as CSV in UTF-8."))


def _of_workbook(content: bytes) -> str:
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            parts = archive.infolist()
        # What a part claims to unpack to is all that is ever read of it.
        too_large = len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED
        rows = [] if too_large else _rows_of_workbook(content)
    except Exception as error:  # openpyxl raises whatever the broken part of a file leads to
        raise UnreadableListError(_("This is no Excel workbook (.xlsx), or a broken one.")) from error
    if too_large:
        raise UnreadableListError(_("This workbook holds far more than a list of students."))
    return "\n".join("\t".join(cells) for cells in rows)


def _rows_of_workbook(content: bytes) -> list[list[str]]:
    import openpyxl  # it brings numpy, a third of a second that no other command or page needs

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and extensions, which nothing here needs
        book = openpyxl.load_workbook(BytesIO(content), read_only=True, data_only=True, keep_links=False)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # a claim
        # One row more than may be, so that a list that is too long shows.
        found = sheet.iter_rows(max_row=MAX_ROWS + 2, max_col=MAX_COLUMNS, values_only=True)
        return [[_text_of(value) for value in row] for row in found]


def _text_of(value: object) -> str:
    """A cell as one could paste it: no tab, no line of its own; a quote is the text's."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, date | datetime):
        value = value.isoformat()
    text = re.sub(r"\s+", " ", str(value)).strip()
    return '"{}"'.format(text.replace('"', '""')) if '"' in text else text
