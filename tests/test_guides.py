"""The guides in docs/: what they promise to be on the pages is there, no error lacks its row, no command is made up."""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import Any, Final

import pytest
from babel.messages.pofile import read_po
from django.contrib import admin
from django.core.management import get_commands, load_command_class

from evaluations.errors.catalogue import CATALOGUE
from introeval import doctor
from queueing.policy import alerts
from tests.lanes import ROOT

DOCS: Final = ROOT / "docs"
# Their words in bold are those of the pages, in this language.
SPOKEN: Final = {
    "student.md": "en",
    "first-lesson.md": "en",
    "training.md": "en",
    "de/student.md": "de",
    "de/first-lesson.md": "de",
    "de/teacher.md": "de",
}
GUIDES: Final = sorted(path.relative_to(DOCS).as_posix() for path in (*DOCS.glob("*.md"), *DOCS.glob("de/*.md")))
SAID_BY_BROWSERS: Final = {"can't be reached", "your connection is not private"}
TROUBLE: Final = DOCS / "troubleshooting.md"
PICTURE: Final = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")
MAX_PICTURE, MAX_PICTURES = 60 * 1024, 300 * 1024  # bytes: of one, and of all in one language
# What the box, a terminal or a keyboard says, and no page.
NOT_ON_PAGES: Final = {"READY", "z"}
# These name words of the admin, too, and print something bold that is nobody's words.
STAFFS: Final = {
    "teacher.md": {"k", "?", "earlier"},  # keys; the last one is amid a sentence of the board
    "privacy.md": {"Backups from before have everything."},
    "troubleshooting.md": {
        *("ALERT: not ready", "The machine is dead", "Nobody knows what holds it up", "A lesson can't wait"),
    },
    "lab-protocol.md": {"your"},
}


@cache
def shown(language: str) -> frozenset[str]:
    """As people read it: without markup, and what is only for those who hear the page."""
    with (ROOT / "locale" / "de" / "LC_MESSAGES" / "django.po").open("rb") as file:
        found = [(message.id if language == "en" else message.string) or "" for message in read_po(file)]
    texts = [one for each in found for one in ([each] if isinstance(each, str) else each)]
    return frozenset(re.sub(r"<span.*?</span>|<[^>]+>", "", text) for text in texts)


@pytest.mark.parametrize("guide", SPOKEN)
def test_every_word_in_bold_is_one_of_the_pages(guide: str) -> None:
    body = (DOCS / guide).read_text().split("\n## ", 1)[1]
    bold = {" ".join(words.split()) for words in re.findall(r"\*\*(.+?)\*\*", body, re.DOTALL)} - NOT_ON_PAGES
    assert len(bold) > 4
    assert not [words for words in bold if not any(each.startswith(words) for each in shown(SPOKEN[guide]))]


@cache
def in_the_admin() -> frozenset[str]:
    """Models, fields, choices, columns and actions, by their names there, in small letters."""
    found: set[object] = set()
    for model, shown_there in admin.site._registry.items():
        fields = model._meta.get_fields()
        found |= {model._meta.verbose_name, model._meta.verbose_name_plural}
        found |= {field.verbose_name for field in fields if hasattr(field, "verbose_name")}
        found |= {label for field in fields for _, label in getattr(field, "choices", None) or ()}
        found |= {action.label for action in getattr(shown_there, "confirmed_actions", {}).values()}
        named_there = (*shown_there.list_display, *(shown_there.actions or ()))
        found |= {getattr(getattr(shown_there, str(name), None), "short_description", "") for name in named_there}
    return frozenset(str(each).lower() for each in found)


@pytest.mark.parametrize("guide", STAFFS)
def test_a_word_in_bold_for_the_staff_is_one_of_the_pages_or_of_the_admin(guide: str) -> None:
    text = (DOCS / guide).read_text().split("\n## ", 1)[1].partition("\n## A text for the school")[0]
    bold = {" ".join(words.split()) for words in re.findall(r"\*\*(.+?)\*\*", text, re.DOTALL)}
    bold -= STAFFS[guide] | NOT_ON_PAGES
    assert bold
    unknown = [words for words in bold if not any(each.startswith(words) for each in shown("en"))]
    assert not [words for words in unknown if words.lower() not in in_the_admin()]


