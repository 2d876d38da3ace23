"""How often the API may be asked, and work be started and stopped."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import Settings

from evaluations.access import limits
from evaluations.access.limits import Buckets
from queueing.exceptions import Permanent
from queueing.models import Event
from tests.conftest import Cast
from tests.evaluations.material import fail, hand_in
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
    if root.startswith("/api"):
        assert [one.status_code for one in answers[6:]] == [429] * 14
    else:
        assert "asked for very often" in client.get(f"/submissions/{submission.pk}/").content.decode()
    # Another one is not concerned.
    client.post(root.format(other.pk) + "cancel")
    assert Event.objects.count() - before == 7
