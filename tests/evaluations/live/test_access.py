"""S22 for sockets: each WebSocket route of the routing, and what of Ada's each kind of user receives on it."""

from __future__ import annotations

import json
from typing import Final

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User

from evaluations.live.consumer import SIGNED_OUT
from introeval.asgi import application
from queueing.models import Worker
from tests.conftest import Cast
from tests.evaluations.live.test_dashboard_socket import PATIENCE_SECONDS, cookie_of, elsewhere, hang_up, login, until
from tests.evaluations.material import claim, hand_in
from tests.evaluations.routes import sockets, undeclared

pytestmark = pytest.mark.django_db(transaction=True)

# route → who receives updates of Ada's work; other signed-in users get those of the queue alone, the rest is refused.
MATRIX: Final = {"ws/dashboard": {"ada"}}
SIGNED_IN: Final = ("ada", "bo", "outsider", "teacher", "other_teacher", "root")


def socket(route: str, cookie: bytes = b"") -> WebsocketCommunicator:
    headers = [(b"host", b"testserver"), (b"origin", b"http://testserver"), *([(b"cookie", cookie)] if cookie else [])]
    return WebsocketCommunicator(application, f"/{route}", headers=headers)


def test_every_socket_is_in_the_matrix() -> None:
    assert not (said := undeclared(sockets(), MATRIX)), said


@pytest.mark.parametrize("route", MATRIX)
async def test_nobody_listens_without_a_session(cast: Cast, route: str) -> None:
    assert await socket(route).connect() == (False, SIGNED_OUT)


@pytest.mark.parametrize("route", MATRIX)
async def test_of_adas_work_only_she_hears(cast: Cast, route: str) -> None:
    root = await elsewhere(User.objects.create_superuser, "root")
    submission = await elsewhere(hand_in, cast.ada, cast.classroom, name="ours.mp4")
    open_sockets = {}
    for who in SIGNED_IN:
        session = await login(root if who == "root" else getattr(cast, who))
        open_sockets[who] = socket(route, cookie_of(session))
        assert (await open_sockets[who].connect(timeout=PATIENCE_SECONDS))[0], who

    async def received_by(who: str) -> str:
        """Everything up to the update that some work has begun."""
        begun = await until(open_sockets[who], lambda message: message.get("summary", message).get("running", 0) > 0)
        return json.dumps(begun)

    await elsewhere(claim, submission, await elsewhere(Worker.objects.create, node="lab-pc", pid=1))
    # One after the other: a communicator that receives patches channels, and two at once never take it back.
    received = {who: await received_by(who) for who in SIGNED_IN}
    for one in open_sockets.values():
        await hang_up(one)
    marks = (str(submission.pk), "ours.mp4", "task_update")
    assert {who for who, words in received.items() if any(mark in words for mark in marks)} == MATRIX[route]
