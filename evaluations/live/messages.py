"""What dashboards are told. The database is the truth: each look at it is compared with what a page was told last."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
from django.conf import settings
from django.utils.translation import override

from evaluations.live.broker import Message
from evaluations.pages import rows
from evaluations.pages.rows import Known, QueueView, StudentRows, SubmissionRow

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS: Final = 5.0  # a page that hears nothing for much longer doubts its socket


@dataclass(frozen=True, slots=True)
class SentState:
    """What one socket was last told, so that only what changed is told again."""

    language: str = settings.LANGUAGE_CODE
    number: int = 0  # of its last message; they are counted, so that the page notices a gap
    at: float = 0.0
    rows: Mapping[int, Message] = field(default_factory=dict)  # each row's last update, by its task's key
    queue: tuple[Message, ...] = ()


NOTHING: Final = SentState()  # in English


@dataclass(frozen=True, slots=True)
class Update:
    """Messages as they go over the wire, and what the socket was told once they are sent."""

    texts: tuple[str, ...]
    told: SentState


def look(audience: Sequence[tuple[int, SentState]], now: float) -> list[Update | None]:
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


@dataclass(frozen=True, slots=True)
class _View:
    """One look at the database, in one language; each row's fragment is made once, however many windows show it."""

    queue: tuple[Message, ...]
    standings: Mapping[int, StudentRows]
    updates: dict[int, Message] = field(default_factory=dict)

    def snapshot(self, user: int) -> Message:
        summary, phases = self.queue
        return {"type": "snapshot", "rows": self.changed(user), "summary": summary, "phase": phases}

    def changed(self, user: int) -> list[Message]:
        return [self._update(row) for row in self.standings[user].changed]

    def news(self, user: int, told: SentState) -> list[Message]:
        """What differs from what was told."""
        if not told.number:
            return [self.snapshot(user)]
        gone = [_deleted(row) for pk, row in told.rows.items() if pk not in self.standings[user].tasks]
        known = {pk: row["html"] for pk, row in told.rows.items()}
        # The oldest first: each new one goes on top of the list.
        changed = reversed(self.changed(user))
        updates = [update for update in changed if known.get(update["task_id"]) != update["html"]]
        return [*gone, *updates, *(message for message in self.queue if message not in told.queue)]

    def _update(self, row: SubmissionRow) -> Message:
        if row.task.pk not in self.updates:
            self.updates[row.task.pk] = {
                "type": "task_update",
                "task_id": row.task.pk,
                "submission_id": str(row.submission.pk),
                "sequence": row.task.sequence,
                "status": row.task.status.value,
                "position": row.position,
                "html": rows.render(row),
            }
        return self.updates[row.task.pk]


def _look(audience: Sequence[tuple[int, SentState]]) -> tuple[QueueView, Mapping[int, StudentRows]]:
    queue = rows.read_queue()
    known: dict[int, Known] = {}
    for user, told in audience:
        pairs = {(pk, row["sequence"]) for pk, row in told.rows.items()}
        known[user] = known[user] & pairs if user in known else pairs  # what each of the user's windows knows
    return queue, rows.standings(known, queue)


def _telling(view: _View, user: int, told: SentState, now: float) -> Update | None:
    try:
        messages = view.news(user, told)
    except Exception as error:
        log.warning("row_not_shown", user=user, error=repr(error))
        return None
    if not messages and now - told.at >= HEARTBEAT_SECONDS:
        messages = [{"type": "heartbeat"}]
    if not messages:
        return Update((), told)
    numbered = [{**message, "seq": number} for number, message in enumerate(messages, told.number + 1)]
    shown = {update["task_id"]: update for update in view.changed(user)}
    kept = {pk: row for pk, row in told.rows.items() if pk in view.standings[user].tasks}
    after = SentState(told.language, told.number + len(messages), now, kept | shown, view.queue)
    return Update(tuple(json.dumps(message) for message in numbered), after)


def _deleted(row: Message) -> Message:
    """The news that the submission of a row that was told is gone."""
    gone = {key: row[key] for key in ("type", "task_id", "submission_id")}
    return {**gone, "sequence": row["sequence"] + 1, "status": "deleted"}


def _summary(queue: QueueView) -> Message:
    return {
        "type": "tasks_summary",
        "waiting": queue.waiting,
        "running": queue.running,
        "working": bool(queue.workers),
        "words": queue.counts,
    }


def _phases(queue: QueueView) -> Message:
    nodes = [{"node": phase.node, "phase": phase.name, "step": phase.step} for phase in queue.phases]
    return {"type": "phase_change", "nodes": nodes, "words": queue.news}
