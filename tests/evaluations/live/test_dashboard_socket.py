"""The socket with the real broker: what it sends, to whom, and that it is right when messages are lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

import pytest
from channels.db import database_sync_to_async
from channels.layers import channel_layers
from channels.testing import WebsocketCommunicator
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction
from django.test import Client

from evaluations.access.session_store import SessionStore
from evaluations.coaching.operations import requests
from evaluations.live import consumer, hub, messages, sessions
from evaluations.live.broker import broker
from evaluations.models import Submission, UserSession
from evaluations.pages import rows
from evaluations.pages.rows import SubmissionRow
from introeval.asgi import application
from queueing.exceptions import Permanent
from queueing.models import Pause, Phase, Task, Worker, in_seconds
from queueing.states import PhaseStep
from tests.conftest import Cast
from tests.evaluations.material import claim, fail, finish, foretell, hand_in

pytestmark = pytest.mark.django_db(transaction=True)

T = TypeVar("T")
Message = dict[str, Any]
PATIENCE_SECONDS = 10
LOGOUT_SECONDS = 5  # S37


async def elsewhere(work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Run `work` in a thread with a database connection of its own, as a worker or a request would."""

    def run() -> T:
        try:
            return work(*args, **kwargs)
        finally:
            connection.close()

    return await asyncio.to_thread(run)


def key_of(client: Client) -> str:
    return str(client.cookies[django_settings.SESSION_COOKIE_NAME].value)


def cookie_of(client: Client) -> bytes:
    return f"{django_settings.SESSION_COOKIE_NAME}={key_of(client)}".encode()


def socket_for(client: Client | None, origin: str = "http://testserver") -> WebsocketCommunicator:
    headers = [(b"host", b"testserver"), (b"origin", origin.encode())]
    if client is not None:
        headers.append((b"cookie", cookie_of(client)))
    return WebsocketCommunicator(application, "/ws/dashboard", headers=headers)


async def login(user: User) -> Client:
    client = Client()
    await elsewhere(client.force_login, user)
    return client


@asynccontextmanager
async def dashboard(user: User) -> AsyncIterator[WebsocketCommunicator]:
    """A connected socket that has had its snapshot."""
    socket = socket_for(await login(user))
    connected, _ = await socket.connect(timeout=PATIENCE_SECONDS)
    assert connected
    socket.snapshot = await socket.receive_json_from(timeout=PATIENCE_SECONDS)
    try:
        yield socket
    finally:
        await hang_up(socket)


async def hang_up(socket: WebsocketCommunicator) -> None:
    """Leave, and leave no connection behind: communicators keep channels from closing the one of its thread."""
    await socket.disconnect()
    await database_sync_to_async(lambda: connection.close())()


async def until(socket: WebsocketCommunicator, wanted: Callable[[Message], bool]) -> list[Message]:
    """Everything the socket sends up to the first message that is `wanted`."""
    received: list[Message] = []
    while not received or not wanted(received[-1]):
        received.append(await socket.receive_json_from(timeout=PATIENCE_SECONDS))
    return received


async def test_nobody_listens_without_a_login(cast: Cast) -> None:
    socket = socket_for(None)
    assert await socket.connect() == (False, 4401)


async def test_a_page_of_another_site_is_refused(cast: Cast) -> None:
    socket = socket_for(await login(cast.ada), origin="http://evil.example")
    connected, _ = await socket.connect()
    assert not connected


async def test_the_first_message_is_everything_there_is(cast: Cast) -> None:
    mine = await elsewhere(hand_in, cast.ada, cast.classroom, name="mine.mp4")
    await elsewhere(hand_in, cast.bo, cast.classroom, name="of-bo.mp4")
    async with dashboard(cast.ada) as socket:
        snapshot = socket.snapshot
    assert snapshot["type"] == "snapshot"
    assert [row["submission_id"] for row in snapshot["rows"]] == [str(mine.pk)]
    assert (snapshot["rows"][0]["status"], snapshot["rows"][0]["position"]) == ("uploaded", 1)
    assert "mine.mp4" in snapshot["rows"][0]["html"]
    assert (snapshot["summary"]["waiting"], snapshot["summary"]["running"]) == (2, 0)


async def test_a_move_of_a_task_is_sent(cast: Cast) -> None:
    submission = await elsewhere(hand_in, cast.ada, cast.classroom)
    async with dashboard(cast.ada) as socket:
        task = await elsewhere(claim, submission)
        update = (await until(socket, lambda message: message["type"] == "task_update"))[-1]
    assert (update["task_id"], update["submission_id"]) == (task.pk, str(submission.pk))
    assert (update["status"], update["position"]) == ("stt_processing", 1)
    assert update["sequence"] == task.sequence
    assert 'data-status="stt_processing"' in update["html"]


