"""A class of thirty by one person: names are pasted, cards are printed, and a student signs in on a phone."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PATIENCE_MS, elsewhere, visiting
from tests.browser.test_pages import AXE, EVERYTHING, MIN_PIXELS, RULES, RUN_AXE, TOO_SMALL
from tests.conftest import Cast

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

expect.set_options(timeout=PATIENCE_MS)

FIRST = ("Anna", "Bo", "Cleo", "Dženan", "Emine", "Frederike-Sophie")
LAST = ("Groß", "Şahin", "Berg", "Łuczak", "Müller-Lüdenscheidt")
NAMES = [f"{first} {last}" for last in LAST for first in FIRST]
COUNT_CLICKS = """
addEventListener("click", (event) => {
  if (event.isTrusted) sessionStorage.clicks = Number(sessionStorage.clicks ?? 0) + 1;
}, true);
"""
PHONE: Final[dict[str, Any]] = {"viewport": {"width": 360, "height": 640}, "has_touch": True}


def axe(page: Page) -> list[str]:
    page.evaluate(AXE.read_text())
    found: list[str] = page.evaluate(RUN_AXE, [EVERYTHING, RULES["light"]])
    return found


def set_up(page: Page) -> tuple[str, int]:
    """As a teacher does, from the list of classes to cards; the code on one of them, and how many clicks it took."""
    page.goto("/classes/")
    page.get_by_role("link", name="Group of Ms Teacher").click()
    page.get_by_role("link", name="Students", exact=True).click()
    page.get_by_role("link", name="Add from a list").click()
    field = page.get_by_label("Names, one in a row")
    field.click()
    page.keyboard.insert_text("\n".join(NAMES))  # one paste
    page.get_by_role("button", name="Look at it first").click()
    expect(page.get_by_text("30 rows. Nothing is written yet.")).to_be_visible()
    assert axe(page) == []
    page.get_by_role("button", name="Do this").click()
    expect(page.get_by_text("30 students added.")).to_be_visible()
    assert axe(page) == []
    page.get_by_role("button", name="Print new cards").click()
    card = page.locator(".cards li").filter(has_text="Cleo Şahin")
    return card.locator(".card-code").inner_text(), int(page.evaluate("sessionStorage.clicks"))


def pages_of(page: Page, folder: Path) -> int:
    """Of paper, that the page in the browser takes."""
    file = page.pdf(path=folder / "cards.pdf", format="A4")
    return len(re.findall(rb"/Type\s*/Page\b", file))


def test_thirty_students_have_cards_within_two_minutes_and_one_signs_in_on_a_phone(
    chromium: Browser, site: str, transactional_db: None, cast: Cast, tmp_path: Path
) -> None:
    elsewhere(cast.classroom.students.clear)
    with visiting(chromium, site) as teacher:
        teacher.page.add_init_script(COUNT_CLICKS)
        teacher.sign_in(cast.teacher)
        began = time.monotonic()
        code, clicks = set_up(teacher.page)
        seconds = time.monotonic() - began
        print(f"30 students: {clicks} clicks, 1 paste, {seconds:.1f} s")  # noqa: T201 - what the test is for
        assert clicks <= 8
        expect(teacher.page.locator(".cards li")).to_have_count(30)
        assert axe(teacher.page) == []
        assert pages_of(teacher.page, tmp_path) == 1
    with visiting(chromium, site, **PHONE) as student:
        sign_in_by_scan(student.page, code)
        expect(student.page.get_by_text("Cleo Şahin")).to_be_visible()
        student.page.goto("/account/")
        assert axe(student.page) == []


def sign_in_by_scan(page: Page, code: str) -> None:
    """The address of the QR code: its code is in the form and out of the address, and one tap is enough."""
    page.goto(f"/card/#{code.replace('-', '')}")
    expect(page.get_by_label("The code on your card")).to_have_value(code.replace("-", ""))
    assert page.url.endswith("/card/")
    assert axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate(f"({TOO_SMALL})({MIN_PIXELS})") == []
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/")
