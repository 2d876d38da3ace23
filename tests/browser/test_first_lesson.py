"""The first lesson, as docs/first-lesson.md tells it: from `up --lab` to a released result, by HTTPS that is trusted.

One walk through everything: a class of thirty from a list, cards, a phone that is told to trust the lab, a recording
that a real worker takes through all stages, review and release. It prints clicks and seconds. With PICTURES=docs
(`make pictures`) it takes the guides' pictures on its way, so they show what is walked here, and walks in German, too.
"""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from django.utils import translation
from django.utils.translation import gettext as said
from django.utils.translation import ngettext
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from evaluations.models.privacy import CONSENT_TEXTS
from tests.browser.conftest import (
    ALLOWED,
    FAKE_DEVICE,
    MICROPHONE,
    PATIENCE_MS,
    PICTURES,
    SHELL,
    SWITCHES,
    free_port,
    picture,
)
from tests.processes.lab import Up

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

expect.set_options(timeout=PATIENCE_MS)

FIRST = ("Anna", "Bo", "Cleo", "Dženan", "Emine", "Frederike-Sophie")
LAST = ("Groß", "Şahin", "Berg", "Łuczak", "Müller-Lüdenscheidt")
NAMES = [f"{first} {last}" for last in LAST for first in FIRST]
STUDENT = "Cleo Şahin"
HOST = "introeval.test"  # as if the school's name server knew it
DESK: Final[dict[str, Any]] = {"viewport": {"width": 960, "height": 720}}
WIDE: Final[Any] = {"width": 1200, "height": 800}
PHONE: Final[dict[str, Any]] = {"viewport": {"width": 360, "height": 640}, "has_touch": True}
COUNT_CLICKS = """
addEventListener("click", (event) => {
  if (event.isTrusted) sessionStorage.clicks = Number(sessionStorage.clicks ?? 0) + 1;
}, true);
"""
CERTUTIL = "/usr/bin/certutil"
SIMULATED = {"STT_ENGINE": "simulated", "LLM_PROTOCOL": "simulated", "LLM_EXTRACT_MODEL": "", "LLM_RATE_MODEL": ""}
SCHOOL = "Riverside School"
LANGUAGES = ("en", "de") if PICTURES else ("en",)


@pytest.fixture
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    """In which pages are read, and their words looked up."""
    with translation.override(request.param):
        yield request.param


@pytest.fixture
def lab(tmp_path: Path, language: str) -> Iterator[Up]:
    answers = (SCHOOL, language, "Europe/Berlin", "frau-a")  # to: school, language, time zone, teacher
    settings = {"HTTPS_PORT": str(free_port()), "ALLOWED_HOSTS": HOST, **SIMULATED}
    up = Up(tmp_path / "var", free_port(), tmp_path / "log", "--lab", "--class", "9b", answers=answers, **settings)
    try:
        yield up
    finally:
        up.end(signal.SIGTERM)


@contextmanager
def device(home: Path) -> Iterator[Browser]:
    """A Chromium whose certificates are those of `home`."""
    with sync_playwright() as playwright:
        switches = [*SWITCHES, FAKE_DEVICE, MICROPHONE, ALLOWED, f"--host-resolver-rules=MAP {HOST} 127.0.0.1"]
        env: dict[str, str | float | bool] = {**os.environ, "HOME": str(home)}
        browser = playwright.chromium.launch(executable_path=SHELL, args=switches, env=env)
        yield browser
        browser.close()


@contextmanager
def person(browser: Browser, base_url: str, **profile: Any) -> Iterator[Page]:
    """A fresh profile that counts its clicks."""
    context = browser.new_context(base_url=base_url, locale=translation.get_language(), **profile)
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(COUNT_CLICKS)
    yield context.new_page()
    context.close()


