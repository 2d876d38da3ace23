"""Reviewing by keyboard, two graders, and a student's open page that learns of a release."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect

from evaluations.actions import decisions, release
from evaluations.models import Evaluation, ReviewDecision, Submission
from tests.browser.conftest import PATIENCE_MS, Visit, elsewhere, visiting
from tests.browser.test_student import clip, until
from tests.conftest import Cast
from tests.evaluations.material import finish, hand_in, write_long_results

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

expect.set_options(timeout=PATIENCE_MS)
CONFLICT = "409"  # Chromium writes the status of such an answer on its console
PLAYER = "document.getElementById('player')"


def rated(cast: Cast, student: User, name: str = "mine.webm") -> Evaluation:
    submission = hand_in(student, cast.classroom, name=name, content=clip().read_bytes() + name.encode())
    rating = write_long_results(submission, scores={"Clarity": 6.0}, released_at=None)
    finish(submission)
    return rating


def a_class_of(cast: Cast, size: int) -> list[Evaluation]:
    found = []
    for number in range(size):
        student = User.objects.create(username=f"student-{number}")
        cast.classroom.students.add(student)
        found.append(rated(cast, student, f"{number}.webm"))
    return found


def address(rating: Evaluation) -> str:
    submission = Submission.objects.get(pk=rating.submission_id)
    return f"/classes/{submission.classroom_id}/review/{submission.pk}/"


def items(rating: Evaluation) -> dict[str, bool]:
    return decisions.standing(rating).items


@pytest.fixture
def teacher(chromium: Browser, site: str, transactional_db: None, cast: Cast) -> Iterator[Visit]:
    with visiting(chromium, site, (CONFLICT, "ERR_FAILED")) as visit:
        visit.sign_in(cast.teacher)
        yield visit


def saved(page: Page, words: str) -> None:
    expect(page.locator("#announcer")).to_have_text(words)


@pytest.mark.timeout(180)
def test_thirty_are_reviewed_with_one_key_each(teacher: Visit, cast: Cast) -> None:
    elsewhere(a_class_of, cast, 30)
    page = teacher.page
    page.goto(f"/classes/{cast.classroom.pk}/review/")
    page.get_by_role("button", name="Keys").click()
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")  # to the page, not to the button
    expect(page.locator("#keys")).to_be_hidden()
    for number in range(30):
        expect(page.locator("#review")).to_contain_text(f"{number} of 30 reviewed")
        expect(page.get_by_role("button", name="Keys")).to_be_visible()  # the script runs
        page.keyboard.press("Enter")
    expect(page.locator("#review")).to_contain_text("30 of 30 reviewed")
    made = elsewhere(lambda: list(ReviewDecision.objects.values_list("kind", "value")))
    assert made == [("reviewed", True)] * 30


def test_items_are_decided_by_keys_and_nothing_while_somebody_types(teacher: Visit, cast: Cast) -> None:
    rating = elsewhere(rated, cast, cast.ada)
    page = teacher.page
    page.goto(elsewhere(address, rating))
    until(page, f"{PLAYER}.readyState > 0")
    # As fast as keys can be: each is saved, in order.
    for key in "njyjn":
        page.keyboard.press(key)
    expect(page.locator("[data-item$=thread] .answer")).to_have_class("answer no")
    assert elsewhere(items, rating) == {"plan": False, "proof": True, "thread": False}
    expect(page.locator("[data-item$=plan]")).to_contain_text("program: yes")
    page.keyboard.press("u")
    expect(page.locator("[data-item$=thread]")).not_to_contain_text("by a teacher")
    page.keyboard.press("z")
    expect(page.locator("[data-item$=thread]")).to_contain_text("by a teacher")
    page.keyboard.press("c")
    page.keyboard.type("You juggle? Show us: y n u z p")
    assert elsewhere(items, rating) == {"plan": False, "proof": True, "thread": False}
    page.keyboard.press("Escape")
    # What is being typed survives a decision.
    page.keyboard.press("k")
    page.keyboard.press("n")
    expect(page.locator("[data-item$=proof] .answer")).to_have_class("answer no")
    expect(page.locator("#comment")).to_have_value("You juggle? Show us: y n u z p")
    page.locator("#comment-save").click()
    saved(page, "The comment is saved.")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("y")
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    assert elsewhere(items, rating)["proof"] is False
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("p")
    until(page, f"!{PLAYER}.paused")
    page.keyboard.press(" ")
    until(page, f"{PLAYER}.paused")
    page.keyboard.press("Shift+Enter")
    expect(page.locator("#review")).to_contain_text("the student sees it")
    assert elsewhere(lambda: Evaluation.objects.get().released_at is not None)


def test_two_graders_lose_nothing(teacher: Visit, cast: Cast, chromium: Browser, site: str) -> None:
    rating = elsewhere(rated, cast, cast.ada)
    elsewhere(cast.classroom.teachers.add, cast.other_teacher)
    at = elsewhere(address, rating)
    page = teacher.page
    page.goto(at)
    with visiting(chromium, site) as colleague:
        colleague.sign_in(cast.other_teacher)
        colleague.page.goto(at)
        colleague.page.keyboard.press("n")
        saved(colleague.page, "Saved.")
    page.keyboard.press("c")
    page.keyboard.type("Well told.")
    page.locator("#comment-save").click()
    offer = page.locator(".offer")
    expect(offer).to_contain_text("other_teacher")
    expect(page.locator("[data-item$=plan] .answer")).to_have_class("answer no")  # the colleague's
    assert elsewhere(decisions.standing, rating).comment == ""
    offer.get_by_role("button", name="Make my change").click()
    saved(page, "The comment is saved.")
    expect(offer).to_have_count(0)
    stand = elsewhere(decisions.standing, rating)
    assert (stand.comment, stand.items) == ("Well told.", {"plan": False})


def test_a_decision_that_can_not_be_sent_is_said(teacher: Visit, cast: Cast) -> None:
    rating = elsewhere(rated, cast, cast.ada)
    page = teacher.page
    page.goto(elsewhere(address, rating))
    page.route("**/review/**", lambda route: route.abort())
    page.keyboard.press("y")
    expect(page.locator("#problem")).to_be_visible()
    page.unroute_all()
    page.keyboard.press("y")
    saved(page, "Saved.")
    expect(page.locator("#problem")).to_be_hidden()


def test_the_students_pages_learn_of_a_release_and_of_its_end(ada: Visit, cast: Cast) -> None:
    rating = elsewhere(rated, cast, cast.ada)
    mine = Submission.objects.filter(pk=rating.submission_id)
    ada.page.goto("/")
    row = ada.row("mine.webm")
    expect(row).to_contain_text("Your teacher looks at it first.")
    result = ada.context.new_page()
    result.goto(f"/submissions/{rating.submission_id}/")
    expect(result.locator("#results")).to_contain_text("Your teacher looks at it first")
    elsewhere(release.release, mine, by=cast.teacher)
    expect(row).not_to_contain_text("Your teacher looks at it first.")
    expect(ada.page.locator(".toast")).to_contain_text("The result of mine.webm is ready.")
    expect(result.get_by_role("heading", name="Scores")).to_be_visible()
    expect(result.locator("#announcer")).to_have_text("mine.webm: done")
    elsewhere(release.withdraw, mine, by=cast.teacher)
    expect(row).to_contain_text("Your teacher looks at it first.")
    expect(result.get_by_role("heading", name="Scores")).to_have_count(0)


def test_another_look_is_asked_for_and_answered(ada: Visit, cast: Cast, chromium: Browser, site: str) -> None:
    rating = elsewhere(rated, cast, cast.ada)
    elsewhere(a_class_of, cast, 2)
    elsewhere(release.release, Submission.objects.all(), by=cast.teacher)
    ada.page.goto(f"/submissions/{rating.submission_id}/")
    ada.page.get_by_role("link", name="Ask for another look").click()
    ada.page.get_by_label("What should your teacher look at again?").fill("I proved it with the bridge.")
    ada.page.get_by_role("button", name="Ask", exact=True).click()
    expect(ada.page.locator("#results")).to_contain_text("Not answered yet.")
    with visiting(chromium, site) as desk:
        desk.sign_in(cast.teacher)
        desk.page.goto(f"/classes/{cast.classroom.pk}/")
        desk.page.get_by_role("link", name="Review", exact=True).click()
        expect(desk.page.locator("#review")).to_contain_text("I proved it with the bridge.")  # it comes first
        desk.page.get_by_label("Your answer to the student").fill("You did. I changed it.")
        desk.page.get_by_role("button", name="Answer", exact=True).click()
        saved(desk.page, "The answer is saved.")
    expect(ada.page.locator("#results")).to_contain_text("You did. I changed it.")  # without a reload
