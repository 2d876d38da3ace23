"""The operators' page goes on by itself, keeps what somebody is at, and rests while nobody looks."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, Page, expect

from queueing.models import Alert
from tests.browser.conftest import elsewhere
from tests.conftest import Cast
from tests.evaluations.material import hand_in

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

LOOK = "htmx.trigger(document.body, 'lab-look')"  # as the poll does


def root() -> str:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client.cookies["sessionid"].value


@pytest.fixture
def page(chromium: Browser, site: str, cast: Cast) -> Page:
    elsewhere(Alert.objects.create, kind="queue_size", severity="warning", text="many wait", cure="wait")
    context = chromium.new_context(base_url=site)
    context.add_cookies([{"name": "sessionid", "value": elsewhere(root), "url": site}])
    page = context.new_page()
    page.goto("/operations/")
    return page


def test_it_goes_on_by_itself_and_leaves_alone_what_somebody_is_at(page: Page, cast: Cast) -> None:
    waiting = page.locator("data[data-figure='waiting']")
    button = page.get_by_role("button", name="I know of it")
    expect(waiting).to_have_text("0")
    button.focus()
    elsewhere(hand_in, cast.ada, cast.classroom)
    elsewhere(Alert.objects.update, text="very many wait")
    page.evaluate(LOOK)
    expect(waiting).to_have_text("1")
    expect(button).to_be_focused()
    expect(page.get_by_text("very many wait")).to_have_count(0)
    page.locator("body").click()
    page.evaluate("document.activeElement.blur()")
    expect(page.get_by_text("very many wait")).to_be_visible()


def test_it_rests_while_nobody_looks(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate("document.hasFocus = () => false")
    page.evaluate(LOOK)
    expect(page.get_by_text("This page rests")).to_be_visible()
    assert asked == []
    with page.expect_request("**/operations/?part=live"):
        page.evaluate("document.hasFocus = () => true; window.dispatchEvent(new Event('focus'))")
    expect(page.get_by_text("This page rests")).to_be_hidden()
