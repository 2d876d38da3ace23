"""A session that ends while a page is open: the login and back, and nothing that is under way is lost by it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from playwright.sync_api import Page, Route, expect

from evaluations.models import Submission, Upload
from queueing.exceptions import Permanent
from queueing.models import Task
from queueing.states import State
from tests.browser.conftest import PATIENCE_MS, Visit, elsewhere, session_of
from tests.browser.test_recorder import booth, handed_in, press, record_for, some_is_safe, start
from tests.browser.test_student import MEGABYTE, choose, large
from tests.conftest import PASSWORD, Cast
from tests.evaluations.material import fail, hand_in

__all__ = ["booth", "large"]

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

expect.set_options(timeout=PATIENCE_MS)


def end_session(visit: Visit) -> None:
    """As by time; the CSRF cookie stays."""
    visit.context.clear_cookies(name=settings.SESSION_COOKIE_NAME)


def sign_in(page: Page, user: User) -> None:
    page.get_by_label("Name").fill(user.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def come_back(visit: Visit, user: User) -> None:
    """Sign in in another window, by the link in this one; signing in changes the CSRF token."""
    with visit.context.expect_page() as opened:
        visit.page.get_by_role("link", name="Sign in in another window").click()
    sign_in(opened.value, user)
    opened.value.wait_for_url("**/")
    opened.value.close()
    visit.page.bring_to_front()
    visit.complaints.clear()  # the browser writes every answer that failed on its console


def test_an_action_after_the_session_leads_to_the_login_and_back_and_is_said_not_to_have_happened(
    visit: Visit, cast: Cast
) -> None:
    submission = elsewhere(hand_in, cast.ada, cast.classroom)
    elsewhere(fail, submission, Permanent("broken", code="unreadable"))
    visit.sign_in(cast.ada)
    end_session(visit)
    visit.page.get_by_role("button", name="Try again").click()
    visit.page.wait_for_url(re.compile("/login/"))
    expect(visit.page.locator("main")).to_contain_text("What you did last was not done.")
    assert elsewhere(Task.objects.get).state == State.FAILED
    sign_in(visit.page, cast.ada)
    visit.page.wait_for_url("**/")
    visit.page.get_by_role("button", name="Try again").click()
    expect(visit.page.get_by_role("button", name="Cancel")).to_be_visible()
    visit.complaints.clear()


def test_an_action_that_can_not_be_sent_or_is_refused_is_said(visit: Visit, cast: Cast) -> None:
    submission = elsewhere(hand_in, cast.ada, cast.classroom)
    visit.sign_in(cast.ada)
    said = visit.page.locator("#not-done")
    visit.page.route("**/cancel", lambda route: route.abort())
    visit.page.get_by_role("button", name="Cancel").click()
    expect(said).to_contain_text("The server can’t be reached")
    visit.page.unroute_all()
    visit.page.route("**/cancel", lambda route: route.fulfill(status=502, body="<h1>Bad Gateway</h1>"))
    visit.page.get_by_role("button", name="Cancel").click()
    expect(said).to_contain_text("That was not done")
    visit.page.unroute_all()
    visit.context.clear_cookies(name=settings.CSRF_COOKIE_NAME)
    visit.page.get_by_role("button", name="Cancel").click()
    expect(said).to_contain_text("The page was too old")
    assert elsewhere(Task.objects.get).state == State.QUEUED
    visit.complaints.clear()
    assert elsewhere(Submission.objects.get).pk == submission.pk


def test_an_upload_goes_on_after_signing_in_in_another_window(visit: Visit, cast: Cast, large: Path) -> None:
    visit.sign_in(cast.ada)
    offsets: list[str] = []

    def watch(route: Route) -> None:
        if route.request.method != "PATCH":
            route.continue_()
            return
        offsets.append(route.request.headers.get("upload-offset", ""))
        if len(offsets) == 2:
            end_session(visit)
        route.continue_()

    visit.page.route(
        "**/api/uploads/*-*", lambda route: watch(route) if route.request.method == "PATCH" else route.continue_()
    )
    choose(visit, large)
    expect(visit.page.locator("#signed-out")).to_contain_text(re.compile("signed out", re.IGNORECASE))
    expect(visit.page.locator("#uploads .row")).to_contain_text("interrupted")
    come_back(visit, cast.ada)
    expect(visit.row("large.mp4")).to_be_visible()
    expect(visit.page.locator("#signed-out")).to_be_hidden()
    assert elsewhere(Submission.objects.get).size == 10 * MEGABYTE
    assert elsewhere(Upload.objects.count) == 1
    assert offsets.count("0") == 1
    visit.complaints.clear()


def test_with_somebody_elses_session_an_upload_waits(visit: Visit, cast: Cast, large: Path) -> None:
    visit.sign_in(cast.ada)
    other = elsewhere(session_of, cast.bo)

    def become_bo(route: Route) -> None:
        visit.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": other, "url": visit.url}])
        route.continue_()

    visit.page.route("**/api/uploads/*-*", become_bo)
    choose(visit, large)
    expect(visit.page.locator("#signed-out")).to_contain_text("omebody else")
    visit.page.unroute_all(behavior="wait")  # one may be between the cookie and going on
    assert elsewhere(lambda: list(Upload.objects.values_list("student", flat=True))) == [cast.ada.pk]
    mine = elsewhere(session_of, cast.ada)
    visit.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": mine, "url": visit.url}])
    expect(visit.row("large.mp4")).to_be_visible()
    assert elsewhere(Submission.objects.get).student_id == cast.ada.pk
    visit.complaints.clear()


def test_a_recording_goes_on_after_signing_in_in_another_window(booth: Visit, cast: Cast) -> None:
    start(booth)
    some_is_safe(booth)
    end_session(booth)
    expect(booth.page.locator("#signed-out")).to_contain_text(re.compile("signed out", re.IGNORECASE))
    come_back(booth, cast.ada)
    expect(booth.page.locator("#signed-out")).to_be_hidden()
    record_for(booth, 3)
    press(booth, "Stop")
    press(booth, "Hand in")
    handed_in(booth)
    assert elsewhere(Upload.objects.count) == 1
    booth.complaints.clear()


@pytest.mark.parametrize("status", [413, 405, 200])
def test_an_upload_goes_around_what_a_proxy_does_not_let_pass(ada: Visit, large: Path, status: int) -> None:
    """It takes at most a megabyte; or no PATCH; or answers the first request with its own login page."""
    refused: list[str] = []

    def proxy(route: Route) -> None:
        request = route.request
        too_large = status == 413 and len(request.post_data_buffer or b"") > MEGABYTE
        no_patch = status == 405 and request.method == "PATCH"
        if too_large or no_patch or (status == 200 and not refused):
            refused.append(request.method)
            route.fulfill(status=status, body="<h1>Proxy</h1>")
        else:
            route.continue_()

    ada.page.route("**/api/uploads/*-*", proxy)
    choose(ada, large)
    expect(ada.row("large.mp4")).to_be_visible()
    assert refused
    assert elsewhere(Submission.objects.get).size == 10 * MEGABYTE
    ada.complaints.clear()
