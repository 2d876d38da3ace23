"""Requests of pages whose session has ended, or is another user's by now."""

from __future__ import annotations

import json
from typing import Final
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import Client

from evaluations.access.sessions import is_owner
from evaluations.models import Upload
from queueing.exceptions import Permanent
from queueing.models import Task
from queueing.states import State
from tests.conftest import Cast
from tests.evaluations.material import fail, hand_in
from tests.evaluations.uploads.conftest import Tus, metadata
from tests.evaluations.views.conftest import disk, signed_in

__all__ = ["disk"]

HTMX: Final = {"HX-Request": "true"}
ACTIONS: Final = ("retry", "cancel", "delete")


def as_page_of(user: User) -> dict[str, str]:
    return {"X-User": str(user.pk)}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("headers", [HTMX, {"X-User": "1"}, {**HTMX, "X-User": "1"}])
def test_a_script_without_a_session_gets_401_in_words_and_nothing_is_done(
    cast: Cast, action: str, headers: dict[str, str]
) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    fail(submission, Permanent("broken", code="unreadable"))
    answer = Client().post(f"/submissions/{submission.pk}/{action}", headers=headers)
    assert answer.status_code == 401
    assert json.loads(answer.content)["code"] == "signed_out"
    assert Task.objects.get().state == State.FAILED


@pytest.mark.parametrize("path", ["/submissions/fragment/", "/classes/{}/", "/submissions/{}/row/"])
def test_a_poll_without_a_session_gets_no_login_page_to_show(cast: Cast, path: str) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    key = cast.classroom.pk if "classes" in path else submission.pk
    answer = Client().get(path.format(key), headers=HTMX)
    assert answer.status_code == 401
    assert b"<form" not in answer.content


@pytest.mark.parametrize("action", ACTIONS)
def test_a_form_without_a_session_leads_to_the_login_and_back_to_its_page(cast: Cast, action: str) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    page = f"/submissions/{submission.pk}/"
    answer = Client().post(f"{page}{action}", headers={"Referer": f"http://testserver{page}"})
    query = parse_qs(urlsplit(answer["Location"]).query)
    assert query == {"next": [page], "ended": ["undone"]}
    shown = Client().get(answer["Location"]).content.decode()
    assert "What you did last was not done." in shown
    client = Client()
    client.post("/login/", {"username": "ada", "password": "a-long-passphrase", "next": query["next"][0]})
    assert client.get(query["next"][0]).status_code == 200


def test_a_page_elsewhere_is_not_where_the_login_leads(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    answer = Client().post(f"/submissions/{submission.pk}/retry", headers={"Referer": "https://evil.example/x"})
    assert parse_qs(urlsplit(answer["Location"]).query)["next"] == ["/"]


def test_with_somebody_elses_session_an_upload_is_neither_theirs_nor_lost(cast: Cast) -> None:
    ada = Tus(cast.ada)
    url = ada.start(2000)
    ada.patch(url, 0, bytes(1000))
    at_the_same_computer = Tus(cast.bo).client
    common = {"Tus-Resumable": "1.0.0", **as_page_of(cast.ada)}
    answers = [
        at_the_same_computer.head(url, headers=common),
        at_the_same_computer.post(
            "/api/uploads/", headers={**common, "Upload-Length": "9", "Upload-Metadata": metadata(filename="a")}
        ),
        at_the_same_computer.delete(url, headers=common),
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 401]
    assert json.loads(answers[1].content)["code"] == "someone_else"
    assert not Upload.objects.filter(student=cast.bo).exists()
    assert ada.head(url)["Upload-Offset"] == "1000"


def test_a_list_of_another_user_is_not_put_into_an_open_page(cast: Cast) -> None:
    hand_in(cast.bo, cast.classroom)
    client = signed_in(cast.bo)
    assert client.get("/submissions/fragment/", headers=as_page_of(cast.ada)).status_code == 401
    assert client.get("/submissions/fragment/", headers=as_page_of(cast.bo)).status_code == 200


def test_a_page_that_does_not_say_whose_it_is_belongs_to_the_session() -> None:
    ada, bo = User(pk=1), User(pk=2)
    assert [is_owner("", ada), is_owner("1", ada), is_owner("1", bo)] == [True, True, False]
    assert not is_owner("1", AnonymousUser())


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/submissions/{}/retry", 403)])
def test_what_django_refuses_a_script_has_words(cast: Cast, path: str, status: int) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.ada)
    submission = hand_in(cast.ada, cast.classroom)
    answer = client.post(path.format(submission.pk), headers=HTMX)
    assert answer.status_code == status
    assert json.loads(answer.content)["what"]
