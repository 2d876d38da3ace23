"""The student's page when updates are late, lost or too many: it shows how old it is and recovers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from queueing.exceptions import Permanent
from tests.browser.conftest import PATIENCE_MS, Visit, elsewhere
from tests.conftest import Cast
from tests.evaluations.access.test_welcome import was_away
from tests.evaluations.material import claim, fail, finish, hand_in

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

expect.set_options(timeout=PATIENCE_MS)
STALE_MS = 15_000


@dataclass
class Cable:
    """What lies between the page's socket and the server's: it can lose single messages, or fall silent unnoticed."""

    page: Page
    is_cut: bool = False
    losing: set[str] = field(default_factory=set)  # types of messages, each lost once
    asked: list[str] = field(default_factory=list)
    sockets: list[WebSocketRoute] = field(default_factory=list)

    def lay(self) -> None:
        self.page.route_web_socket("**/ws/dashboard?*", self._connect)

    def _connect(self, route: WebSocketRoute) -> None:
        server = route.connect_to_server()
        self.sockets.append(route)

        def down(message: Any) -> None:
            kind = json.loads(message)["type"]
            if kind in self.losing:
                self.losing.remove(kind)
            elif not self.is_cut:
                route.send(message)

        def up(message: Any) -> None:
            self.asked.append(message)
            server.send(message)

        server.on_message(down)
        route.on_message(up)


@pytest.fixture
def cable(visit: Visit, cast: Cast) -> Cable:
    """Ada at her page, which is connected by it."""
    cable = Cable(visit.page)
    cable.lay()
    visit.sign_in(cast.ada)
    return cable


def test_a_message_that_was_lost_is_noticed_and_everything_asked_for(visit: Visit, cast: Cast, cable: Cable) -> None:
    submission = elsewhere(hand_in, cast.ada, cast.classroom, name="mine.mp4")
    expect(visit.row("mine.mp4").locator(".badge")).to_have_text("uploaded")
    cable.losing.add("task_update")
    elsewhere(fail, submission, Permanent(code="no_audio"))
    expect(visit.row("mine.mp4").locator(".badge")).to_have_text("failed")
    assert cable.asked == ["snapshot"]
    assert len(cable.sockets) == 1


def test_a_socket_that_falls_silent_is_given_up_and_the_page_asks_by_itself(
    visit: Visit, cast: Cast, cable: Cable
) -> None:
    submission = elsewhere(hand_in, cast.ada, cast.classroom, name="mine.mp4")
    expect(visit.row("mine.mp4")).to_be_visible()
    cable.is_cut = True
    elsewhere(fail, submission, Permanent(code="no_audio"))
    expect(visit.row("mine.mp4").locator(".badge")).to_have_text("failed")
    expect(visit.page.locator("#connection")).to_be_visible()
    expect(visit.page.locator("#stale")).to_be_hidden()
    # Without any answer it says how old it is, and stops saying so.
    visit.page.route(
        f"**{visit.page.locator('#dashboard').get_attribute('data-fragment')}", lambda route: route.abort()
    )
    expect(visit.page.locator("#stale")).to_contain_text("Updated 1", timeout=PATIENCE_MS + STALE_MS)
    expect(visit.page.locator("#stale")).to_contain_text("s ago")
    expect(visit.page.locator("#connection")).to_be_hidden()
    visit.page.unroute_all()
    cable.is_cut = False
    expect(visit.page.locator("#stale")).to_be_hidden()
    expect(visit.page.locator("#connection")).to_be_hidden()
    visit.complaints.clear()  # the browser writes every answer that failed on its console


def test_an_open_page_is_told_once_that_the_lab_is_back(visit: Visit, cast: Cast) -> None:
    old = elsewhere(hand_in, cast.ada, cast.classroom, name="old.mp4")
    visit.sign_in(cast.ada)
    elsewhere(hand_in, cast.ada, cast.classroom, name="new.mp4")
    expect(visit.row("new.mp4")).to_be_visible()  # by the socket
    elsewhere(was_away, minutes=5, since_left=old)
    back = visit.page.get_by_text("Back after maintenance")
    expect(back).to_be_visible()
    visit.page.reload()
    expect(visit.row("old.mp4")).to_be_visible()
    expect(back).to_have_count(0)


def test_what_ended_is_told_once_by_a_toast_by_the_title_and_to_those_who_listen(visit: Visit, cast: Cast) -> None:
    visit.sign_in(cast.ada)
    page = visit.page
    failed = elsewhere(hand_in, cast.ada, cast.classroom, name="one.mp4")
    rated = elsewhere(hand_in, cast.ada, cast.classroom, name="two.mp4")
    expect(page.locator("#submissions .row")).to_have_count(2)
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    focused = visit.row("two.mp4").get_by_role("button", name="Cancel")
    focused.focus()
    elsewhere(fail, failed, Permanent(code="no_audio"))
    expect(page.locator(".toast")).to_have_text(
        "one.mp4 could not be finished. There is no sound in it. Open it Dismiss"
    )
    assert page.title().startswith("(1) ")
    elsewhere(finish, rated)
    expect(page.locator(".toast")).to_have_count(2)
    expect(page.locator(".toast").last).to_contain_text("The result of two.mp4 is ready.")
    expect(page.locator("#announcer")).to_have_text("two.mp4: done")
    assert page.title().startswith("(2) ")
    # It took the focus from nothing, and is in no live region, which would say it twice.
    expect(focused).to_be_focused()
    assert page.evaluate("document.querySelector('.toast').closest('[aria-live], [role=status], [role=alert]')") is None
    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    assert page.title().startswith("My videos")
    page.locator(".toast").first.get_by_role("button", name="Dismiss").click()
    expect(page.locator(".toast")).to_have_count(1)
    page.locator(".toast").get_by_role("button", name="Dismiss").press("Enter")
    expect(page.locator(".toast")).to_have_count(0)
    assert page.evaluate("document.activeElement.closest('[data-row]') !== null")


def test_what_somebody_is_at_is_not_replaced_until_they_leave_it(visit: Visit, cast: Cast) -> None:
    visit.sign_in(cast.ada)
    submission = elsewhere(hand_in, cast.ada, cast.classroom, name="mine.mp4")
    task = elsewhere(claim, submission)
    row = visit.row("mine.mp4")
    expect(row.locator(".badge")).to_have_text("transcribing")
    button = row.get_by_role("button", name="Cancel").element_handle()
    button.focus()
    elsewhere(task.fail, Permanent(code="no_audio"), took=1.0)
    expect(row.locator(".badge")).to_have_text("failed")
    expect(row).to_contain_text("There is no sound in it")
    assert button.evaluate("element => element.isConnected && element === document.activeElement")
    visit.page.evaluate("document.activeElement.blur()")
    expect(row.get_by_role("button", name="Try again")).to_be_visible()
    # Nor is a part with an open dialog, wherever the focus is.
    visit.page.evaluate(
        "document.querySelector('[data-part=actions]').append(document.createElement('dialog'));"
        "document.querySelector('[data-part=actions] dialog').show(); document.activeElement.blur()"
    )
    elsewhere(lambda: submission.evaluation_task.retry(by="ada"))
    expect(row.locator(".badge")).to_have_text("retrying")
    expect(row.get_by_role("button", name="Try again")).to_be_visible()
    visit.page.evaluate("document.querySelector('[data-part=actions] dialog').close()")
    expect(row.get_by_role("button", name="Cancel")).to_be_visible()
