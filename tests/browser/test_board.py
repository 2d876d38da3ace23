"""The class page while it is in use: it shows what changed, and leaves alone what somebody is at."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Locator, Page, expect

from evaluations.models import Submission
from queueing.exceptions import Permanent
from tests.browser.conftest import PATIENCE_MS, Visit, elsewhere
from tests.conftest import Cast
from tests.evaluations.material import fail, finish, hand_in, write_results

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

expect.set_options(timeout=PATIENCE_MS)
STALE_MS = 15_000


def row(page: Page, user: User) -> Locator:
    return page.locator(f"#student-{user.pk}")


def rate(submission: Submission) -> None:
    write_results(submission)
    finish(submission)


@pytest.fixture
def videos(cast: Cast) -> dict[str, Submission]:
    """Two of Ada's, the first of them rated, and Bo's."""
    first = hand_in(cast.ada, cast.classroom, name="first.mp4")
    rate(first)
    second = hand_in(cast.ada, cast.classroom, name="second.mp4")
    return {"first": first, "ada": second, "bo": hand_in(cast.bo, cast.classroom, name="of-bo.mp4")}


@pytest.fixture
def board(videos: dict[str, Submission], visit: Visit, cast: Cast) -> Page:
    visit.sign_in(cast.teacher)
    visit.page.goto(f"/classes/{cast.classroom.pk}/")
    return visit.page


def test_a_row_changes_while_it_is_ticked_has_the_focus_and_an_open_list(
    board: Page, cast: Cast, videos: dict[str, Submission]
) -> None:
    ada = row(board, cast.ada)
    tick, earlier = ada.get_by_role("checkbox"), ada.locator("details")
    earlier.locator("summary").click()
    tick.check()
    box = tick.element_handle()
    tick.focus()
    elsewhere(fail, videos["ada"], Permanent(code="no_audio"))
    expect(ada.locator(".badge")).to_have_text("failed")
    expect(ada).to_contain_text("There is no sound in it")
    expect(tick).to_be_checked()
    assert box.evaluate("element => element.isConnected && element === document.activeElement")
    expect(earlier).to_have_attribute("open", "")
    expect(board.locator("#count-failed")).to_have_text("1")
    expect(board.locator("#summary")).to_have_text("0 done · 1 waiting or running · 1 failed")
    # A row without anything new was not touched at all.
    assert board.evaluate("document.querySelectorAll('[data-left]').length") == 0


def test_nothing_is_replaced_while_nothing_changes(board: Page, cast: Cast) -> None:
    board.evaluate(
        "window.changes = 0; new MutationObserver((all) => (window.changes += all.length))"
        ".observe(document.getElementById('board'), {childList: true, subtree: true, characterData: true})"
    )
    for _ in range(2):
        with board.expect_response(lambda answer: answer.request.headers.get("hx-request") == "true"):
            pass
    assert board.evaluate("window.changes") == 0


def test_a_row_that_leaves_the_filter_stays_while_it_is_ticked_and_the_order_changes_around_the_focus(
    board: Page, cast: Cast, videos: dict[str, Submission]
) -> None:
    board.goto(f"/classes/{cast.classroom.pk}/?show=working&sort=status")
    ada, bo = row(board, cast.ada), row(board, cast.bo)
    ada.get_by_role("checkbox").check()
    link = bo.locator("th a")
    link.focus()
    elsewhere(fail, videos["ada"], Permanent(code="no_audio"))
    expect(ada).to_have_attribute("data-left", "")
    expect(ada.get_by_role("checkbox")).to_be_checked()
    expect(link).to_be_focused()
    ada.get_by_role("checkbox").uncheck()
    link.focus()
    expect(ada).to_have_count(0)
    expect(link).to_be_focused()
    board.goto(f"/classes/{cast.classroom.pk}/?sort=status")
    expect(board.locator("tbody tr").first).to_contain_text("ada")
    link.focus()
    elsewhere(fail, videos["bo"], Permanent(code="no_audio"))
    elsewhere(lambda: videos["ada"].evaluation_task.retry(by="teacher"))
    expect(board.locator("tbody tr").first).to_contain_text("bo")
    expect(link).to_be_focused()


def test_the_chosen_and_all_failed_ones_are_tried_again_from_the_page(
    board: Page, visit: Visit, cast: Cast, videos: dict[str, Submission]
) -> None:
    for name in ("ada", "bo"):
        elsewhere(fail, videos[name], Permanent(code="no_audio"))
    for user in (cast.ada, cast.bo):
        expect(row(board, user).locator(".badge")).to_have_text("failed")
    row(board, cast.ada).get_by_role("checkbox").check()
    row(board, cast.bo).get_by_role("button", name="Retry").click()
    expect(board.locator("#report")).to_have_text("1 queued.")
    expect(row(board, cast.bo).locator(".badge")).to_have_text("retrying")
    expect(row(board, cast.ada).get_by_role("checkbox")).to_be_checked()  # that was about Bo's row alone
    board.get_by_role("button", name="Retry selected").click()
    expect(row(board, cast.ada).locator(".badge")).to_have_text("retrying")
    expect(row(board, cast.ada).get_by_role("checkbox")).not_to_be_checked()
    elsewhere(fail, videos["ada"], Permanent(code="no_audio"))
    expect(row(board, cast.ada).locator(".badge")).to_have_text("failed")
    board.get_by_role("link", name="Retry all failed").click()
    expect(board.locator("#report")).to_have_text("1 queued.")
    expect(row(board, cast.ada).locator(".badge")).to_have_text("retrying")


@pytest.mark.parametrize("visit", [{"java_script_enabled": False}], indirect=True)
def test_without_scripts_the_same_is_done_by_forms(board: Page, cast: Cast, videos: dict[str, Submission]) -> None:
    for name in ("ada", "bo"):
        elsewhere(fail, videos[name], Permanent(code="no_audio"))
    board.goto(f"/classes/{cast.classroom.pk}/?show=failed")
    row(board, cast.ada).get_by_role("checkbox").check()
    board.get_by_role("button", name="Retry selected").click()
    expect(board.locator(".notice").first).to_have_text("1 queued.")
    assert board.url.endswith("?show=failed")
    board.get_by_role("link", name="Retry all failed").click()
    board.get_by_role("button", name="Retry them").click()
    expect(board.locator(".notice").first).to_have_text("1 queued.")
    expect(board.locator("#empty")).to_have_text("No student fits what you chose.")


def test_a_board_that_is_old_says_so_and_stops_saying_so(board: Page, visit: Visit, cast: Cast) -> None:
    board.route(f"**/classes/{cast.classroom.pk}/?", lambda route: route.abort())
    expect(board.locator("#stale")).to_contain_text("Updated 1", timeout=PATIENCE_MS + STALE_MS)
    board.unroute_all()
    expect(board.locator("#stale")).to_be_hidden()
    visit.complaints.clear()  # the browser writes every answer that failed on its console


def test_who_was_signed_out_is_sent_to_the_login_page(board: Page, visit: Visit) -> None:
    visit.context.clear_cookies()
    board.wait_for_url(re.compile("/login/[?]next=%2Fclasses%2F.*&ended=session"))
    visit.complaints.clear()  # of the 401 that the page's poll got


def test_thirty_rows_fit_a_teachers_screen(visit: Visit, cast: Cast) -> None:
    for number in range(28):
        student = User(username=f"student-{number}", first_name="Maximiliane", last_name=f"Mustermann {number}")
        elsewhere(student.save)
        elsewhere(cast.classroom.students.add, student)
        elsewhere(
            fail if number % 4 == 0 else finish,
            elsewhere(hand_in, student, cast.classroom),
            *([Permanent(code="no_audio")] if number % 4 == 0 else []),
        )
    visit.page.set_viewport_size({"width": 1280, "height": 800})
    visit.sign_in(cast.teacher)
    visit.page.goto(f"/classes/{cast.classroom.pk}/")
    expect(visit.page.locator("tbody tr")).to_have_count(30)
    table = visit.page.locator("#students")
    assert table.evaluate("each => each.scrollWidth <= each.clientWidth")
    assert table.evaluate("each => each.getBoundingClientRect().height") < 30 * 48
    visit.page.set_viewport_size({"width": 360, "height": 640})
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert table.evaluate("each => each.scrollWidth <= each.clientWidth")