def trust(home: Path, certificate: Path) -> None:
    """What a person does in the device's settings."""
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    for arguments in (["-N", "--empty-password"], ["-A", "-t", "C,,", "-n", "lab", "-i", str(certificate)]):
        subprocess.run([CERTUTIL, "-d", f"sql:{store}", *arguments], check=True)


def clicks(page: Page) -> int:
    return int(page.evaluate("Number(sessionStorage.clicks ?? 0)"))


def get_certificate(page: Page, way: str, box: str, file: Path) -> None:
    """By plain HTTP whatever is typed leads to the page that says how to trust the lab."""
    page.goto(way.removesuffix("trust/"))
    assert page.url == way
    expect(page.locator("#trusted")).to_be_hidden()
    picture(page, "trust")
    with page.expect_download() as download:
        page.get_by_role("link", name=said("Get the lab’s certificate")).click()
    download.value.save_as(file)
    shown = page.locator(".mono").text_content() or ""
    assert shown[:48] in box


def sign_in(page: Page, way: str, password: str) -> None:
    page.goto(way)
    expect(page.locator("#steps")).to_be_hidden()
    page.get_by_role("link", name=said("Go on to the lab")).click()
    page.locator("[name=username]").fill("frau-a")
    page.locator("[name=password]").fill(password)
    page.get_by_label(said("Show what I type")).check()
    expect(page.locator("[name=password]")).to_have_attribute("type", "text")
    page.get_by_role("button", name=said("Sign in")).click()
    expect(page.get_by_role("heading", name=said("First steps"))).to_be_visible()
    picture(page, "first-steps")


def set_up(page: Page) -> str:
    """As a teacher does, from the list of classes to cards; returns the code on one of them."""
    page.goto("/classes/")
    page.get_by_role("link", name="9b").click()
    page.get_by_role("link", name=said("Students"), exact=True).click()
    page.get_by_role("link", name=said("Add from a list")).click()
    page.get_by_label(said("Names, one in a row")).click()
    page.keyboard.insert_text("\n".join(NAMES))  # one paste
    page.get_by_role("button", name=said("Look at it first")).click()
    looked_at = ngettext("%(rows)s row. Nothing is written yet.", "%(rows)s rows. Nothing is written yet.", 30)
    expect(page.get_by_text(looked_at % {"rows": 30})).to_be_visible()
    picture(page, "list")
    page.get_by_role("button", name=said("Do this")).click()
    added = ngettext("%(count)s student added", "%(count)s students added", 30) % {"count": 30}
    expect(page.get_by_text(f"{added}.")).to_be_visible()
    page.get_by_role("button", name=said("Print new cards")).click()
    expect(page.locator(".cards li")).to_have_count(30)
    expect(page.locator(".cards li").first).to_contain_text(SCHOOL)
    picture(page, "cards")
    card = page.locator(".cards li").filter(has_text=STUDENT)
    return card.locator(".card-code").inner_text()


def pages_of(page: Page, folder: Path) -> int:
    """Of paper, that the page in the browser takes."""
    file = page.pdf(path=folder / "cards.pdf", format="A4")
    return len(re.findall(rb"/Type\s*/Page\b", file))


def scan(page: Page, code: str) -> None:
    """The address of the QR code: its code is in the form and out of the address, and one tap is enough."""
    for scanned in ("ABCDEFGHJ", code.replace("-", "")):  # the second one in the same window
        page.goto(f"/card/#{scanned}")
        expect(page.get_by_label(said("The code on your card"))).to_have_value(scanned)
    assert page.url.endswith("/card/")
    picture(page, "card")
    page.get_by_role("button", name=said("Sign in"), exact=True).click()
    expect(page.get_by_text(STUDENT)).to_be_visible()


