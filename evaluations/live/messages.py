"""The messages of the dashboard's socket: the database is compared with what each page was sent last."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import structlog
from django.conf import settings
from django.utils import timezone
from django.utils.translation import override

from evaluations.coaching.operations.requests import ProcessingStatus, statuses_of_students
from evaluations.coaching.questions.state import AnswerState
from evaluations.live.broker import Message
from evaluations.pages import rows
from evaluations.pages.rows import Known, StudentRows, SubmissionRow
from evaluations.pages.rows.queue_view import QueueView

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS: Final = 5.0  # a page that receives nothing for much longer gives its socket up


@dataclass(frozen=True, slots=True)
class SentState:
    """What one socket was last sent, so that only what changed is sent again."""

    language: str = settings.LANGUAGE_CODE
    number: int = 0  # of its last message; they are counted, so that the page notices a gap
    at: float = 0.0  # seconds, of the clock that `find_updates` is given
    rows: Mapping[int, Message] = field(default_factory=dict)  # each row's last update, by its task's key
    queue: tuple[Message, ...] = ()
    processing: Mapping[uuid.UUID, ProcessingStatus] = field(default_factory=dict)  # of what was under way
    zone: str = ""  # its time zone; empty: the school's

    def without_processing(self, submission_id: uuid.UUID) -> SentState:
        """As if the status of this one had not been sent, so that it is sent again."""
        if submission_id not in self.processing:
            return self
        return replace(self, processing={key: one for key, one in self.processing.items() if key != submission_id})


NOTHING: Final = SentState()  # in English


@dataclass(frozen=True, slots=True)
class Update:
    """Messages as JSON, and the socket's state once they are sent."""

    texts: tuple[str, ...]
    sent: SentState


def find_updates(audience: Sequence[tuple[int, SentState]], now: float) -> list[Update | None]:
    """What each socket of `audience` is to be sent, by one reading of the database for all of them.

    Args:
        audience: per socket, its user's key and what it was sent; one that was sent nothing gets a snapshot.
        now: seconds of a clock that doesn't jump.

    Returns:
        None for a socket whose rows can't be rendered: that must not keep the others from their updates.
    """
    queue, students = _read(audience)
    fresh = {user for user, sent in audience if not sent.number}
    processing = statuses_of_students({user for user, _ in audience}, whole=fresh)
    views: dict[tuple[str, str], _View] = {}
    updates = []
    for user, sent in audience:
        kind = sent.language, sent.zone
        with override(sent.language), timezone.override(sent.zone or None):
            if kind not in views:
                views[kind] = _View(queue, (_summary(queue), _phases(queue)), students, processing)
            updates.append(_update_for(views[kind], user, sent, now))
    return updates


@dataclass(frozen=True, slots=True)
class _View:
    """One reading of the database, in one language and zone; each row is rendered once for all windows."""

    line: QueueView
    queue: tuple[Message, ...]
    students: Mapping[int, StudentRows]
    processing: Mapping[int, Mapping[uuid.UUID, ProcessingStatus]]  # by student and submission
    rendered: dict[int, Message] = field(default_factory=dict)

    def snapshot(self, user: int) -> Message:
        summary, phases = self.about_the_queue(user)
        return {"type": "snapshot", "rows": self.row_updates(user), "summary": summary, "phase": phases}

    def row_updates(self, user: int) -> list[Message]:
        return [self._render(row) for row in self.students[user].changed]

    def changes_since(self, sent: SentState, user: int) -> list[Message]:
        """What differs from what was sent."""
        processing = [_processing(status) for status in self.new_statuses(sent, user)]
        if not sent.number:
            return [self.snapshot(user), *processing]
        gone = [_deleted(row) for pk, row in sent.rows.items() if pk not in self.students[user].tasks]
        known = {pk: _visible(row) for pk, row in sent.rows.items()}
        # The oldest first: each new one goes on top of the list.
        changed = reversed(self.row_updates(user))
        updates = [update for update in changed if known.get(update["task_id"]) != _visible(update)]
        return [*gone, *updates, *(one for one in self.about_the_queue(user) if _new(one, sent.queue)), *processing]

    def about_the_queue(self, user: int) -> tuple[Message, ...]:
        """The summary, with what of it is this student's, and the phases."""
        summary, phases = self.queue
        own = self.students[user].tasks & self.line.line.positions.keys()
        ahead = min(own, key=self.line.line.positions.__getitem__, default=None)
        row = self.line.forecast.of(ahead) if ahead is not None and self.line.can_estimate else None
        mine = {
            "tasks": len(self.students[user].tasks),
            "queue_position": None if ahead is None else self.line.line.positions[ahead],
            "estimated_wait": round((row.low_seconds + row.high_seconds) / 2) if row else None,
        }
        return {**summary, **mine}, phases

    def under_way(self, user: int) -> dict[uuid.UUID, ProcessingStatus]:
        return {key: status for key, status in self.processing.get(user, {}).items() if status.is_any}

    def new_statuses(self, sent: SentState, user: int) -> Iterator[ProcessingStatus]:
        """On connecting those of everything there ever was; then what began, changed, and is no longer under way."""
        now = self.processing.get(user, {}) if not sent.number else self.under_way(user)
        yield from (status for key, status in now.items() if sent.processing.get(key) != status)
        yield from (ProcessingStatus(key) for key in sent.processing if key not in now)

    def _render(self, row: SubmissionRow) -> Message:
        if row.task.pk not in self.rendered:
            self.rendered[row.task.pk] = {
                "type": "task_update",
                "task_id": row.task.pk,
                "submission_id": str(row.submission.pk),
                "sequence": row.task.sequence,
                "decided": row.rating.decided,
                "status": row.task.status.value,
                "stage": row.task.stage,
                "progress": row.percent,
                "position": row.position,
                "estimated_completion": _moment(row.estimated_completion),
                "timestamp": timezone.now().isoformat(),
                "html": rows.render(row),
            }
        return self.rendered[row.task.pk]