async def test_a_summary_is_told_when_it_begins_ends_is_asked_for_again_and_on_connecting(cast: Cast) -> None:
    submission = await elsewhere(hand_in, cast.ada, cast.classroom)

    def is_status(message: Message) -> bool:
        return bool(message["type"] == "processing_status")

    async with dashboard(cast.ada) as socket, dashboard(cast.bo) as of_bo:
        assert await elsewhere(requests.request, submission=submission, pipeline="summary")
        began = (await until(socket, is_status))[-1]
        assert began["data"] == (await elsewhere(requests.status_of, submission)).as_dict()
        assert began["sessionId"] == began["data"]["session_id"] == str(submission.pk)
        assert (began["data"]["summary_processing"], began["data"]["mind_map_processing"]) == (True, False)
        assert datetime.fromisoformat(began["timestamp"]).timestamp() >= began["data"]["summary_start_time"]
        assert not await elsewhere(requests.request, submission=submission, pipeline="summary")
        skipped = (await until(socket, is_status))[-1]
        assert skipped["data"] == began["data"]
        async with dashboard(cast.ada) as another:
            assert (await until(another, is_status))[0]["data"] == began["data"]
        await elsewhere(lambda: submission.tasks.get(pipeline="summary").cancel(by="test"))
        ended = (await until(socket, is_status))[-1]
        assert not ended["data"]["any_processing"]
        async with dashboard(cast.ada) as another:
            assert (await until(another, is_status))[0]["data"] == ended["data"]
        received = await until(of_bo, lambda message: message["type"] == "heartbeat")
        assert not [message for message in received if is_status(message)]


async def test_a_new_submission_and_its_end_are_sent(cast: Cast) -> None:
    async with dashboard(cast.ada) as socket:
        submission = await elsewhere(hand_in, cast.ada, cast.classroom)
        await until(socket, lambda message: message.get("status") == "uploaded")
        await elsewhere(fail, submission, Permanent(code="no_audio"))
        update = (await until(socket, lambda message: message.get("status") == "failed"))[-1]
    assert update["position"] is None
    assert "There is no sound in it" in update["html"]


async def test_work_that_began_and_ended_between_two_refreshes_is_sent(cast: Cast) -> None:
    @transaction.atomic
    def at_once() -> None:
        fail(hand_in(cast.ada, cast.classroom), Permanent(code="no_audio"))

    async with dashboard(cast.ada) as socket:
        await elsewhere(at_once)
        update = (await until(socket, lambda message: message["type"] == "task_update"))[-1]
    assert update["status"] == "failed"


async def test_what_others_hand_in_is_never_sent(cast: Cast) -> None:
    async with dashboard(cast.bo) as socket:
        submission = await elsewhere(hand_in, cast.ada, cast.classroom, name="secret-name.mp4")
        await elsewhere(claim, submission)
        received = await until(socket, lambda message: message.get("running") == 1)
    # Of the whole queue only: how many wait, and, where a refresh happens to fall between, what the machine does.
    assert {message["type"] for message in received} <= {"tasks_summary", "phase_change"}
    assert "secret-name" not in str(received)


async def test_of_two_new_ones_the_older_is_sent_first_so_that_the_newer_ends_on_top(cast: Cast) -> None:
    def hand_in_two() -> None:
        with transaction.atomic():
            for name in ("older.mp4", "newer.mp4"):
                hand_in(cast.ada, cast.classroom, name=name)

    async with dashboard(cast.ada) as socket:
        await elsewhere(hand_in_two)
        received = await until(socket, lambda message: message.get("waiting") == 2)
    sent_rows = [message["html"] for message in received if message["type"] == "task_update"]
    assert ["older.mp4" in html for html in sent_rows] == [True, False]


async def test_everybody_gets_an_update_when_the_line_moves(cast: Cast) -> None:
    first = await elsewhere(hand_in, cast.ada, cast.classroom)
    mine = await elsewhere(hand_in, cast.bo, cast.classroom)
    async with dashboard(cast.bo) as socket:
        assert socket.snapshot["rows"][0]["position"] == 2
        await elsewhere(finish, first)
        update = (await until(socket, lambda message: message["type"] == "task_update"))[-1]
    assert (update["submission_id"], update["position"]) == (str(mine.pk), 1)
    assert "You are 1st of 1" in update["html"]