def test_what_troubleshooting_quotes_is_said_by_a_page_or_by_up() -> None:
    quoted = {words for row in rows() for words in re.findall(r'"([^"]+)"', row[0])} - SAID_BY_BROWSERS
    assert len(quoted) > 8
    up = re.sub(r"\{\w+\}", "0", (ROOT / "introeval" / "management" / "commands" / "up.py").read_text())
    unknown = [words for words in quoted if not any(each.startswith(words) for each in shown("en"))]
    assert not [words for words in unknown if re.sub(r"\d+", "0", words) not in up]


def rows() -> list[list[str]]:
    """The cells of each row of the tables in troubleshooting.md."""
    lines = TROUBLE.read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]


def named() -> set[str]:
    """What stands in a first column as `code`."""
    return {code for row in rows() for code in re.findall(r"`(\w+)`", row[0])}


def test_every_alert_has_its_row() -> None:
    sources = [path.read_text() for package in ("evaluations", "queueing") for path in (ROOT / package).rglob("*.py")]
    kinds = {kind for source in sources for kind in re.findall(r'FiringAlert\(\s*"(\w+)"', source)}
    assert kinds > alerts.LAB_KINDS | alerts.NODE_KINDS
    assert {*kinds, alerts.BACKUP_OLD} - named() == set()


def test_every_error_that_somebody_else_has_to_mend_has_its_row() -> None:
    """Those of which students are told to ask their teacher, or that the work goes on when something is back."""
    others = {code for code, words in CATALOGUE.items() if re.search(r"your teacher|by itself when", words.todo)}
    assert len(others) > 20
    assert others - named() == set()


def test_every_finding_of_doctor_has_its_row() -> None:
    told = {name for row in rows() for name in row[0].split(", ")}
    names = {name_of(check) for check in (*doctor.MACHINE, *doctor.SERVERS, *doctor.ENGINES)}
    assert names - told == set()


def name_of(check: doctor.Check) -> str:
    """Under which its findings are shown."""
    found = re.search(
        r'(?:ok|warning|failure|_language_model)\("([\w -]+)"|\bname[^=\n]*= "([^"]+)"', inspect.getsource(check)
    )
    assert found, check
    return found[1] or found[2]


@pytest.mark.parametrize("guide", GUIDES)
def test_a_command_is_one_of_ours_with_options_that_it_has(guide: str) -> None:
    found = re.findall(r"manage\.py (\w+)((?: +(?:--?[\w-]+|[^\s`|#\\]+))*)", (DOCS / guide).read_text())
    wrong = [
        (name, option) for name, rest in found for option in re.findall(r"(--[\w-]+)", rest) if not takes(name, option)
    ]
    unknown = [name for name, _ in found if name not in get_commands()]
    assert not unknown
    assert not wrong


@cache
def options_of(name: str) -> frozenset[str]:
    app = get_commands()[name]
    command: Any = app if not isinstance(app, str) else load_command_class(app, name)
    parser = command.create_parser("manage.py", name)
    return frozenset(option for action in parser._actions for option in action.option_strings)


def takes(name: str, option: str) -> bool:
    return name in get_commands() and option in options_of(name)


def pictures(guide: str) -> dict[str, str]:
    """Where each lies, beside the guide, and what it shows."""
    return {place: words for words, place in PICTURE.findall((DOCS / guide).read_text())}


@pytest.mark.parametrize("guide", [guide for guide in GUIDES if guide.startswith("de/") and pictures(guide)])
def test_a_german_guide_shows_the_same_as_the_english_one_on_german_pages(guide: str) -> None:
    assert list(pictures(guide)) == list(pictures(guide.removeprefix("de/")))
    files = [((DOCS / guide).parent / place, DOCS / place) for place in pictures(guide)]
    assert not [ours for ours, english in files if ours.read_bytes() == english.read_bytes()]


def test_pictures_are_small_and_said_in_words() -> None:
    used = [words for guide in GUIDES for words in pictures(guide).values()]
    assert used
    assert all(len(words) > 15 for words in used)
    for folder in DOCS.rglob("images"):
        sizes = [path.stat().st_size for path in folder.iterdir()]
        assert max(sizes) <= MAX_PICTURE
        assert sum(sizes) <= MAX_PICTURES
