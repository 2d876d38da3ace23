"""A student's way through the pages, with everything real but the models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, WebSocketRoute, expect

from evaluations import demo
from evaluations.models import Submission, Upload
from evaluations.stages.names import Stage
from queueing.exceptions import Transient
from queueing.models import Phase, Worker
from queueing.states import PhaseStep, State
from tests.browser.conftest import PATIENCE_MS, Visit, elsewhere, full_lab, picture
from tests.conftest import Cast
from tests.evaluations.material import claim, fail, finish, hand_in, write_results

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

expect.set_options(timeout=PATIENCE_MS)
MEGABYTE = 1024 * 1024


def choose(visit: Visit, *files: Path) -> None:
    visit.page.locator("#drop input").set_input_files([str(file) for file in files])


def clip() -> Path:
    return next(clip.path for clip in demo.clips() if clip.expect == "completed" and clip.file.endswith(".webm"))


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of several chunks."""
    path = tmp_path / "large.mp4"
    path.write_bytes(b"fLaC" + (bytes(range(256)) * (10 * MEGABYTE // 256))[4:])
    return path


def until(page: Page, expression: str) -> None:
    """Wait for it from outside: Playwright's own waiting evaluates strings in the page, which its policy forbids."""
    for _ in range(PATIENCE_MS // 100):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"waited in vain for {expression}")


def test_a_student_uploads_watches_and_reads(ada: Visit) -> None:
    choose(ada, clip())
    row = ada.row(clip().name)
    expect(row.locator(".badge")).to_have_text("uploaded")
    expect(row).to_contain_text("You are 1st of 1")
    submission = elsewhere(Submission.objects.get)
    task = elsewhere(claim, submission)
    expect(row.locator(".badge")).to_have_text("transcribing")
    elsewhere(task.note_progress, 5, 20)
    expect(row).to_contain_text("5 of 20 seconds of the recording")
    elsewhere(task.advance, took=1)
    elsewhere(write_results, submission)
    elsewhere(finish_from_here, submission)
    expect(row.locator(".badge")).to_have_text("done")
    row.get_by_role("link", name="See the result").click()
    expect(ada.page.get_by_role("heading", name="Scores")).to_be_visible()
    until(ada.page, "document.getElementById('player').readyState > 0")
    ada.page.get_by_role("button", name="“I like climbing.”").click()
    until(ada.page, "document.getElementById('player').currentTime >= 1.5")


def finish_from_here(submission: Submission) -> None:
    for _ in (Stage.EXTRACT, Stage.RATE):
        claim(submission).advance(took=1.0)


def test_several_files_go_up_one_after_another(ada: Visit, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.mp4" for number in range(4)]
    for number, file in enumerate(files):
        file.write_bytes((b"fLaC" + bytes([number])).ljust(MEGABYTE))
    choose(ada, *files)
    expect(ada.page.locator("#submissions .row")).to_have_count(4)
    expect(ada.page.locator("#uploads .row")).to_have_count(0)


def test_at_capacity_a_file_waits_with_a_count_down_and_goes_up_by_itself(
    ada: Visit, cast: Cast, tmp_path: Path
) -> None:
    file = tmp_path / "me.mp4"
    file.write_bytes(b"fLaC".ljust(1000))
    with full_lab(ada, cast):
        choose(ada, file)
        row = ada.page.locator("#uploads .row")
        expect(row).to_contain_text("The lab is at capacity.")
        expect(row).to_contain_text("Your file is safe on this device; it is sent by itself in about a minute.")
        expect(row).to_contain_text(re.compile(r"Next try in 0:0\d\."))
        assert elsewhere(Upload.objects.count) == 0
    expect(ada.row("me.mp4")).to_be_visible()
    expect(ada.page.locator("#uploads .row")).to_have_count(0)
    ada.complaints[:] = [one for one in ada.complaints if "503" not in one]


def test_an_upload_goes_on_after_a_reload(ada: Visit, large: Path) -> None:
    sent: list[int] = []

    def one_chunk_only(route: Route) -> None:
        sent.append(int(route.request.headers["upload-offset"]))
        route.continue_() if sent[-1] == 0 else route.abort()

    ada.page.route(
        "**/api/uploads/*-*",
        lambda route: one_chunk_only(route) if route.request.method == "PATCH" else route.continue_(),
    )
    choose(ada, large)
    expect(ada.page.locator("#uploads .row")).to_contain_text("4.0 of 10.0 MB")
    while len(sent) < 2:
        ada.page.wait_for_timeout(50)
    ada.page.unroute_all()
    ada.page.reload()
    expect(ada.page.locator(".unfinished")).to_contain_text("large.mp4")
    choose(ada, large)
    expect(ada.row("large.mp4")).to_be_visible()
    expect(ada.page.locator(".unfinished")).to_have_count(0)
    submission = elsewhere(Submission.objects.get)
    assert submission.size == 10 * MEGABYTE
    assert elsewhere(Upload.objects.count) == 1
    assert sent.count(0) == 1
    ada.complaints.clear()  # the connection that was cut


def test_whoever_waits_is_told_to_be_free_to_go_but_not_during_an_upload(ada: Visit, cast: Cast, large: Path) -> None:
    may_leave = ada.page.get_by_text("you may close this page")
    expect(ada.page.locator("#none-yet")).to_be_visible()
    expect(may_leave).to_be_hidden()
    submission = elsewhere(hand_in, cast.ada, cast.classroom)
    expect(may_leave).to_be_visible()
    ada.page.route("**/api/uploads/*-*", lambda route: None)
    choose(ada, large)
    expect(ada.page.locator("#uploads .row")).to_be_in_viewport()
    expect(may_leave).to_be_hidden()
    ada.page.locator("#uploads").get_by_role("button", name="Cancel").click()
    ada.page.unroute_all(behavior="ignoreErrors")
    expect(may_leave).to_be_visible()
    elsewhere(finish, submission)
    expect(may_leave).to_be_hidden()


def test_an_upload_can_be_paused_resumed_and_cancelled(ada: Visit, large: Path) -> None:
    ada.page.route("**/api/uploads/*-*", lambda route: slowly(ada, route))
    choose(ada, large)
    row = ada.page.locator("#uploads .row")
    expect(row).to_contain_text("of 10.0 MB. Keep this page open")
    row.get_by_role("button", name="Pause").click()
    expect(row.locator(".badge")).to_have_text("paused")
    row.get_by_role("button", name="Go on").click()
    expect(row.locator(".badge")).to_have_text("uploading")
    row.get_by_role("button", name="Cancel").click()
    expect(row).to_have_count(0)
    while elsewhere(Upload.objects.exists):
        ada.page.wait_for_timeout(50)
    assert not elsewhere(Submission.objects.exists)
    ada.page.unroute_all(behavior="ignoreErrors")


def slowly(visit: Visit, route: Route) -> None:
    visit.page.wait_for_timeout(300)
    route.continue_()


def test_the_same_file_again_is_said_and_not_added(ada: Visit) -> None:
    choose(ada, clip())
    expect(ada.row(clip().name)).to_be_visible()
    choose(ada, clip())
    expect(ada.page.locator("#uploads .row")).to_contain_text("in your list already")
    expect(ada.page.locator("#submissions .row")).to_have_count(1)


def test_a_refusal_is_said_in_the_servers_words(ada: Visit, cast: Cast) -> None:
    cast.classroom.max_submissions = 0
    elsewhere(cast.classroom.save)
    choose(ada, clip())
    expect(ada.page.locator("#uploads .row")).to_contain_text("as many videos as your class allows")
    ada.complaints.clear()  # the browser writes every 429 on its console


def test_a_student_tries_a_failed_one_again(ada: Visit, cast: Cast) -> None:
    submission = elsewhere(hand_in, cast.ada, cast.classroom, name="broken.mp4")
    elsewhere(fail, submission, Transient(code="invalid_answer"), at=Stage.RATE)
    row = ada.row("broken.mp4")
    expect(row).to_contain_text("The model’s answer made no sense.")
    row.get_by_role("button", name="Try again").click()
    expect(row.locator(".badge")).to_have_text("retrying")
    task = elsewhere(lambda: submission.evaluation_task)
    assert (task.state, task.stage) == (State.QUEUED, Stage.RATE)
    elsewhere(claim, submission)
    expect(row.locator(".badge")).to_have_text("rating")


def test_a_student_cancels_on_the_result_page_and_goes_on_there(ada: Visit, cast: Cast) -> None:
    submission = elsewhere(hand_in, cast.ada, cast.classroom, name="mine.mp4", content=clip().read_bytes())
    ada.page.goto(f"/submissions/{submission.pk}/")
    ada.page.get_by_role("button", name="Cancel").click()
    expect(ada.page.locator("#progress .badge")).to_have_text("cancelled")
    ada.page.get_by_role("button", name="Try again").click()
    expect(ada.page.locator("#progress .badge")).to_have_text("retrying")
    elsewhere(claim, submission)
    expect(ada.page.locator("#progress .badge")).to_have_text("transcribing")


def test_a_student_deletes_a_video_and_every_open_page_drops_it(ada: Visit, cast: Cast) -> None:
    by_row, by_page = (elsewhere(hand_in, cast.ada, cast.classroom, name=f"{name}.mp4") for name in ("row", "page"))
    kept = elsewhere(hand_in, cast.ada, cast.classroom, name="kept.mp4")
    expect(ada.page.locator("#submissions .row")).to_have_count(3)
    own = ada.context.new_page()
    own.goto(f"/submissions/{by_row.pk}/")
    asked: list[str] = []
    ada.page.on("dialog", lambda dialog: asked.append(dialog.message))
    ada.row("row.mp4").get_by_role("link", name="Delete").click()
    expect(ada.page.locator("#submissions .row")).to_have_count(2)
    assert ["can’t be undone" in words for words in asked] == [True]
    assert ada.page.evaluate("document.activeElement.closest('[data-row]') !== null")
    expect(own.get_by_role("heading", name="Nothing here")).to_be_visible()
    own.goto(f"/submissions/{by_page.pk}/")
    # On the way to the start page a poll is still answered that the video is gone.
    held: list[Route] = []
    own.route(re.compile(r"//[^/]+/$"), lambda route: held.append(route))
    own.once("dialog", lambda dialog: dialog.accept())
    with own.expect_response(lambda answer: answer.status == 404 and "/row" in answer.url):
        own.get_by_role("link", name="Delete").click()
    held.pop().continue_()
    expect(own.get_by_role("status").first).to_have_text("“page.mp4” was deleted.")
    expect(own.locator("#submissions .row")).to_have_count(1)
    expect(ada.row("page.mp4")).to_have_count(0)
    assert [row.pk for row in elsewhere(lambda: list(Submission.objects.all()))] == [kept.pk]
    ada.row("kept.mp4").get_by_role("link", name="Delete").click()
    expect(ada.page.locator("#none-yet")).to_be_visible()


def test_results_appear_on_the_open_page_while_the_video_stays(ada: Visit, cast: Cast) -> None:
    submission = elsewhere(hand_in, cast.ada, cast.classroom, name="mine.mp4", content=clip().read_bytes())
    ada.page.goto(f"/submissions/{submission.pk}/")
    ada.page.evaluate("document.getElementById('player').dataset.kept = 'yes'")
    ada.page.get_by_role("button", name="Cancel").focus()
    elsewhere(write_results, submission)
    elsewhere(finish, submission)
    expect(ada.page.get_by_role("heading", name="Scores")).to_be_visible()
    expect(ada.page.locator("#progress")).to_be_focused()  # the button is gone, the place is not
    assert ada.page.locator("#player").get_attribute("data-kept") == "yes"


def test_a_socket_that_breaks_comes_back_with_the_truth(visit: Visit, cast: Cast) -> None:
    sockets: list[WebSocketRoute] = []

    def pass_on(route: WebSocketRoute) -> None:
        sockets.append(route)
        route.connect_to_server()

    visit.page.route_web_socket("**/ws/dashboard?*", pass_on)
    visit.sign_in(cast.ada)
    submission = elsewhere(hand_in, cast.ada, cast.classroom, name="mine.mp4")
    expect(visit.row("mine.mp4")).to_be_visible()
    sockets[0].close()
    expect(visit.page.locator("#connection")).to_be_visible()
    elsewhere(claim, submission)
    expect(visit.page.locator("#connection")).to_be_hidden()
    expect(visit.row("mine.mp4").locator(".badge")).to_have_text("transcribing")


def test_an_older_update_never_replaces_a_newer_one(visit: Visit, cast: Cast) -> None:
    held: list[Any] = []

    def replay_last(route: WebSocketRoute) -> None:
        server = route.connect_to_server()

        def relay(message: Any) -> None:
            held.append(message)
            route.send(message)

        server.on_message(relay)
        held.append(route)

    visit.page.route_web_socket("**/ws/dashboard?*", replay_last)
    visit.sign_in(cast.ada)
    submission = elsewhere(hand_in, cast.ada, cast.classroom, name="mine.mp4")
    expect(visit.row("mine.mp4").locator(".badge")).to_have_text("uploaded")
    old = [message for message in held if isinstance(message, str) and "task_update" in message][-1]
    elsewhere(claim, submission)
    expect(visit.row("mine.mp4").locator(".badge")).to_have_text("transcribing")
    held[0].send(old)
    visit.page.wait_for_timeout(300)
    expect(visit.row("mine.mp4").locator(".badge")).to_have_text("transcribing")


def test_a_button_with_the_focus_stays_while_the_numbers_move(ada: Visit, cast: Cast) -> None:
    submission = elsewhere(hand_in, cast.ada, cast.classroom, name="mine.mp4")
    task = elsewhere(claim, submission)
    elsewhere(hand_in, cast.bo, cast.classroom)
    elsewhere(hand_in, cast.ada, cast.classroom, name="another try.mp4")
    row = ada.row("mine.mp4")
    expect(row.locator(".badge")).to_have_text("transcribing")
    expect(ada.row("another try.mp4")).to_contain_text("You are 3rd of 3")
    button = row.get_by_role("button", name="Cancel").element_handle()
    button.focus()
    elsewhere(task.note_progress, 7, 20)
    expect(row).to_contain_text("7 of 20 seconds")
    picture(ada.page, "dashboard")
    assert button.evaluate("element => element.isConnected && element === document.activeElement")
    elsewhere(task.advance, took=1)
    expect(row.locator(".badge")).to_have_text("transcribed")
    assert ada.page.evaluate("document.activeElement.closest('[data-row]') !== null")


def test_only_changes_of_state_are_announced(ada: Visit, cast: Cast) -> None:
    task = elsewhere(claim, elsewhere(hand_in, cast.ada, cast.classroom, name="mine.mp4"))
    announcer = ada.page.locator("#announcer")
    expect(announcer).to_have_text("mine.mp4: transcribing")
    ada.page.evaluate(
        "new MutationObserver(() => { window.said = (window.said || 0) + 1 })"
        ".observe(document.getElementById('announcer'), {childList: true, characterData: true, subtree: true})"
    )
    elsewhere(task.note_progress, 7, 20)
    expect(ada.row("mine.mp4")).to_contain_text("7 of 20 seconds")
    assert ada.page.evaluate("window.said || 0") == 0


def test_the_line_and_the_gpu_are_live_too(ada: Visit, cast: Cast) -> None:
    expect(ada.page.locator("#queue")).to_contain_text("Nobody is waiting.")
    elsewhere(hand_in, cast.bo, cast.classroom)
    expect(ada.page.locator("#queue")).to_contain_text("1 waiting")
    elsewhere(Worker.objects.create, node="lab-pc", pid=1)
    elsewhere(lambda: Phase(node="lab-pc").enter(PhaseStep.LOADING, name="stt"))
    expect(ada.page.locator("#queue")).to_contain_text("The lab’s computer is getting ready for transcribing.")


def test_signing_out_in_one_window_signs_out_the_other(ada: Visit) -> None:
    other = ada.context.new_page()
    other.goto("/")
    other.get_by_role("button", name="Sign out").click()
    ada.page.wait_for_url("**/login/**")
    # A socket that reconnects or a list that is polled in between is refused, rightly, and Chromium says so.
    refused = ("response code: 403", "status of 401")
    ada.complaints[:] = [one for one in ada.complaints if not any(words in one for words in refused)]


def tab_to(visit: Visit, words: str) -> None:
    for _ in range(40):
        visit.page.keyboard.press("Tab")
        if words in visit.page.evaluate("document.activeElement.textContent"):
            return
    pytest.fail(f"“{words}” can’t be reached with the Tab key")