def _read(audience: Sequence[tuple[int, SentState]]) -> tuple[QueueView, Mapping[int, StudentRows]]:
    queue = rows.read_queue()
    known: dict[int, Known] = {}
    for user, sent in audience:
        read = {(pk, row["sequence"], row["decided"]) for pk, row in sent.rows.items()}
        known[user] = known[user] & read if user in known else read  # what each of the user's windows knows
    return queue, rows.read_students(known, queue)


def _update_for(view: _View, user: int, sent: SentState, now: float) -> Update | None:
    try:
        messages = view.changes_since(sent, user)
    except Exception as error:
        log.warning("row_not_shown", user=user, error=repr(error))
        return None
    if not messages and now - sent.at >= HEARTBEAT_SECONDS:
        messages = [{"type": "heartbeat"}]
    if not messages:
        return Update((), sent)
    numbered = [{**message, "seq": number} for number, message in enumerate(messages, sent.number + 1)]
    shown = {update["task_id"]: update for update in view.row_updates(user)}
    kept = {pk: row for pk, row in sent.rows.items() if pk in view.students[user].tasks}
    after = replace(
        sent,
        number=sent.number + len(messages),
        at=now,
        rows=kept | shown,
        queue=view.about_the_queue(user),
        processing=view.under_way(user),
    )
    return Update(tuple(json.dumps(message) for message in numbered), after)


def answer(found: AnswerState) -> str:
    """The coach's answer so far, as the page shows it: whole, for what is added can change what was there before."""
    return json.dumps(
        {
            "type": "answer",
            "question_id": str(found.question_id),
            "position": found.position,
            "restarts": found.restarts,
            "length": len(found.answer),
            "html": found.html,
            "has_ended": found.has_ended,
        }
    )


def _visible(row: Message) -> tuple[object, ...]:
    """What a row's update is sent for: how it looks, and how far it is."""
    return row["html"], row["progress"]


def _new(message: Message, sent: Sequence[Message]) -> bool:
    """Whether it says something else than those that were sent; a wait that passes is no news."""
    return _lasting(message) not in [_lasting(one) for one in sent]


def _lasting(message: Message) -> Message:
    return {key: value for key, value in message.items() if key not in ("estimated_wait", "timestamp")}


def _moment(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _deleted(row: Message) -> Message:
    """The update that the submission of a row that was sent is gone."""
    gone = {key: row[key] for key in ("type", "task_id", "submission_id")}
    return {**gone, "sequence": row["sequence"] + 1, "status": "deleted"}


def _processing(status: ProcessingStatus) -> Message:
    return {
        "type": "processing_status",
        "data": status.as_dict(),
        "timestamp": timezone.now().isoformat(),
        "sessionId": str(status.submission_id),
    }


def _summary(queue: QueueView) -> Message:
    return {
        "type": "tasks_summary",
        "waiting": queue.line.waiting(),
        "running": queue.line.running(),
        "working": bool(queue.workers),
        "words": queue.counts,
    }


def _phases(queue: QueueView) -> Message:
    nodes = [{"node": phase.node, "phase": phase.name, "step": phase.step} for phase in queue.phases]
    return {
        "type": "phase_change",
        "nodes": nodes,
        "phase": next((phase.name for phase in queue.machines if phase.name), None),
        "message": queue.activity,
        "words": queue.activity,
        "timestamp": timezone.now().isoformat(),
    }
