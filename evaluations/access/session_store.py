"""Sessions in the database that say whose they are (settings.SESSION_ENGINE)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends import db
from django.contrib.sessions.base_session import AbstractBaseSession
from django.http import HttpRequest
from django.utils.timezone import now

from evaluations.models import UserSession

CARD: Final = "card"
"""Where a session keeps the key of the card that it began by."""


class SessionStore(db.SessionStore):
    """Django's own, with the user's and the card's key in columns of their own."""

    @classmethod
    def get_model_class(cls) -> type[AbstractBaseSession]:
        return UserSession

    def create_model_instance(self, data: Mapping[str, Any]) -> AbstractBaseSession:
        made = super().create_model_instance(data)  # type: ignore[arg-type]  # the stubs want a dict
        assert isinstance(made, UserSession)
        made.user_id = int(data[SESSION_KEY]) if SESSION_KEY in data else None
        made.card_id = data.get(CARD)
        return made

    def get_expire_at_browser_close(self) -> bool:
        """By the setting alone: a session that has an end of its own may end with the browser before it."""
        return settings.SESSION_EXPIRE_AT_BROWSER_CLOSE


def end_sessions(**of: Any) -> int:
    """Sign out everywhere: all sessions with these columns (`user_id`, `card_id__in` …). Returns how many."""
    ended, _by_model = UserSession.objects.filter(**of).delete()
    return ended


def connect() -> None:
    user_logged_in.connect(_end_with_the_lesson, dispatch_uid="evaluations.session_store")


def _end_with_the_lesson(sender: object, request: HttpRequest, user: User, **_: Any) -> None:
    """A student's session has an end from the beginning, whatever is done in it."""
    if not (user.is_staff or user.is_superuser or user.classes_taught.exists()):
        request.session.set_expiry(now() + timedelta(minutes=settings.STUDENT_SESSION_MINUTES))
