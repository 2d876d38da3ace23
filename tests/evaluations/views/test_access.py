"""Who reaches what: every address of the app, for every kind of user. An address that is not in the table fails."""

from __future__ import annotations

import re
import uuid
from typing import Final

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from evaluations.models import Submission, Upload
from evaluations.uploads import intake
from evaluations.urls import urlpatterns
from queueing.exceptions import Permanent
from tests.conftest import Cast
from tests.evaluations.material import fail, hand_in, write_results

TUS = {"Tus-Resumable": "1.0.0", "Upload-Length": "5", "Upload-Offset": "0"}
LOGIN: Final = 302
PEOPLE: Final = ("anonymous", "ada", "bo", "teacher", "other_teacher", "outsider", "root")

# address → method, and the answer for each of PEOPLE. Everything with a key is Ada's.
MATRIX: Final[dict[str, tuple[str, tuple[int, ...]]]] = {
    "dashboard": ("get", (LOGIN, 200, 200, 302, 302, 200, 302)),
    "dashboard-fragment": ("get", (LOGIN, 200, 200, 200, 200, 200, 200)),
    "submission": ("get", (LOGIN, 200, 404, 200, 404, 404, 200)),
    "submission-row": ("get", (LOGIN, 200, 404, 200, 404, 404, 200)),
    "submission-results": ("get", (LOGIN, 200, 404, 200, 404, 404, 200)),
    "submission-media": ("get", (LOGIN, 200, 404, 200, 404, 404, 200)),
    "submission-retry": ("post", (LOGIN, 302, 404, 302, 404, 404, 302)),
    "submission-cancel": ("post", (LOGIN, 302, 404, 302, 404, 404, 302)),
    "classes": ("get", (LOGIN, 200, 200, 200, 200, 200, 200)),
    "classroom": ("get", (LOGIN, 404, 404, 200, 404, 404, 200)),
    "record": ("get", (LOGIN, 200, 200, 404, 404, 404, 404)),
    "uploads": ("post", (401, 201, 201, 404, 404, 201, 404)),
    "upload": ("head", (401, 200, 404, 404, 404, 404, 404)),
    "healthz": ("get", (200,) * 7),
}


@pytest.fixture
def root(cast: Cast) -> User:
    return User.objects.create_superuser("root", password="a-long-passphrase")


@pytest.fixture
def failed(cast: Cast) -> Submission:
    submission = hand_in(cast.ada, cast.classroom)
    fail(submission, Permanent(code="no_audio"))
    return submission


@pytest.fixture
def upload(cast: Cast) -> Upload:
    return intake.begin(student=cast.ada, classroom=cast.classroom, name="a", length=5)


def test_every_address_is_in_the_table() -> None:
    assert {pattern.name for pattern in urlpatterns} == set(MATRIX)


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("name", MATRIX)
def test_everybody_reaches_their_own_and_nothing_else(
    name: str, who: str, cast: Cast, root: User, failed: Submission, upload: Upload
) -> None:
    write_results(failed)
    client = Client()
    if who != "anonymous":
        client.force_login(root if who == "root" else getattr(cast, who))
    keys = {"upload": upload.pk, "classroom": cast.classroom.pk, "record": cast.classroom.pk}
    method, answers = MATRIX[name]
    keyed = name.startswith("submission") or name in keys
    url = reverse(name, args=[keys.get(name, failed.pk)] if keyed else None)
    answer = getattr(client, method)(url, headers=TUS if name.startswith("upload") else {})
    assert answer.status_code == answers[PEOPLE.index(who)]
    if who == "anonymous" and answer.status_code == LOGIN:
        assert answer["Location"].startswith("/login/?next=")


@pytest.mark.parametrize("name", [name for name in MATRIX if name.startswith("submission") or name == "upload"])
def test_what_does_not_exist_looks_like_what_is_not_yours(
    cast: Cast, failed: Submission, upload: Upload, name: str
) -> None:
    client = Client()
    client.force_login(cast.bo)

    def ask(pk: uuid.UUID) -> tuple[int, bytes]:
        answer = getattr(client, MATRIX[name][0])(reverse(name, args=[pk]), headers=TUS)
        return answer.status_code, re.sub(rb"[A-Za-z0-9]{64}", b"token", answer.content)

    assert ask(upload.pk if name == "upload" else failed.pk) == ask(uuid.uuid4())


@pytest.mark.parametrize("name", ["submission-retry", "submission-cancel"])
def test_what_changes_something_needs_the_token_and_a_post(cast: Cast, failed: Submission, name: str) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(cast.ada)
    url = reverse(name, args=[failed.pk])
    assert strict.get(url).status_code == 405
    assert strict.post(url).status_code == 403
    assert failed.evaluation_task.state == "failed"
    strict.get("/")
    token = strict.cookies["csrftoken"].value
    assert strict.post(url, headers={"X-CSRFToken": token}).status_code == 302


def test_logging_in_and_out_need_the_token(cast: Cast) -> None:
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post("/login/", {"username": "ada", "password": "a-long-passphrase"})
    assert answer.status_code == 403
    assert "The page was too old" in answer.content.decode()
    strict.force_login(cast.ada)
    assert strict.post("/logout/").status_code == 403
