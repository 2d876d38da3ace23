"""From the queue's signals and people's decisions to the broker: what is published only says that something changed."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.db.models.signals import post_save
from django.http import HttpRequest

from evaluations.coaching.operations.requests import operation_skipped
from evaluations.coaching.questions.answering import answer_grew
from evaluations.live.broker import broker
from evaluations.live.sessions import session_mark
from evaluations.models import ReviewDecision
from queueing.signals import phase_changed, task_changed


def connect() -> None:
    """Connect the queue's signals, which are sent after commit, decisions, and Django's logout to the broker."""
    task_changed.connect(_relay, dispatch_uid="live")
    phase_changed.connect(_relay, dispatch_uid="live")
    answer_grew.connect(_relay_answer, dispatch_uid="live")
    post_save.connect(_relay_decision, sender=ReviewDecision, dispatch_uid="live")
    operation_skipped.connect(_relay_skip, dispatch_uid="live")
    user_logged_out.connect(_relay_logout, dispatch_uid="live")


def _relay(**kwargs: object) -> None:
    broker.publish({"type": "refresh"})


def _relay_answer(**kwargs: object) -> None:
    broker.publish({"type": "answer.grew"})


def _relay_decision(**kwargs: object) -> None:
    transaction.on_commit(_relay, robust=True)


def _relay_skip(*, submission_id: uuid.UUID, **kwargs: object) -> None:
    # Nothing has changed: whoever looks at the submission is told once more that it is under way.
    broker.publish({"type": "operation.skipped", "submission": str(submission_id)})


def _relay_logout(*, request: HttpRequest, user: User | None, **kwargs: Any) -> None:
    # Django sends this before it drops the session: asking the session store now could still find it.
    if user is not None and request.session.session_key:
        broker.publish({"type": "session.ended", "session": session_mark(request.session.session_key)})