def record(page: Page) -> None:
    expect(page.get_by_text(CONSENT_TEXTS[translation.get_language()][:60])).to_be_visible()
    page.get_by_role("button", name=said("I agree")).click()  # a new class asks first
    page.get_by_role("link", name=said("Record it here")).click()
    page.get_by_role("button", name=said("Turn on camera and microphone"), exact=True).click()
    button = page.get_by_role("button", name=said("Record"), exact=True)
    button.click()  # it was heard
    expect(page.locator("#recorder")).to_have_attribute("data-safe", re.compile("[1-9]"))
    picture(page, "record")
    page.get_by_role("button", name=said("Stop"), exact=True).click()
    page.get_by_role("button", name=said("Hand in"), exact=True).click()
    expect(page.locator("#recorder")).to_have_attribute("data-state", "done")
    page.get_by_role("link", name=said("My videos")).last.click()
    expect(page.get_by_text(said("Your teacher looks at it first."), exact=True)).to_be_visible()
    picture(page, "done")


def review(page: Page) -> None:
    page.goto("/classes/")
    page.get_by_role("link", name="9b").click()
    expect(page.get_by_role("row").filter(has_text=STUDENT)).to_contain_text(said("done"))
    picture(page, "class")
    page.get_by_role("link", name=said("Review"), exact=True).click()
    expect(page.get_by_role("button", name=said("Keys"))).to_be_visible()  # the script runs
    page.set_viewport_size(WIDE)
    picture(page, "review")
    page.keyboard.press("Shift+Enter")
    expect(page.locator("#review")).to_contain_text(said("the student sees it"))


def look(page: Page) -> None:
    seen = said('See the result<span class="visually-hidden"> of %(name)s</span>').partition("<")[0]
    page.get_by_role("link", name=seen).click()
    expect(page.get_by_role("heading", name=said("Scores"))).to_be_visible()
    picture(page, "result")


def assert_cookies_are_for_https(context: BrowserContext) -> None:
    assert all(cookie["secure"] for cookie in context.cookies())
    assert "__Host-sessionid" in {cookie["name"] for cookie in context.cookies()}


@pytest.mark.parametrize("language", LANGUAGES, indirect=True)
def test_a_class_of_thirty_has_its_first_lesson(lab: Up, tmp_path: Path) -> None:
    started = time.monotonic()
    port = lab.ready().rstrip("/").rpartition(":")[2]
    ready = time.monotonic()
    url, certificate, home = f"https://{HOST}:{port}", tmp_path / "introeval-lab.crt", tmp_path / "home"
    assert f"School: {SCHOOL}" in lab.box
    assert "Time zone: Europe/Berlin" in lab.box
    (way,) = (found.replace(found.split("/")[2].split(":")[0], HOST) for found in re.findall(r"http://\S+/", lab.box))
    (password,) = re.findall(r"Password of frau-a: (\S+)", lab.box)

    with device(home) as browser, person(browser, url, **PHONE) as page:
        get_certificate(page, way, lab.box, certificate)
    trust(home, certificate)
    with device(home) as browser, person(browser, url, **DESK) as teacher, person(browser, url, **PHONE) as student:
        sign_in(teacher, way, password)
        code = set_up(teacher)
        made = time.monotonic()
        to_cards = clicks(teacher)
        assert pages_of(teacher, tmp_path) == 1
        scan(student, code)
        record(student)
        review(teacher)
        look(student)
        assert student.evaluate("document.documentElement.scrollWidth") <= 360
        print(  # noqa: T201 - what the test is for
            f"READY in {ready - started:.1f} s; from there 30 students with cards in {made - ready:.1f} s, {to_cards}"
            f" clicks and 1 paste; released after {time.monotonic() - ready:.1f} s, {clicks(teacher)} clicks of the"
            f" teacher, {clicks(student)} taps of the student"
        )
        assert to_cards <= 10
        for page in (teacher, student):
            assert_cookies_are_for_https(page.context)

    answer = httpx.get(f"https://localhost:{port}/login/", verify=ssl.create_default_context(cafile=certificate))
    assert all("Secure" in cookie for cookie in answer.headers.get_list("set-cookie"))
