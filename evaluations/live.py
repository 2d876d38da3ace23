"""News for browsers. The database is the truth; a message only says "look", so a lost one costs nothing but time."""

from __future__ import annotations

import asyncio
import atexit
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from threading import Condition, Thread
from typing import Any, Final

import structlog
from channels.layers import get_channel_layer
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_out
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.crypto import salted_hmac

from evaluations import rows
from evaluations.rows import Queue, Row
from queueing.signals import phase_changed, task_changed

log = structlog.get_logger(__name__)

QUEUE_GROUP: Final = "queue"
SEND_TIMEOUT_SECONDS: Final = 1.0
PAUSE_AFTER_FAILURE_SECONDS: Final = 5.0
COALESCE_SECONDS: Final = 0.02  # what happens within it is told once

Message = dict[str, Any]


def student_group(user_id: int | str) -> str:
    return f"student.{user_id}"


# What a socket is told


@dataclass
class Told:
    """What one socket was last told, so that only what changed is told again."""

    html: dict[int, str] = field(default_factory=dict)
    sequences: dict[int, int] = field(default_factory=dict)
    submissions: dict[int, str] = field(default_factory=dict)
    summary: Message = field(default_factory=dict)
    phases: Message = field(default_factory=dict)

    def remember(self, row: Row, html: str) -> bool:
        """Whether `html` is news about the row's task."""
        changed = self.html.get(row.task.pk) != html
        self.html[row.task.pk] = html
        self.sequences[row.task.pk] = row.task.sequence
        self.submissions[row.task.pk] = str(row.submission.pk)
        return changed

    def forget(self, task_id: int) -> Message:
        """The news that its submission was deleted."""
        del self.html[task_id]
        gone = {"task_id": task_id, "submission_id": self.submissions.pop(task_id)}
        return {"type": "task_update", **gone, "sequence": self.sequences.pop(task_id) + 1, "status": "deleted"}


def snapshot(user: User, told: Told | None = None) -> Message:
    """Everything a dashboard shows: all of the user's rows, and the line."""
    told = told if told is not None else Told()
    queue = rows.read_queue()
    updates = [_update(row, told)[0] for row in rows.of_student(user, queue)]
    told.summary, told.phases = _summary(queue), _phases(queue)
    return {"type": "snapshot", "rows": updates, "summary": told.summary, "phase": told.phases}


def news(user: User, told: Told) -> list[Message]:
    """What changed for the user since `told`, which is brought up to date."""
    queue = rows.read_queue()
    updates = [_update(row, told) for row in rows.moving(user, queue, told.sequences)]
    messages = [told.forget(task_id) for task_id in rows.gone(user, told.sequences)]
    messages += [message for message, changed in updates if changed]
    if told.summary != (summary := _summary(queue)):
        told.summary = summary
        messages.append(summary)
    if told.phases != (phases := _phases(queue)):
        told.phases = phases
        messages.append(phases)
    return messages


def render(row: Row) -> str:
    """The fragment that page, push and poll share."""
    return render_to_string("evaluations/_submission_row.html", {"row": row})


def _update(row: Row, told: Told) -> tuple[Message, bool]:
    html = render(row)
    message: Message = {
        "type": "task_update",
        "task_id": row.task.pk,
        "submission_id": str(row.submission.pk),
        "sequence": row.task.sequence,
        "status": row.task.status.value,
        "position": row.position,
        "html": html,
    }
    return message, told.remember(row, html)


def _summary(queue: Queue) -> Message:
    return {
        "type": "tasks_summary",
        "waiting": queue.waiting,
        "running": queue.running,
        "working": bool(queue.workers),
        "words": queue.counts,
    }


def _phases(queue: Queue) -> Message:
    nodes = [{"node": phase.node, "phase": phase.name, "step": phase.step} for phase in queue.phases]
    return {"type": "phase_change", "nodes": nodes, "words": queue.news}


def session_mark(session_key: str) -> str:
    """Names a session to others without giving away its key."""
    return salted_hmac("evaluations.live", session_key).hexdigest()


def may_stay(user_id: int, session_key: str) -> bool:
    """Whether a socket's session is still signed in as its user."""
    session = import_module(settings.SESSION_ENGINE).SessionStore(session_key=session_key)
    return session.get("_auth_user_id") == str(user_id) and User.objects.filter(pk=user_id, is_active=True).exists()


# From the queue to the sockets


def connect() -> None:
    """Relay the queue's news, which arrive after commit, to the sockets."""
    task_changed.connect(_relay_task, dispatch_uid="live")
    phase_changed.connect(_relay_phase, dispatch_uid="live")
    user_logged_out.connect(_relay_logout, dispatch_uid="live")


def _relay_task(*, owner_key: str, **kwargs: object) -> None:
    broker.publish(student_group(owner_key), {"type": "look"})
    broker.publish(QUEUE_GROUP, {"type": "queue.moved"})


def _relay_phase(**kwargs: object) -> None:
    broker.publish(QUEUE_GROUP, {"type": "queue.moved"})


def _relay_logout(*, request: HttpRequest, user: User | None, **kwargs: object) -> None:
    # Django sends this before it drops the session: asking the session store now could still find it.
    if user is not None and request.session.session_key:
        ended = session_mark(request.session.session_key)
        broker.publish(student_group(user.pk), {"type": "session.ended", "session": ended})


class Broker:
    """Sends to groups, on a thread of its own: neither the queue nor a request waits for a broker.

    What is said again before it was sent is sent once: a message only asks to look.
    """

    def __init__(self) -> None:
        self.quiet_until = 0.0  # of the monotonic clock
        self._waiting: dict[tuple[str, str], Message] = {}
        self._news = Condition()
        self._thread: Thread | None = None

    def publish(self, group: str, message: Message) -> None:
        """Whatever does not get through is found by those who look."""
        with self._news:
            self._waiting[group, str(sorted(message.items()))] = message
            if self._thread is None or not self._thread.is_alive():
                self._thread = Thread(target=self._send_on, name="live", daemon=True)
                self._thread.start()
            self._news.notify_all()

    def flush(self, seconds: float = SEND_TIMEOUT_SECONDS) -> None:
        """Wait until all that was said is sent, or given up."""
        with self._news:
            self._news.wait_for(lambda: not self._waiting, seconds)

    def _send_on(self) -> None:
        with asyncio.Runner() as runner:
            while True:
                with self._news:
                    self._news.wait_for(lambda: bool(self._waiting))
                time.sleep(COALESCE_SECONDS)
                with self._news:
                    batch = dict(self._waiting)
                self._send(runner, batch)
                with self._news:
                    for key, message in batch.items():
                        if self._waiting[key] is message:
                            del self._waiting[key]
                    self._news.notify_all()

    def _send(self, runner: asyncio.Runner, batch: Mapping[tuple[str, str], Message]) -> None:
        if time.monotonic() < self.quiet_until:
            return
        try:
            runner.run(_send([(group, message) for (group, _), message in batch.items()]))
        except Exception as error:
            self.quiet_until = time.monotonic() + PAUSE_AFTER_FAILURE_SECONDS
            log.warning("news_not_sent", error=repr(error))


broker = Broker()
atexit.register(lambda: broker.flush())


async def _send(messages: Iterable[tuple[str, Message]]) -> None:
    layer = get_channel_layer()
    assert layer is not None
    async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
        for group, message in messages:
            await layer.group_send(group, message)
