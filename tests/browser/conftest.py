"""A real server on the test database, and a real browser in front of it."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from django.contrib.auth.models import User
from django.db import connection
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, sync_playwright

from tests.conftest import PASSWORD, Cast
from tests.processes.conftest import environment

ROOT = Path(__file__).parent.parent.parent
CHROMIUM = Path("/usr/bin/chromium")
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
FAKE_DEVICE = "--use-fake-device-for-media-stream"
ALLOWED = "--use-fake-ui-for-media-stream"
START_SECONDS = 60
PATIENCE_MS = 20_000

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
def process(*command: str, log: Path, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of this project that ends with the block."""
    env = environment(DJANGO_SETTINGS_MODULE="introeval.settings", **settings)
    with log.open("wb") as output:
        started = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=env, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(30)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def site(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a daphne that serves this checkout."""
    subprocess.run([sys.executable, "scripts/assets.py", "--tests"], cwd=ROOT, check=True)
    port = free_port()
    log = tmp_path_factory.mktemp("site") / "daphne.log"
    with process("-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "introeval.asgi:application", log=log) as daphne:
        deadline = time.monotonic() + START_SECONDS
        while not answers(f"http://127.0.0.1:{port}/healthz"):
            assert daphne.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def chromium(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """With a camera and leave to use it, or with the switches it is parametrized with."""
    # Per module: Playwright keeps an event loop running in this thread, and tests elsewhere need it for theirs.
    if not CHROMIUM.is_file():
        pytest.fail("There is no Chromium on this machine. On Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        switches = getattr(request, "param", (FAKE_DEVICE, ALLOWED))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*SWITCHES, *switches])
        yield browser
        browser.close()


@dataclass
class Visit:
    """One person at one computer."""

    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    def sign_in(self, user: User) -> None:
        self.page.goto("/login/")
        self.page.get_by_label("Name").fill(user.username)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url("**/")

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
    visit = Visit(context, page)
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


@pytest.fixture
def ada(visit: Visit, cast: Cast) -> Visit:
    """Ada at her page."""
    visit.sign_in(cast.ada)
    return visit
