"""A real server on the test database, and a real browser in front of it."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils.translation import get_language
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, Route, sync_playwright

from evaluations import demo
from tests.conftest import Cast
from tests.evaluations.material import finish, hand_in
from tests.processes import forks
from tests.processes.conftest import DAPHNE, environment

ROOT = Path(__file__).parent.parent.parent
CHROMIUM = Path("/usr/bin/chromium")
SHELL = Path("/usr/bin/chromium-headless-shell")  # the same engine without a window: a page costs half of the CPU
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
FAKE_DEVICE = "--use-fake-device-for-media-stream=fps=5"  # a quarter of its frames, which it encodes as they come
# Somebody who speaks, again and again: the device's own beep, one a second, is missed by a short recording.
SPEECH = next(clip.path for clip in demo.clips() if clip.path.suffix == ".wav")
MICROPHONE = f"--use-file-for-fake-audio-capture={SPEECH}"
ALLOWED = "--use-fake-ui-for-media-stream"
START_SECONDS = 60
PATIENCE_MS = 20_000
PLAYERS_ARE_READY = """
Promise.all([...document.querySelectorAll("video")].map((player) => !player.currentSrc || player.readyState > 1
  || new Promise((ready) => player.addEventListener("loadeddata", ready))))
"""
PICTURES = os.environ.get("PICTURES")  # the folder of the guides, if their pictures are wanted

T = TypeVar("T")


def elsewhere(work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Run `work` in a thread of its own, as a worker would: Playwright's event loop holds this one."""
    result: list[T] = []

    def run() -> None:
        try:
            result.append(work(*args, **kwargs))
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return result[0]


@contextmanager
def process(program: Sequence[str], *arguments: str, log: Path, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of this project (forks.py) that ends with the block."""
    env = environment(DJANGO_SETTINGS_MODULE="introeval.settings", **settings)
    with log.open("wb") as output:
        started = forks.server.start(program, *arguments, env=env, stdout=output.fileno(), stderr=output.fileno())
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(30)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


def picture(page: Page, name: str) -> None:
    """What the window shows, for the guides in the language that is spoken, if pictures are wanted."""
    if PICTURES:
        page.evaluate(PLAYERS_ARE_READY)
        page.wait_for_timeout(500)  # until a player's controls are drawn
        folder = Path(PICTURES, *([get_language()] if get_language() != settings.LANGUAGE_CODE else []), "images")
        session = page.context.new_cdp_session(page)
        shot = session.send("Page.captureScreenshot", {"format": "webp", "quality": 72})
        folder.mkdir(exist_ok=True)
        Path(folder, f"{name}.webp").write_bytes(base64.b64decode(shot["data"]))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="session")
def site(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a daphne that serves this checkout. One for all: between two requests it keeps nothing of them."""
    subprocess.run([sys.executable, "scripts/assets.py", "--tests"], cwd=ROOT, check=True)
    port = free_port()
    log = tmp_path_factory.mktemp("site") / "daphne.log"
    arguments = ("-b", "127.0.0.1", "-p", str(port), "introeval.asgi:application")
    # Its coach is offered: no model runs in these tests, or a small one that would be no coach. So is mail, which only
    # workers send.
    with process(DAPHNE, *arguments, log=log, LLM_CAN_JUDGE="true", EMAIL_HOST="mail.test") as daphne:
        deadline = time.monotonic() + START_SECONDS
        while not answers(f"http://127.0.0.1:{port}/readyz"):
            assert daphne.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def chromium(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """With a camera and leave to use it; the whole browser, where it is parametrized with switches of its own."""
    # Per module: Playwright keeps an event loop running in this thread, and tests elsewhere need it for theirs.
    given = (FAKE_DEVICE, MICROPHONE, ALLOWED)
    program, switches = (CHROMIUM, request.param) if hasattr(request, "param") else (SHELL, given)
    if not program.is_file():
        pytest.fail(f"There is no {program} on this machine. On Debian: apt-get install {program.name}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*SWITCHES, *switches])
        yield browser
        browser.close()


def session_of(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


@dataclass
class Visit:
    """One person at one computer."""

    url: str
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    def sign_in(self, user: User) -> None:
        """By a session that is there already: the form, and a second's hashing, are for test_journeys.py."""
        session = elsewhere(session_of, user)
        self.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": self.url}])
        self.page.goto("/")

    def answer(self, dialog: Dialog) -> None:
        """Yes to questions; alerts are none of ours."""
        if dialog.type == "alert":
            self.complaints.append(dialog.message)
        dialog.accept()

    def row(self, name: str) -> Any:
        return self.page.locator("#submissions .row").filter(has_text=name)


@contextmanager
def visiting(chromium: Browser, url: str, expected: tuple[str, ...] = (), **profile: Any) -> Iterator[Visit]:
    """A fresh browser profile. At the end nobody may have complained on its console, content security policy included.

    `expected`: what may be complained of; `profile`: arguments of Playwright's `new_context`.
    """
    context = chromium.new_context(base_url=url, **profile)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    visit = Visit(url, context, page)
    page.on("console", lambda message: visit.complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on("dialog", visit.answer)
    yield visit
    context.close()
    assert [said for said in visit.complaints if not any(words in said for words in expected)] == []


@pytest.fixture
def visit(chromium: Browser, site: str, transactional_db: None, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """One person at the site; parametrize indirectly with arguments of Playwright's `new_context`."""
    with visiting(chromium, site, **getattr(request, "param", {})) as visit:
        yield visit


@contextmanager
def full_lab(visit: Visit, cast: Cast) -> Iterator[None]:
    """As much to do as CAPACITY, until the block ends. The answers are the site's own, but for the wait."""
    others = elsewhere(lambda: [hand_in(cast.bo, cast.classroom) for _ in range(settings.CAPACITY)])

    def soon(route: Route) -> None:
        answer = route.fetch()
        wait = {"retry-after": "2"} if answer.status == 503 else {}
        route.fulfill(response=answer, headers={**answer.headers, **wait})

    visit.page.route("**/api/uploads/", soon)
    yield
    elsewhere(finish, others[0])


@pytest.fixture
def ada(visit: Visit, cast: Cast) -> Visit:
    """Ada at her page."""
    visit.sign_in(cast.ada)
    return visit
