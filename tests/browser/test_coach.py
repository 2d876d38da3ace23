"""The coach below a result, in a real browser: asked, read as it is written, stopped, asked again."""

from __future__ import annotations

import pytest
from playwright.sync_api import APIResponse, Locator, Page, Request, Route, WebSocketRoute, expect

from evaluations.coaching.questions import asking
from evaluations.coaching.questions.answering import Answering, AnswerResult
from evaluations.models import MAX_QUESTION, CoachQuestion, Submission
from queueing.models import Task, Worker
from tests.browser.conftest import Visit, elsewhere
from tests.browser.test_hostile_words import PAYLOADS, shown
from tests.browser.test_pages import Watch
from tests.browser.test_result import opened, rated
from tests.conftest import Cast
from tests.evaluations.live.test_answer_socket import write

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

SUGGESTED = "How could I show more confidence?"
SILENT_MS = 12_000
QUESTION = "Was I loud enough?"


@pytest.fixture
def submission(cast: Cast) -> Submission:
    return elsewhere(rated, cast)


@pytest.fixture
def page(ada: Visit, submission: Submission) -> Page:
    """Ada's, at her result."""
    return opened(ada, submission).page


def newest() -> CoachQuestion:
    return CoachQuestion.objects.select_related("task").latest("asked_at")


def begin() -> Task:
    """A worker takes the newest question."""

    def take() -> Task:
        worker = Worker.objects.latest("pk")
        (task,) = Task.objects.take([newest().task_id], worker=worker, lease_seconds=60)
        Answering().prepare(task)
        return task

    return elsewhere(take)


def say(task: Task, text: str) -> None:
    """The worker has written this much."""
    elsewhere(write, task, text)


def end(task: Task, text: str, how: CoachQuestion.End = CoachQuestion.End.ANSWERED, why: str = "") -> None:
    def save() -> None:
        with task.kept():
            Answering().save(task, AnswerResult(text, how, why))
        task.advance(took=1.0)

    elsewhere(save)


def ask(page: Page) -> None:
    page.get_by_role("button", name=SUGGESTED).click()
    expect(page.locator("#conversation")).to_contain_text("Number 1 in line.")


def answer(page: Page) -> Locator:
    return page.locator("#conversation article").last.locator("[data-answer]")


def test_an_answer_is_read_as_it_is_written_through_a_reload_stopped_and_asked_again(page: Page) -> None:
    polls: list[Request] = []
    page.on("request", lambda one: polls.append(one) if "/coach/?" in one.url else None)
    ask(page)
    expect(page.get_by_role("button", name=SUGGESTED)).to_have_count(0)
    task = begin()
    expect(page.locator("#conversation")).to_contain_text("Being answered.")
    expect(page.locator("#announcer")).to_have_text("being answered")

    draft = page.get_by_label("Ask about this recording")
    draft.fill("And was I")  # what is typed meanwhile stays
    mark = page.locator("#conversation").element_handle()
    polled = len(polls)
    for text in ("You smiled", "You smiled a lot"):
        say(task, text)
        expect(answer(page)).to_have_text(text)
    assert len(polls) == polled  # it was the socket that brought it
    assert mark.evaluate("element => element.isConnected")  # so whoever selects or listens keeps their place

    page.reload()
    expect(answer(page)).to_have_text("You smiled a lot")
    say(task, "You smiled a lot\n\n1. You **spoke")
    expect(answer(page).locator("li")).to_have_text("You **spoke")
    first = answer(page).locator("p").first.element_handle()
    say(task, "You smiled a lot\n\n1. You **spoke** calmly.")
    expect(answer(page).locator("li strong")).to_have_text("spoke")
    assert first.evaluate("element => element.isConnected")  # and what was selected there is

    draft.fill("And was I")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#conversation")).to_contain_text("cancelled")
    expect(answer(page)).to_contain_text("spoke calmly.")
    expect(page.locator("#announcer")).to_have_text("cancelled")
    expect(draft).to_have_value("And was I")
    expect(page.locator("#conversation")).not_to_have_attribute("hx-get", "")

    draft.fill(QUESTION)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(draft).to_have_value("")
    again = begin()
    say(again, "Yes,")
    expect(answer(page)).to_have_text("Yes,")
    end(again, "Yes, you were.")
    article = page.locator("#conversation article").last
    expect(article).to_contain_text("Yes, you were.")
    expect(article.get_by_role("button", name="Stop")).to_have_count(0)
    assert [one.inner_text() for one in page.locator("#conversation .asked").all()] == [
        SUGGESTED,
        QUESTION,
    ]


