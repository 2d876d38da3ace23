"""What a student is told at the first page after signing in, and what is done for them then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from evaluations import actions

SIGN_IN: Final = "sign_in_news"  # in a session: how many videos are tried again, and how many could be
BACK: Final = "told_back"  # in a session: the return to work that its student was told of


def connect() -> None:
    user_logged_in.connect(_signed_in, dispatch_uid="evaluations.welcome")


def _signed_in(sender: object, request: HttpRequest | None, user: User, **signal: Any) -> None:
    retried, left = actions.retry_at_sign_in(student=user)
    if request is not None and (retried or left):
        request.session[SIGN_IN] = [retried, left]


def notices(session: SessionBase, *, came_back: str) -> Iterator[str]:
    """What is to be said on this page, and on none after it.

    Args:
        came_back: which return to work concerns the student, see `pages.rows.maintenance`.
    """
    if came_back and session.get(BACK) != came_back:
        session[BACK] = came_back
        yield _("Back after maintenance; your videos are being processed now.")
    retried, left = session.pop(SIGN_IN, (0, 0))
    if retried:
        yield ngettext(
            "%(count)s of your videos could not be finished last time. It is tried again now.",
            "%(count)s of your videos could not be finished last time. They are tried again now.",
            retried,
        ) % {"count": retried}
    if left:
        yield ngettext(
            "%(count)s of your videos could not be finished, though it is fine: press “Try again” beside it.",
            "%(count)s of your videos could not be finished, though they are fine: press “Try again” beside each.",
            left,
        ) % {"count": left}