async def test_a_change_of_phase_is_sent(cast: Cast) -> None:
    await elsewhere(hand_in, cast.bo, cast.classroom)
    await elsewhere(Worker.objects.create, node="lab-pc", pid=1)
    async with dashboard(cast.ada) as socket:
        await elsewhere(lambda: Phase(node="lab-pc").enter(PhaseStep.LOADING, name="eval"))
        change = (await until(socket, lambda message: message["type"] == "phase_change"))[-1]
    assert change["nodes"] == [{"node": "lab-pc", "phase": "eval", "step": "loading"}]
    assert change["words"] == "The lab’s computer is getting ready for filling in forms and rating."


def progress(task: Task, steps: int) -> None:
    for done in range(1, steps + 1):
        task.note_progress(done, steps)


async def test_a_pause_and_its_end_are_sent_with_why_a_video_waits(cast: Cast) -> None:
    await elsewhere(Worker.objects.create, node="lab-pc", pid=1)
    await elsewhere(hand_in, cast.ada, cast.classroom)
    async with dashboard(cast.ada) as socket:
        await elsewhere(Pause.objects.start, "stt", by="admin:1", reason="fire drill")
        received = await until(socket, lambda message: message["type"] == "phase_change")
        assert "fire drill" in received[-1]["words"]
        assert any("fire drill" in message.get("html", "") for message in received)
        await elsewhere(Pause.objects.all().end, by="admin:1")
        received = await until(socket, lambda message: message["type"] == "phase_change")
        assert "fire drill" not in received[-1]["words"]


async def test_a_pause_that_runs_out_is_sent_though_nobody_ends_it(cast: Cast) -> None:
    await elsewhere(Worker.objects.create, node="lab-pc", pid=1)
    await elsewhere(Pause.objects.start, "stt", by="admin:1", reason="fire drill")
    async with dashboard(cast.ada) as socket:
        assert "fire drill" in socket.snapshot["phase"]["words"]
        await asyncio.sleep(hub.WATCH_SECONDS + 0.5)  # the hub has read the pause
        await elsewhere(Pause.objects.update, since=in_seconds(-100), until=in_seconds(-1))
        change = (await until(socket, lambda message: message["type"] == "phase_change"))[-1]
        assert "fire drill" not in change["words"]


async def test_a_wait_that_can_be_estimated_now_is_sent_though_nothing_moved(cast: Cast) -> None:
    await elsewhere(Worker.objects.create, node="lab-pc", pid=1)
    submission = await elsewhere(hand_in, cast.ada, cast.classroom)
    async with dashboard(cast.ada) as socket:
        assert "estimating…" in socket.snapshot["rows"][0]["html"]
        await asyncio.sleep(hub.WATCH_SECONDS + 0.5)  # the hub has read that there was none
        await elsewhere(foretell, submission, 245.0, 350.0)
        update = (await until(socket, lambda message: message["type"] == "task_update"))[-1]
    assert "about 4–6 min" in update["html"]


async def test_a_burst_becomes_a_few_messages_and_the_last_one_is_right(cast: Cast) -> None:
    submission = await elsewhere(hand_in, cast.ada, cast.classroom)
    task = await elsewhere(claim, submission)
    async with dashboard(cast.ada) as socket:
        await elsewhere(progress, task, 200)
        received = await until(socket, lambda message: "200 of 200 seconds" in message.get("html", ""))
    assert len(received) < 50


