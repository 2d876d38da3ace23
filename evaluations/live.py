"""What dashboards are told. The database is the truth: each look at it is compared with what a page was told last."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

import structlog
from channels.auth import get_user
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_out
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.crypto import salted_hmac
from django.utils.translation import override

from evaluations import rows
from evaluations.broker import Message, broker
from evaluations.rows import Known, Queue, Row, Standing
from queueing.signals import phase_changed, task_changed

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS: Final = 5.0  # a page that hears nothing for much longer doubts its socket


@dataclass(frozen=True, slots=True)
class Told:
    """What one socket was last told, so that only what changed is told again."""

    language: str = settings.LANGUAGE_CODE
    number: int = 0  # of its last message; they are counted, so that the page notices a gap
    at: float = 0.0
    rows: Mapping[int, Message] = field(default_factory=dict)  # each row's last update, by its task's key
    queue: tuple[Message, ...] = ()


NOTHING: Final = Told()  # in English


@dataclass(frozen=True, slots=True)
class Telling:
    """Messages as they go over the wire, and what the socket was told once they are sent."""

    texts: tuple[str, ...]
    told: Told


def look(audience: Sequence[tuple[int, Told]], now: float) -> list[Telling | None]:
    """What each socket of `audience` is to be told, found by one look for all of them.

    Args:
        audience: per socket, its user's key and what it was told; who was told nothing gets everything, as a snapshot.
        now: seconds of a clock that doesn't jump.

    Returns:
        None for a socket whose rows can't be shown: that is no reason to keep the news from the others.
    """
    queue, standings = _look(audience)
    views: dict[str, _View] = {}
    tellings = []
    for user, told in audience:
        with override(told.language):
            if told.language not in views:
                views[told.language] = _View((_summary(queue), _phases(queue)), standings)
            tellings.append(_telling(views[told.language], user, told, now))
    return tellings


def snapshot(user: User) -> Message:
    """Everything a dashboard shows: all of the user's rows, and the line."""
    queue, standings = _look([(user.pk, NOTHING)])
    return _View((_summary(queue), _phases(queue)), standings).snapshot(user.pk)


def render(row: Row, *, theirs: bool = False) -> str:
    """The fragment that page, push and poll share; `theirs` if it is shown to somebody else than its student."""
    return render_to_string("evaluations/_submission_row.html", {"row": row, "theirs": theirs})


@dataclass(frozen=True, slots=True)
class _View:
    """One look at the database, in one language; each row's fragment is made once, however many windows show it."""

    queue: tuple[Message, ...]
    standings: Mapping[int, Standing]
    updates: dict[int, Message] = field(default_factory=dict)

    def snapshot(self, user: int) -> Message:
        summary, phases = self.queue
        return {"type": "snapshot", "rows": self.changed(user), "summary": summary, "phase": phases}

    def changed(self, user: int) -> list[Message]:
        return [self._update(row) for row in self.standings[user].changed]

    def news(self, user: int, told: Told) -> list[Message]:
        """What differs from what was told."""
        if not told.number:
            return [self.snapshot(user)]
        gone = [_deleted(row) for pk, row in told.rows.items() if pk not in self.standings[user].tasks]
        known = {pk: row["html"] for pk, row in told.rows.items()}
        # The oldest first: each new one goes on top of the list.
        changed = reversed(self.changed(user))
        updates = [update for update in changed if known.get(update["task_id"]) != update["html"]]
        return [*gone, *updates, *(message for message in self.queue if message not in told.queue)]

    def _update(self, row: Row) -> Message:
        if row.task.pk not in self.updates:
            self.updates[row.task.pk] = {
                "type": "task_update",
                "task_id": row.task.pk,
                "submission_id": str(row.submission.pk),
                "sequence": row.task.sequence,
                "status": row.task.status.value,
                "position": row.position,
                "html": render(row),
            }
        return self.updates[row.task.pk]


def _look(audience: Sequence[tuple[int, Told]]) -> tuple[Queue, Mapping[int, Standing]]:
    queue = rows.read_queue()
    known: dict[int, Known] = {}
    for user, told in audience:
        pairs = {(pk, row["sequence"]) for pk, row in told.rows.items()}
        known[user] = known[user] & pairs if user in known else pairs  # what each of the user's windows knows
    return queue, rows.standings(known, queue)


def _telling(view: _View, user: int, told: Told, now: float) -> Telling | None:
    try:
        messages = view.news(user, told)
    except Exception as error:
        log.warning("row_not_shown", user=user, error=repr(error))
        return None
    if not messages and now - told.at >= HEARTBEAT_SECONDS:
        messages = [{"type": "heartbeat"}]
    if not messages:
        return Telling((), told)
    numbered = [{**message, "seq": number} for number, message in enumerate(messages, told.number + 1)]
    shown = {update["task_id"]: update for update in view.changed(user)}
    kept = {pk: row for pk, row in told.rows.items() if pk in view.standings[user].tasks}
    after = Told(told.language, told.number + len(messages), now, kept | shown, view.queue)
    return Telling(tuple(json.dumps(message) for message in numbered), after)


def _deleted(row: Message) -> Message:
    """The news that the submission of a row that was told is gone."""
    gone = {key: row[key] for key in ("type", "task_id", "submission_id")}
    return {**gone, "sequence": row["sequence"] + 1, "status": "deleted"}


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


# Who may listen


def session_mark(session_key: str) -> str:
    """Names a session to others without giving away its key."""
    return salted_hmac("evaluations.live", session_key).hexdigest()


async def may_stay(user_id: int, session_key: str) -> bool:
    """Whether a socket's session is still signed in as its user, by all that a request would be asked."""
    session = import_module(settings.SESSION_ENGINE).SessionStore(session_key=session_key)
    return bool((await get_user({"session": session})).pk == user_id)


# From the queue to the sockets


def connect() -> None:
    """Relay the queue's news, which arrive after commit, to the sockets."""
    task_changed.connect(_relay, dispatch_uid="live")
    phase_changed.connect(_relay, dispatch_uid="live")
    user_logged_out.connect(_relay_logout, dispatch_uid="live")


def _relay(**kwargs: object) -> None:
    broker.publish({"type": "look"})


def _relay_logout(*, request: HttpRequest, user: User | None, **kwargs: Any) -> None:
    # Django sends this before it drops the session: asking the session store now could still find it.
    if user is not None and request.session.session_key:
        broker.publish({"type": "session.ended", "session": session_mark(request.session.session_key)})
