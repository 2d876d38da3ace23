"""How often the API may be asked, and work be started and stopped."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from evaluations.access import limits
from evaluations.access.limits import Buckets
from evaluations.coaching.questions import asking
from evaluations.models import ReviewDecision, TrailEntry
from queueing.exceptions import Permanent
from queueing.models import Event, Task
from queueing.states import State
from tests.conftest import Cast
from tests.evaluations.material import fail, hand_in, write_results
from tests.evaluations.views.conftest import disk, signed_in

__all__ = ["disk"]


@pytest.fixture
def few(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three requests of a session, eighteen of an address, and next to none while the test goes on."""
    settings.API_PER_SECOND = 0.001
    monkeypatch.setattr(limits, "BURST_SECONDS", 3000.0)


def ask(client: Client, times: int, **extra: str) -> list[int]:
    return [client.get("/api/my-videos", **extra).status_code for _ in range(times)]  # type: ignore[arg-type]


def test_a_program_that_asks_all_the_time_is_told_to_wait_and_others_are_served(cast: Cast, few: None) -> None:
    client = Client()
    client.force_login(cast.ada)
    assert ask(client, 5) == [200, 200, 200, 429, 429]
    refused = client.get("/api/my-videos")
    assert (refused.json()["code"], int(refused["Retry-After"]) > 0) == ("too_many_requests", True)
    assert client.get("/").status_code == 200  # pages are not the API's


def test_cookies_that_are_made_up_do_not_make_it_more(few: None, db: None) -> None:
    client = Client()
    found = [ask(client, 1, HTTP_COOKIE=f"sessionid=made-up-{number}")[0] for number in range(25)]
    assert set(found[:18]) == {401}
    assert set(found[18:]) == {429}


def test_pieces_of_an_upload_are_not_counted(cast: Cast, few: None) -> None:
    client = signed_in(cast.ada)
    none = "/api/uploads/00000000-0000-4000-8000-000000000000"
    assert 429 not in {client.head(none).status_code for _ in range(9)}


@pytest.mark.parametrize("root", ["/submissions/{}/", "/api/submissions/{}/"])
def test_retry_and_cancel_in_turn_come_to_an_end(cast: Cast, monkeypatch: pytest.MonkeyPatch, root: str) -> None:
    monkeypatch.setattr(limits, "_moves", Buckets(6, 1e-9))
    submission, other = hand_in(cast.ada, cast.classroom), hand_in(cast.ada, cast.classroom, name="b.mp4")
    fail(submission, Permanent(code="no_audio"))
    client = signed_in(cast.ada)
    before = Event.objects.count()
    answers = [client.post(root.format(submission.pk) + verb) for _ in range(10) for verb in ("retry", "cancel")]
    assert Event.objects.count() - before == 6
    assert [one.status_code for one in answers[6:]] == [429] * 14
    assert all(int(one["Retry-After"]) > 0 for one in answers[6:])
    if not root.startswith("/api"):
        assert "asked for very often" in answers[6].content.decode()
    # Another one is not concerned.
    client.post(root.format(other.pk) + "cancel")
    assert Event.objects.count() - before == 7


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was used up does not come back while the test goes on."""
    for name in ("_moves", "_class_work", "_questions"):
        monkeypatch.setattr(limits, name, Buckets(6, 1e-9))


@pytest.mark.parametrize("by", ["board", "admin", "operators"])
def test_retry_and_cancel_of_a_whole_class_come_to_an_end_too(cast: Cast, slow: None, by: str) -> None:
    found = [hand_in(one, cast.classroom, name=f"{one.pk}.mp4") for one in (cast.ada, cast.bo)]
    tasks = list(Task.objects.filter(submission__in=found).values_list("pk", flat=True))
    client, before = signed_in(User.objects.create_superuser("root")), Event.objects.count()

    def press(verb: str) -> Any:
        if by == "operators":
            return client.post(reverse("lab-tasks"), {"verb": verb, "task": tasks, "confirmed": "1"})
        if by == "board" and verb == "retry":
            rows = {"submission": [str(one.pk) for one in found]}
            return client.post(reverse("classroom-retry", args=[cast.classroom.pk]), rows)
        chosen = {"rows": ",".join(map(str, tasks))}
        return client.post(reverse("admin:queueing_task_act", args=[verb]), chosen)

    answers = [press(verb) for _ in range(5) for verb in ("cancel", "retry")]
    assert Event.objects.count() - before == 6 * len(found)
    assert [one.status_code for one in answers] == [302] * 6 + [429] * 4
    assert int(answers[-1]["Retry-After"]) > 0
    assert "asked for very often" in answers[-1].content.decode()
    assert "seconds, then try again" in answers[-1].content.decode()


def test_all_that_failed_is_not_tried_again_all_the_time(cast: Cast, slow: None) -> None:
    found = [hand_in(one, cast.classroom, name=f"{one.pk}.mp4") for one in (cast.ada, cast.bo)]
    client, answers = signed_in(cast.teacher), []
    for _ in range(8):
        for one in found:
            if Task.objects.get(submission=one).state != State.FAILED:
                fail(one, Permanent(code="no_audio"))
        answers.append(client.post(reverse("classroom-retry-failed", args=[cast.classroom.pk])).status_code)
    assert answers == [302] * 6 + [429] * 2


def test_scripts_are_told_in_their_shape_and_the_page_leads_back(cast: Cast, slow: None) -> None:
    found = hand_in(cast.ada, cast.classroom)
    fail(found, Permanent(code="no_audio"))
    client, address = signed_in(cast.teacher), reverse("classroom-retry", args=[cast.classroom.pk])
    answers = [client.post(address, {"submission": str(found.pk)}, headers={"HX-Request": "true"}) for _ in range(7)]
    assert (answers[5].status_code, answers[6].status_code) == (200, 429)
    assert answers[6].json()["code"] == "too_many_requests"
    there, away = (
        client.post(address, {"submission": str(found.pk)}, headers={"Referer": referer}).content.decode()
        for referer in ("http://testserver/classes/1/", "https://evil.example/")
    )
    assert 'href="http://testserver/classes/1/"' in there
    assert "evil" not in away


def test_one_row_after_the_other_is_no_bulk(cast: Cast, slow: None) -> None:
    """A teacher may press each row's own button."""
    client, address = signed_in(cast.teacher), reverse("classroom-retry", args=[cast.classroom.pk])
    for number in range(9):
        found = hand_in(cast.ada, cast.classroom, name=f"{number}.mp4")
        fail(found, Permanent(code="no_audio"))
        assert client.post(address, {"submission": str(found.pk)}).status_code == 302


