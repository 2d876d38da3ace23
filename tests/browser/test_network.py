"""`up --lab` from a device of the school's network: how it comes to trust the lab, and a recording by HTTPS."""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

from tests.browser.conftest import ALLOWED, FAKE_DEVICE, PATIENCE_MS, SHELL, SWITCHES, free_port
from tests.processes.lab import ROOT, Up

pytestmark = pytest.mark.slow

expect.set_options(timeout=PATIENCE_MS)

PHONE: ViewportSize = {"width": 360, "height": 740}
CERTUTIL = "/usr/bin/certutil"
SIMULATED = {"STT_ENGINE": "simulated", "LLM_PROTOCOL": "simulated", "LLM_EXTRACT_MODEL": "", "LLM_RATE_MODEL": ""}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Up]:
    options = ("--lab", "--teacher", "frau-a", "--class", "9b", "--language", "de")
    up = Up(tmp_path / "var", free_port(), tmp_path / "log", *options, HTTPS_PORT=str(free_port()), **SIMULATED)
    try:
        yield up
    finally:
        up.end(signal.SIGTERM)


@contextmanager
def device(home: Path) -> Iterator[Page]:
    """A phone-sized Chromium whose certificates are those of `home`."""
    with sync_playwright() as playwright:
        switches = [*SWITCHES, FAKE_DEVICE, ALLOWED]
        env: dict[str, str | float | bool] = {**os.environ, "HOME": str(home)}
        browser = playwright.chromium.launch(executable_path=SHELL, args=switches, env=env)
        yield browser.new_context(viewport=PHONE, locale="en-GB").new_page()
        browser.close()


def trust(home: Path, certificate: Path) -> None:
    """What a person does in the device's settings."""
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    for arguments in (["-N", "--empty-password"], ["-A", "-t", "C,,", "-n", "lab", "-i", str(certificate)]):
        subprocess.run([CERTUTIL, "-d", f"sql:{store}", *arguments], check=True)


def make_student(up: Up) -> None:
    code = (
        "from django.contrib.auth.models import User; from evaluations.models import Classroom\n"
        "user = User.objects.create_user('ada', password='a-long-passphrase')\n"
        "Classroom.objects.get().students.add(user)"
    )
    env = {**os.environ, "DATA_DIR": str(up.data_dir), "LAB": "1"}
    subprocess.run([sys.executable, "manage.py", "shell", "-v0", "-c", code], cwd=ROOT, env=env, check=True)


def sign_in(page: Page, user: str, password: str) -> None:
    page.get_by_label("User name").or_(page.locator("[name=username]")).first.fill(user)
    page.locator("[name=password]").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_a_device_is_told_to_trust_the_lab_and_then_records(lab: Up, tmp_path: Path) -> None:
    url = lab.ready()
    (way,) = re.findall(r"http://\S+/trust/", lab.box)
    (password,) = re.findall(r"Password of frau-a: (\S+)", lab.box)
    home = tmp_path / "home"

    with device(home) as page:
        page.goto(way.removesuffix("trust/"))  # whatever they type, plain HTTP leads here
        assert page.url == way
        expect(page.get_by_role("link", name="Get the lab’s certificate")).to_be_visible()
        expect(page.locator("#trusted")).to_be_hidden()
        with page.expect_download() as download:
            page.get_by_role("link", name="Get the lab’s certificate").click()
        download.value.save_as(tmp_path / "introeval-lab.crt")
        shown = page.locator(".mono").text_content() or ""
        assert shown[:48] in lab.box

    trust(home, tmp_path / "introeval-lab.crt")
    make_student(lab)
    with device(home) as page:
        page.goto(way)
        expect(page.locator("#steps")).to_be_hidden()
        page.get_by_role("link", name="Go on to the lab").click()
        page.wait_for_url(f"{url}**")
        sign_in(page, "ada", "a-long-passphrase")
        expect(page.get_by_text("Der Computer der Schule schreibt auf, was du sagst")).to_be_visible()
        page.get_by_role("button", name="I agree").click()  # a new class asks first
        expect(page.get_by_text("Stell dich vor")).to_be_visible()
        page.get_by_role("link", name="Record it here").click()
        page.get_by_role("button", name="Turn on camera and microphone", exact=True).click()
        page.get_by_role("button", name="Record", exact=True).click()
        expect(page.locator("#recorder")).to_have_attribute("data-safe", re.compile("[1-9]"))
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_role("button", name="Hand in", exact=True).click()
        expect(page.locator("#recorder")).to_have_attribute("data-state", "done")
        page.get_by_role("button", name="Sign out").click()
        sign_in(page, "frau-a", password)
        page.get_by_role("link", name="9b").click()
        expect(page.get_by_text("ada")).to_be_visible()

    answer = httpx.get(f"{url}login/", verify=ssl.create_default_context(cafile=tmp_path / "introeval-lab.crt"))
    assert all("Secure" in cookie for cookie in answer.headers.get_list("set-cookie"))
