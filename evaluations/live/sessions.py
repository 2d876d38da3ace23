"""Which sockets may stay open: sessions end by signing out, by time, or because an account was changed."""

from __future__ import annotations

from importlib import import_module

from channels.auth import get_user
from django.conf import settings
from django.utils.crypto import salted_hmac


def session_mark(session_key: str) -> str:
    """A name for a session that other processes can compare, but that doesn't reveal its key."""
    return salted_hmac("evaluations.live", session_key).hexdigest()


async def may_stay(user_id: int, session_key: str) -> bool:
    """Whether a socket's session is still signed in as its user, by the checks that a request would pass."""
    session = import_module(settings.SESSION_ENGINE).SessionStore(session_key=session_key)
    return bool((await get_user({"session": session})).pk == user_id)
