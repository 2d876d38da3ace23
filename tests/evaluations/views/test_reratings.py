"""The teacher's pages on ratings made again."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from evaluations.actions import reratings
from evaluations.actions.decisions import Kind
from evaluations.models import Classroom, Rerating, Rubric, Submission
from queueing.exceptions import Permanent
from queueing.models import Task, Worker
from tests.conftest import Cast
from tests.evaluations.actions.test_reratings import counting, decide, ordered, rate, submission_of
from tests.evaluations.views.conftest import signed_in


@pytest.fixture
def teacher(cast: Cast) -> Client:
    return signed_in(cast.teacher)


@pytest.fixture
def ada(cast: Cast) -> Submission:
    return submission_of(cast.ada, cast.classroom, text="names a plan")


def text(client: Client, path: str, **more: Any) -> str:
    answer = client.get(path, **more)
    assert answer.status_code == 200
    return " ".join(re.sub(r"<[^>]*>", " ", answer.content.decode()).split())


def address(classroom: Classroom) -> str:
    return f"/classes/{classroom.pk}/reratings/"


def test_the_class_page_leads_there(cast: Cast, teacher: Client, ada: Submission) -> None:
    html = teacher.get(f"/classes/{cast.classroom.pk}/").content.decode()
    assert address(cast.classroom) in html
    assert "Rate all alike" not in html


def test_a_class_rated_under_two_seals_says_so_and_one_button_makes_it_alike(
    cast: Cast, teacher: Client, ada: Submission
) -> None:
    submission_of(cast.bo, cast.classroom, seal="b" * 16)
    assert "Not all recordings of this class were rated alike" in text(teacher, f"/classes/{cast.classroom.pk}/")
    answer = teacher.post(f"{address(cast.classroom)}alike")
    order = Rerating.objects.get()
    assert answer["Location"] == f"/reratings/{order.pk}/"
    assert list(order.submissions.all()) == [ada]
    assert order.by == cast.teacher


@pytest.mark.parametrize(("which", "count"), [("all", 7), ("unlike", 6), ("try", 5)])
def test_the_form_orders_what_was_chosen(cast: Cast, teacher: Client, which: str, count: int) -> None:
    other = cast.classroom.rubric.new_version()
    for overall in range(6):
        submission_of(cast.ada, cast.classroom, overall=float(overall))
    submission_of(cast.bo, cast.classroom, seal="b" * 16)
    answer = teacher.post(address(cast.classroom), {"rubric": other.pk, "which": which, "reason": "strict"})
    order = Rerating.objects.get()
    assert answer["Location"] == f"/reratings/{order.pk}/"
    assert (order.rubric, order.reason, order.submissions.count()) == (other, "strict", count)


def test_only_rubrics_that_can_be_scored_by_are_offered_the_classs_first(cast: Cast, teacher: Client) -> None:
    broken = Rubric.objects.create(name="Broken")
    shown = teacher.get(address(cast.classroom)).content.decode()
    options = [int(key) for key in re.findall(r'<option value="(\d+)"', shown)]
    assert options[0] == cast.classroom.rubric_id
    assert broken.pk not in options
    assert len(options) == Rubric.objects.count() - 1


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"rubric": "x"},
        {"rubric": "0"},
        {"which": "most"},
        {"reason": "x" * 201},
        {"rubric": "\x00"},
        {"reason": "\x00"},
    ],
)
def test_a_form_that_makes_no_sense_is_shown_again(
    cast: Cast, teacher: Client, ada: Submission, bad: dict[str, str]
) -> None:
    given = {"rubric": str(cast.classroom.rubric_id), "which": "all", **bad} if bad else {}
    assert teacher.post(address(cast.classroom), given).status_code == 400
    assert not Rerating.objects.exists()


def test_an_address_may_name_the_rubric_and_may_name_nonsense(cast: Cast, teacher: Client) -> None:
    other = cast.classroom.rubric.new_version()
    shown = teacher.get(address(cast.classroom), {"rubric": other.pk}).content.decode()
    assert f'<option value="{other.pk}" selected>' in shown
    assert teacher.get(address(cast.classroom), {"rubric": "<script>"}).status_code == 200


def test_nothing_to_rate_again_is_said(cast: Cast, teacher: Client) -> None:
    answer = teacher.post(address(cast.classroom), {"rubric": cast.classroom.rubric_id, "which": "all"}, follow=True)
    assert "There is nothing to rate again." in answer.content.decode()


def test_what_is_left_out_is_said_with_the_reason(cast: Cast, teacher: Client, ada: Submission) -> None:
    ordered(cast.classroom, ada)
    submission_of(cast.bo, cast.classroom)
    given = {"rubric": cast.classroom.rubric_id, "which": "all"}
    answer = teacher.post(address(cast.classroom), given, follow=True)
    assert "1 left out: it is being rated again already (1)." in answer.content.decode()


def test_while_it_runs_its_page_polls_shows_progress_and_offers_nothing_to_choose(
    cast: Cast, teacher: Client, ada: Submission
) -> None:
    order = ordered(cast.classroom, ada, submission_of(cast.bo, cast.classroom))
    rate(order, ada)
    html = teacher.get(f"/reratings/{order.pk}/").content.decode()
    assert 'hx-trigger="every 5s"' in html
    assert "1 of 2 rated" in html
    assert 'type="checkbox"' not in html
    assert "waiting for rating" in html
    fragment = teacher.get(f"/reratings/{order.pk}/", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in fragment
    assert re.search(r'hx-swap-oob="innerHTML:#rerating-news">\s*</div>', fragment)  # nothing to announce


def test_when_it_has_ended_the_polling_does_too_and_that_is_announced(
    cast: Cast, teacher: Client, ada: Submission
) -> None:
    order = ordered(cast.classroom, ada)
    rate(order, ada)
    fragment = teacher.get(f"/reratings/{order.pk}/", headers={"HX-Request": "true"}).content.decode()
    assert "hx-trigger" not in fragment
    assert "1 rated again." in fragment


def test_a_failed_one_says_why_in_words(cast: Cast, teacher: Client, ada: Submission) -> None:
    order = ordered(cast.classroom, ada)
    worker = Worker.objects.create(node="lab-pc", pid=1)
    (task,) = Task.objects.take([reratings.tasks_of(order)[ada.pk].pk], worker=worker, lease_seconds=60)
    task.fail(Permanent(code="too_long_for_model"), took=1.0)
    shown = text(teacher, f"/reratings/{order.pk}/")
    assert "There is too much text for the model" in shown
    assert "0 rated again. 1 could not be rated." in shown


def test_old_and_new_are_side_by_side_with_the_items_that_changed(cast: Cast, teacher: Client, ada: Submission) -> None:
    order = ordered(cast.classroom, ada)
    rate(order, ada, overall=5.0)
    shown = text(teacher, f"/reratings/{order.pk}/")
    assert "before 7.5 → now 5.0" in shown
    assert "-2.5" in shown
    assert "Confidence: before 7.5 → now 5.0" in shown
    assert "names a plan: yes → no" in shown
    assert "proves it: no → yes" in shown
    reratings.adopt(rerating=order, by=cast.teacher)
    assert "before 7.5 → now 5.0" in text(teacher, f"/reratings/{order.pk}/")  # as it was, after it was adopted


def test_what_a_person_decided_is_in_the_old_score_and_is_withheld(
    cast: Cast, teacher: Client, ada: Submission
) -> None:
    decide(ada, cast.teacher, Kind.OVERALL, value=9.0, reason="I was there")
    order = ordered(cast.classroom, ada)
    rate(order, ada)
    shown = text(teacher, f"/reratings/{order.pk}/")
    assert "before 9.0 → now 5.0" in shown
    assert "withheld: a person has decided on the rating that counts" in shown
    old = counting(ada)
    answer = teacher.post(f"/reratings/{order.pk}/adopt", {"all": "on"}, follow=True)
    assert "1 left out: a person has decided" in answer.content.decode()
    assert counting(ada) == old
    teacher.post(f"/reratings/{order.pk}/adopt", {"all": "on", "force": "on"})
    assert counting(ada) == order.ratings.get()


def test_those_that_are_ticked_are_adopted_and_a_class_may_take_the_rubric(
    cast: Cast, teacher: Client, ada: Submission
) -> None:
    bo = submission_of(cast.bo, cast.classroom)
    other = cast.classroom.rubric.new_version()
    order = ordered(cast.classroom, ada, bo, rubric=other)
    rate(order, ada)
    rate(order, bo)
    answer = teacher.post(f"/reratings/{order.pk}/adopt", {"submissions": [ada.pk]}, follow=True)
    assert "1 new rating counts now." in answer.content.decode()
    assert (counting(ada), counting(bo)) == (order.ratings.get(submission=ada), bo.evaluation)
    assert Classroom.objects.get(pk=cast.classroom.pk).rubric == cast.classroom.rubric
    teacher.post(f"/reratings/{order.pk}/adopt", {"all": "on", "rubric": "on"})
    assert Classroom.objects.get(pk=cast.classroom.pk).rubric == other
    assert "There is nothing left to adopt." in text(teacher, f"/reratings/{order.pk}/")


@pytest.mark.parametrize("bad", [{"submissions": ["x"]}, {"submissions": ["\x00"]}, {}])
def test_adopting_nonsense_adopts_nothing(
    cast: Cast, teacher: Client, ada: Submission, bad: dict[str, list[str]]
) -> None:
    order = ordered(cast.classroom, ada)
    rate(order, ada)
    assert teacher.post(f"/reratings/{order.pk}/adopt", bad).status_code == 302
    assert counting(ada) == ada.evaluation


def test_a_button_goes_back_to_the_earlier_ratings_and_they_can_be_compared_still(
    cast: Cast, teacher: Client, ada: Submission
) -> None:
    order = ordered(cast.classroom, ada)
    new = rate(order, ada)
    page = f"/reratings/{order.pk}/"
    assert "Go back to the earlier ratings" not in text(teacher, page)
    reratings.adopt(rerating=order, by=cast.teacher)
    assert "Go back to the earlier ratings" in text(teacher, page)
    answer = teacher.post(f"{page}restore", follow=True)
    assert "1 earlier rating counts again." in answer.content.decode()
    assert counting(ada) == ada.evaluation
    shown = text(teacher, page)
    assert "before 7.5 → now 5.0" in shown
    assert "Adopt all" in shown
    assert "Go back to the earlier ratings" not in shown
    assert "Taken back: Another rating counts from here on." in text(teacher, f"/submissions/{ada.pk}/")
    reratings.adopt(rerating=order, by=cast.teacher)
    assert counting(ada) == new


def test_going_back_from_what_people_decided_on_takes_a_tick(cast: Cast, teacher: Client, ada: Submission) -> None:
    order = ordered(cast.classroom, ada)
    rate(order, ada)
    reratings.adopt(rerating=order, by=cast.teacher)
    decide(ada, cast.teacher, Kind.REVIEWED, value=True)
    page = f"/reratings/{order.pk}/"
    assert "Also for 1 on which a person has decided since" in text(teacher, page)
    answer = teacher.post(f"{page}restore", follow=True)
    assert "1 left out: a person has decided" in answer.content.decode()
    assert counting(ada) == order.ratings.get()
    teacher.post(f"{page}restore", {"force": "on"})
    assert counting(ada) == ada.evaluation


def test_a_rating_that_counts_again_is_not_mistaken_for_one_that_its_order_replaced(
    cast: Cast, teacher: Client, ada: Submission
) -> None:
    first = ordered(cast.classroom, ada)
    rate(first, ada, overall=5.0)
    reratings.adopt(rerating=first, by=cast.teacher)
    second = ordered(cast.classroom, ada)
    rate(second, ada, overall=2.0)
    reratings.adopt(rerating=second, by=cast.teacher)
    reratings.restore(rerating=second, by=cast.teacher)
    assert "before 7.5 → now 5.0" in text(teacher, f"/reratings/{first.pk}/")
    assert "before 5.0 → now 2.0" in text(teacher, f"/reratings/{second.pk}/")


def test_withdrawing_leads_back_to_the_orders(cast: Cast, teacher: Client, ada: Submission) -> None:
    order = ordered(cast.classroom, ada)
    answer = teacher.post(f"/reratings/{order.pk}/withdraw", follow=True)
    assert answer.redirect_chain[0][0] == address(cast.classroom)
    assert "1 recording is not rated again." in answer.content.decode()


def test_earlier_orders_are_listed(cast: Cast, teacher: Client, ada: Submission) -> None:
    order = ordered(cast.classroom, ada, submission_of(cast.bo, cast.classroom), by=cast.teacher, reason="<b>why</b>")
    rate(order, ada)
    reratings.adopt(rerating=order, by=cast.teacher, submissions=[ada.pk])
    html = teacher.get(address(cast.classroom)).content.decode()
    assert f'href="/reratings/{order.pk}/"' in html
    assert "1 of 2 rated" in html
    assert "1 adopted" in html
    assert "&lt;b&gt;why&lt;/b&gt;" in html


def test_the_pages_cost_as_many_queries_for_many_as_for_few(
    cast: Cast, teacher: Client, django_assert_max_num_queries: Any
) -> None:
    many = [submission_of(cast.ada, cast.classroom) for _ in range(12)]
    order = ordered(cast.classroom, *many)
    for each in many[:6]:
        rate(order, each)
    with django_assert_max_num_queries(15):
        teacher.get(f"/reratings/{order.pk}/")


def test_a_student_sees_nothing_of_a_rating_that_is_not_adopted(cast: Cast, ada: Submission) -> None:
    order = ordered(cast.classroom, ada)
    rate(order, ada, overall=1.3, feedback="Harsh words.")
    shown = text(signed_in(cast.ada), f"/submissions/{ada.pk}/")
    assert "7.5 of 10" in shown
    assert "Harsh words." not in shown
    assert signed_in(cast.ada).get(f"/reratings/{order.pk}/").status_code == 404
