"""A teacher tries a rubric, watches it come, and adopts what came of it, by keyboard."""

from __future__ import annotations

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from evaluations.models import Rerating, Submission
from tests.browser.conftest import PATIENCE_MS, Visit, elsewhere
from tests.conftest import Cast
from tests.evaluations.actions.test_reratings import counting, rate, submission_of

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

expect.set_options(timeout=PATIENCE_MS)


def prepare(cast: Cast) -> tuple[Submission, int]:
    return submission_of(cast.ada, cast.classroom), cast.classroom.rubric.new_version().pk


def test_a_rubric_is_tried_watched_and_adopted_by_keyboard(visit: Visit, cast: Cast) -> None:
    submission, rubric = elsewhere(prepare, cast)
    visit.sign_in(cast.teacher)
    page = visit.page
    page.goto(f"{reverse('reratings', args=[cast.classroom.pk])}?rubric={rubric}")
    page.get_by_role("button", name="Rate again").press("Enter")
    expect(page.get_by_text("0 of 1 rated")).to_be_visible()
    expect(page.get_by_role("checkbox")).to_have_count(0)
    news = page.get_by_role("status").filter(has_text="rated again")
    expect(news).to_have_count(0)

    order = elsewhere(Rerating.objects.get)
    elsewhere(rate, order, submission)
    expect(news).to_have_text("1 rated again.")  # by itself
    box = page.get_by_role("checkbox", name="Adopt (hello.mp4)")
    box.press("Space")
    expect(box).to_be_checked()
    page.get_by_role("button", name="Adopt those that are ticked").press("Enter")
    expect(page.get_by_text("1 new rating counts now.")).to_be_visible()
    assert elsewhere(counting, submission) == elsewhere(order.ratings.get)