def test_by_keyboard_alone(page: Page) -> None:
    draft = page.get_by_label("Ask about this recording")
    draft.focus()
    page.keyboard.type("Was I")
    page.keyboard.press("Enter")  # a line of its own
    page.keyboard.type("loud?")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#conversation")).to_contain_text("Number 1 in line.")
    expect(draft).to_be_focused()
    expect(draft).to_have_value("")
    assert elsewhere(newest).text == "Was I\nloud?"

    page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("button", name="Stop")).to_be_focused()
    begin()
    expect(page.locator("#conversation")).to_contain_text("Being answered.")
    expect(page.locator("#announcer")).to_have_text("being answered")  # only now the new button is htmx's
    expect(page.get_by_role("button", name="Stop")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#conversation")).to_contain_text("cancelled")
    expect(page.locator("#conversation article")).to_be_focused()  # its button is gone

    page.keyboard.press("Tab")
    expect(draft).to_be_focused()
    page.keyboard.type(QUESTION)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.locator("#conversation article")).to_have_count(2)
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_focused()


def test_a_socket_that_falls_silent_is_given_up_for_the_poll_and_another(ada: Visit, submission: Submission) -> None:
    page, sockets = ada.page, list[WebSocketRoute]()
    page.clock.install()
    page.route_web_socket("**/ws/dashboard?*", lambda each: sockets.append(each))  # each opens, and nothing ever comes
    opened(ada, submission)
    ask(page)
    say(begin(), "You smiled")
    page.clock.fast_forward(SILENT_MS)
    expect(answer(page)).to_have_text("You smiled")
    assert len(sockets) == 2


def test_an_answer_that_begins_again_is_never_mixed_with_the_one_before(page: Page) -> None:
    ask(page)
    task = begin()
    say(task, "You smiled, and that is what")
    expect(answer(page)).to_have_text("You smiled, and that is what")
    elsewhere(Answering().prepare, task)  # as after a crash
    expect(page.locator("#conversation")).to_contain_text("answered again from the start")
    expect(answer(page)).to_have_text("")
    say(task, "Speak")
    expect(answer(page)).to_have_text("Speak")


def test_a_refresh_that_is_overtaken_by_another_loses_nothing(page: Page) -> None:
    """One asked for before an answer began again comes after that was told, and the next one is dropped with it."""
    held: list[tuple[Route, APIResponse]] = []

    def hold(route: Route) -> None:
        held.append((route, route.fetch())) if not held else route.continue_()

    ask(page)
    page.route("**/coach/?state=*", hold)
    task = begin()
    say(task, "You smiled")
    expect(answer(page)).to_have_text("You smiled")
    elsewhere(Answering().prepare, task)
    say(task, "Speak")
    expect(answer(page)).to_have_text("Speak")
    ((route, old),) = held
    route.fulfill(response=old)
    expect(page.locator("#conversation")).to_contain_text("answered again from the start")
    expect(answer(page)).to_have_text("Speak")


def test_words_that_want_to_run_or_load_stay_words(ada: Visit, cast: Cast, submission: Submission) -> None:
    asked: list[str] = []
    ada.context.on("request", lambda request: asked.append(request.url))
    half = len(PAYLOADS) // 2
    question = "\n".join(PAYLOADS)[:MAX_QUESTION]
    elsewhere(asking.ask, submission=submission, student=cast.ada, text=question, language="en")
    page = opened(ada, submission).page
    task = begin()
    for text in ("\n\n".join(PAYLOADS[:half]), "- " + "\n- ".join(PAYLOADS)):
        say(task, text)
        expect(answer(page)).to_contain_text(PAYLOADS[half - 1])
    end(task, text)
    expect(page.locator("[data-answering]")).to_have_count(0)
    assert shown(ada, "#conversation") == len(PAYLOADS)
    assert [url for url in asked if not url.startswith((f"{ada.url}/", "data:image/"))] == []


def test_the_panel_is_accessible_in_every_state_on_every_screen(ada: Visit, cast: Cast, submission: Submission) -> None:
    def asked(text: str) -> Task:
        elsewhere(asking.ask, submission=submission, student=cast.ada, text=text, language="en")
        return begin()

    watch = Watch(opened(ada, submission).page, ada.url)
    watch.inspect({"include": ["#coach"]}, finger=True)
    assert not watch.problems, "empty"
    end(asked(QUESTION + " x" * 30), "- You smiled.\n- You were **loud**.\n\n> Hello\n\n`so` " + "b" * 90)
    end(asked("My score?"), "I can give no scores and change none.", CoachQuestion.End.WITHHELD, "score")
    say(asked("And my hands?"), "You held them # still " + "a" * 300)
    elsewhere(asking.ask, submission=submission, student=cast.ada, text="a" * 200, language="en")
    ada.page.reload()
    for words in ("You smiled.", "I can give no scores", "Being answered.", "Number 1 in line."):
        expect(ada.page.locator("#coach")).to_contain_text(words)
    watch.inspect({"include": ["#coach"]}, finger=True)
    assert not watch.problems
    for each in ada.page.locator("[data-answer]:not(:empty)").all():  # an answer has all of the panel's width
        assert each.evaluate("element => element.clientWidth > element.closest('article').clientWidth * 0.8")