def test_a_result_is_not_shown_and_hidden_all_the_time(cast: Cast, slow: None) -> None:
    found = hand_in(cast.ada, cast.classroom)
    rating = write_results(found)
    client = signed_in(cast.teacher)
    address = reverse("review-submission", args=[cast.classroom.pk, found.pk])

    def press(value: str) -> int:
        form = {"do": "released", "value": value, "evaluation": rating.pk, "seen": 10**6}
        return int(client.post(address, form).status_code)

    answers = [press(value) for _ in range(5) for value in ("yes", "no")]
    assert answers == [302] * 6 + [429] * 4
    assert ReviewDecision.objects.filter(kind="released").count() <= 6

    all_of_it = [client.post(reverse("review", args=[cast.classroom.pk]), {"do": do}) for do in ("all", "hide") * 5]
    assert [one.status_code for one in all_of_it] == [302] * 6 + [429] * 4
    assert client.get(reverse("review", args=[cast.classroom.pk])).status_code == 302, "to look is not to decide"


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("classroom-csv", "get"),
        ("classroom-xlsx", "get"),
        ("classroom-sheets", "get"),
        ("classroom-in-short", "get"),
        ("reratings", "post"),
        ("reratings-alike", "post"),
        ("calibration", "post"),
    ],
)
def test_what_a_whole_class_is_read_for_is_not_asked_for_all_the_time(
    cast: Cast, slow: None, name: str, method: str
) -> None:
    client = signed_in(cast.teacher)
    ask_for = getattr(client, method)
    answers = [ask_for(reverse(name, args=[cast.classroom.pk])).status_code for _ in range(9)]
    assert 429 not in answers[:6]
    assert answers[6:] == [429] * 3
    other = signed_in(User.objects.create_superuser("root"))
    assert getattr(other, method)(reverse(name, args=[cast.classroom.pk])).status_code != 429


def test_neither_are_ones_own_data_nor_the_audit_trail(cast: Cast, slow: None) -> None:
    student = signed_in(cast.ada)
    assert [student.get(reverse("own-data")).status_code for _ in range(7)] == [200] * 6 + [429]
    teacher, theirs = signed_in(cast.teacher), reverse("student-data", args=[cast.classroom.pk, cast.ada.pk])
    assert [teacher.get(theirs).status_code for _ in range(7)] == [200] * 6 + [429]
    assert TrailEntry.objects.filter(verb="exported").count() == 6
    root = signed_in(User.objects.create_superuser("root"))
    trail = reverse("admin:evaluations_trailentry_csv")
    assert [root.get(trail).status_code for _ in range(7)] == [200] * 6 + [429]


def test_asking_the_coach_and_stopping_it_in_turn_comes_to_an_end(cast: Cast, slow: None) -> None:
    found = hand_in(cast.ada, cast.classroom)
    write_results(found)
    client = signed_in(cast.ada)
    pages = []
    for number in range(8):
        address = reverse("coach-ask", args=[found.pk])
        pages.append(client.post(address, {"question": f"How do I speak slower? {number}"}, follow=True).content)
        for question in found.questions.all():
            asking.stop(question, by=cast.ada)
    assert [b"asked for very often" in one for one in pages] == [False] * 6 + [True] * 2
    assert found.questions.count() == 6
    body = {"submission_id": str(found.pk), "question": "And now?"}
    refused = client.post("/api/chat", body, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