async def test_lost_messages_cost_a_moment_and_nothing_else(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    submission = await elsewhere(hand_in, cast.ada, cast.classroom)
    async with dashboard(cast.ada) as socket:
        monkeypatch.setattr(broker, "quiet_until", float("inf"))
        await elsewhere(fail, submission, Permanent(code="no_audio"))
        update = (await until(socket, lambda message: message["type"] == "task_update"))[-1]
    assert update["status"] == "failed"


async def test_a_page_can_ask_for_everything_again(cast: Cast) -> None:
    submission = await elsewhere(hand_in, cast.ada, cast.classroom)
    async with dashboard(cast.ada) as socket:
        await socket.send_to(text_data="snapshot")
        again = await socket.receive_json_from(timeout=PATIENCE_SECONDS)
    assert again["type"] == "snapshot"
    assert again["rows"][0]["submission_id"] == str(submission.pk)


@pytest.mark.parametrize("text", ["{}", "not json", '{"type": "look", "task_id": 1}', "snapshot " * 1000])
async def test_anything_else_a_page_sends_is_ignored(cast: Cast, text: str) -> None:
    async with dashboard(cast.ada) as socket:
        await socket.send_to(text_data=text)
        await socket.send_to(bytes_data=b"\x00\xff")
        await elsewhere(hand_in, cast.ada, cast.classroom)
        received = await until(socket, lambda message: message["type"] == "task_update")
    assert "snapshot" not in [message["type"] for message in received]


async def test_messages_are_numbered_so_that_a_gap_shows(cast: Cast) -> None:
    async with dashboard(cast.ada) as socket:
        submission = await elsewhere(hand_in, cast.ada, cast.classroom)
        received = await until(socket, lambda message: message.get("status") == "uploaded")
        await elsewhere(fail, submission, Permanent(code="no_audio"))
        received += await until(socket, lambda message: message.get("status") == "failed")
    assert [message["seq"] for message in [socket.snapshot, *received]] == list(range(1, len(received) + 2))


async def test_a_page_without_updates_gets_heartbeats(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "WATCH_SECONDS", 0.1)
    monkeypatch.setattr(messages, "HEARTBEAT_SECONDS", 0.3)
    async with dashboard(cast.ada) as socket:
        received = [await socket.receive_json_from(timeout=PATIENCE_SECONDS) for _ in range(2)]
        assert received == [{"type": "heartbeat", "seq": 2}, {"type": "heartbeat", "seq": 3}]
        # A server that can't read the database sends nothing, so that the page shows how old it is.
        monkeypatch.setattr(messages, "find_updates", lambda *args: 1 / 0)
        while not await socket.receive_nothing(timeout=1):
            await socket.receive_json_from()


async def test_two_windows_of_a_student_are_sent_the_same(cast: Cast) -> None:
    submission = await elsewhere(hand_in, cast.ada, cast.classroom)
    async with dashboard(cast.ada) as first:
        await elsewhere(fail, submission, Permanent(code="no_audio"))
        await until(first, lambda message: message.get("status") == "failed")
        async with dashboard(cast.ada) as second:
            assert second.snapshot["rows"][0]["status"] == "failed"
            await elsewhere(lambda: submission.evaluation_task.retry(by="ada"))
            for socket in (first, second):
                assert await until(socket, lambda message: message.get("status") == "retry_queued")


async def test_a_row_that_cannot_be_shown_keeps_no_updates_from_others(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = rows.render

    def render(row: SubmissionRow) -> str:
        return shown(row) if row.submission.student != cast.ada else str(1 / 0)

    async with dashboard(cast.ada), dashboard(cast.bo) as socket:
        monkeypatch.setattr(rows, "render", render)
        await elsewhere(hand_in, cast.ada, cast.classroom)
        mine = await elsewhere(hand_in, cast.bo, cast.classroom)
        assert await until(socket, lambda message: message.get("submission_id") == str(mine.pk))


async def test_pages_need_no_broker_to_connect_and_to_be_right(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    away = RedisPubSubChannelLayer(hosts=["redis://127.0.0.1:1"])
    monkeypatch.setitem(channel_layers.backends, "default", away)
    async with dashboard(cast.ada) as socket:
        await elsewhere(hand_in, cast.ada, cast.classroom)
        assert await until(socket, lambda message: message.get("status") == "uploaded")


def test_a_line_that_was_read_before_a_task_ended_says_nothing_of_it(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    claim(submission)
    line = rows.read_queue()
    submission.evaluation_task.fail(Permanent(code="no_audio"), took=1.0)
    (row,) = rows.of_student(cast.ada, line)
    assert (row.position, row.place) == (None, "")


async def test_signing_out_closes_the_socket_of_each_window(cast: Cast) -> None:
    client = await login(cast.ada)
    windows = [socket_for(client) for _ in range(3)]
    for window in windows:
        await window.connect(timeout=PATIENCE_SECONDS)
        await window.receive_json_from(timeout=PATIENCE_SECONDS)
    await elsewhere(client.logout)
    for window in windows:
        assert await window.receive_output(timeout=LOGOUT_SECONDS) == {"type": "websocket.close", "code": 4401}
        await hang_up(window)


async def test_a_socket_closes_only_when_its_page_would_be_asked_to_sign_in(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Django signals the logout before it deletes the session; a page that reloads before that stays signed in."""
    flush = SessionStore.flush

    def late(store: SessionStore) -> None:
        time.sleep(0.5)
        flush(store)

    monkeypatch.setattr(SessionStore, "flush", late)
    client = await login(cast.ada)
    key = key_of(client)
    socket = socket_for(client)
    await socket.connect(timeout=PATIENCE_SECONDS)
    await socket.receive_json_from(timeout=PATIENCE_SECONDS)
    signing_out = asyncio.create_task(elsewhere(client.logout))
    assert await socket.receive_output(timeout=LOGOUT_SECONDS) == {"type": "websocket.close", "code": 4401}
    assert not await sessions.may_stay(cast.ada.pk, key)
    await signing_out
    await hang_up(socket)


async def test_signing_out_elsewhere_leaves_other_sessions_open(cast: Cast) -> None:
    async with dashboard(cast.ada) as socket:
        await elsewhere((await login(cast.ada)).logout)
        await elsewhere(hand_in, cast.ada, cast.classroom)
        assert await until(socket, lambda message: message["type"] == "task_update")


async def test_a_user_who_was_switched_off_may_not_stay(cast: Cast) -> None:
    client = await login(cast.ada)
    key = key_of(client)
    assert await sessions.may_stay(cast.ada.pk, key)
    assert not await sessions.may_stay(cast.bo.pk, key)
    await elsewhere(User.objects.filter(pk=cast.ada.pk).update, is_active=False)
    assert not await sessions.may_stay(cast.ada.pk, key)


def forget_session(user: User) -> None:
    UserSession.objects.all().delete()


def switch_off(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def give_password(user: User) -> None:
    user.set_password("another-long-passphrase")
    user.save()


@pytest.mark.parametrize("end", [forget_session, switch_off, give_password, User.delete])
async def test_a_session_that_ends_without_a_signal_ends_its_socket_at_the_next_check(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, end: Callable[[User], object]
) -> None:
    """S37: within 60 s, here 1."""
    assert consumer.SESSION_CHECK_SECONDS <= 60
    monkeypatch.setattr(consumer, "SESSION_CHECK_SECONDS", 1.0)
    socket = socket_for(await login(cast.ada))
    await socket.connect(timeout=PATIENCE_SECONDS)
    await socket.receive_json_from(timeout=PATIENCE_SECONDS)
    await elsewhere(end, cast.ada)
    while (output := await socket.receive_output(timeout=PATIENCE_SECONDS))["type"] == "websocket.send":
        pass
    assert output == {"type": "websocket.close", "code": 4401}
    await hang_up(socket)


async def test_one_student_opens_a_few_windows_and_no_more(cast: Cast) -> None:
    """Each costs memory; a page that is refused polls."""
    hers, his = await login(cast.ada), await login(cast.bo)
    windows = [socket_for(hers) for _ in range(consumer.MAX_WINDOWS)]
    assert [(await window.connect(timeout=PATIENCE_SECONDS))[0] for window in windows] == [True] * len(windows)
    refused, other = socket_for(hers), socket_for(his)
    assert not (await refused.connect(timeout=PATIENCE_SECONDS))[0]
    assert (await other.connect(timeout=PATIENCE_SECONDS))[0]
    await hang_up(windows.pop())
    again = socket_for(hers)
    assert (await again.connect(timeout=PATIENCE_SECONDS))[0]
    for window in (*windows, again, other):
        await hang_up(window)


async def test_when_the_last_socket_closes_its_channel_is_discarded(cast: Cast) -> None:
    groups = channel_layers["default"]._get_layer().groups
    for _ in range(3):
        async with dashboard(cast.ada):
            while not groups:
                await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    assert not groups


async def test_a_session_that_can_not_be_checked_ends_no_socket(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is down for a moment signs nobody out."""
    checks: list[int] = []

    async def may_stay(user_id: int, session_key: str) -> bool:
        checks.append(user_id)
        raise OperationalError

    monkeypatch.setattr(consumer, "SESSION_CHECK_SECONDS", 0.1)
    monkeypatch.setattr(sessions, "may_stay", may_stay)
    async with dashboard(cast.ada) as socket:
        while len(checks) < 3:
            await asyncio.sleep(0.01)
        await elsewhere(hand_in, cast.ada, cast.classroom)
        assert await until(socket, lambda message: message["type"] == "task_update")


def test_a_broker_that_is_down_breaks_no_work(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    away = RedisPubSubChannelLayer(hosts=["redis://127.0.0.1:1"])
    monkeypatch.setitem(channel_layers.backends, "default", away)
    submission = hand_in(cast.ada, cast.classroom)
    assert Submission.objects.filter(pk=submission.pk).exists()
    broker.flush(10)
    assert broker.quiet_until > 0
    claim(submission).advance(took=1.0)
    assert submission.evaluation_task.stage == "extract"
