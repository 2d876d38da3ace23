"""A person chooses German; what comes over the socket later is German too, and so is what scripts say."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import FilePayload, expect

from queueing.exceptions import Permanent
from tests.browser.conftest import Visit, elsewhere
from tests.conftest import PASSWORD, Cast
from tests.evaluations.material import claim, hand_in

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_a_student_changes_the_language_and_updates_come_in_it(visit: Visit, cast: Cast) -> None:
    submission = elsewhere(hand_in, cast.ada, cast.classroom, name="mein.mp4")
    page = visit.page
    page.goto("/login/")
    page.get_by_role("button", name="Deutsch").focus()
    page.keyboard.press("Enter")  # without a mouse, and before signing in
    expect(page.locator("html")).to_have_attribute("lang", "de")
    page.get_by_label("Name").fill(cast.ada.username)
    page.get_by_label("Passwort").fill(PASSWORD)
    page.get_by_role("button", name="Anmelden").click()
    row = visit.row("mein.mp4")
    expect(row.locator(".badge")).to_have_text("hochgeladen")
    task = elsewhere(claim, submission)
    expect(row.locator(".badge")).to_have_text("wird mitgeschrieben")
    expect(page.locator("#queue-counts")).to_have_text(re.compile("1 in Arbeit"))
    expect(page.locator("#announcer")).to_have_text("mein.mp4: wird mitgeschrieben")
    elsewhere(task.fail, Permanent(code="no_audio"), took=1.0)
    expect(row).to_contain_text("Es ist kein Ton dabei.")
    empty: FilePayload = {"name": "leer.mp4", "mimeType": "video/mp4", "buffer": b""}
    page.locator("#drop input").set_input_files([empty])
    expect(page.locator("#uploads")).to_contain_text("nicht hochgeladen")
    page.get_by_role("button", name="English").click()
    expect(row.locator(".badge")).to_have_text("failed")
