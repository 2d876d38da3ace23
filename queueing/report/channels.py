"""The ways by which operators are told: Django's e-mail, and whatever apprise speaks.

An address of apprise's holds tokens and passwords: nothing of one is logged or shown but its scheme.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from threading import Thread

from django.conf import settings
from django.core.mail import EmailMessage


@dataclass(frozen=True, slots=True)
class OperatorMessage:
    subject: str  # one line
    body: str


Channel = Callable[[OperatorMessage], None]
"""Sends a message; raises whatever kept it from that. It may take its time, or never come back."""


def configured() -> dict[str, Channel]:
    """By name, for logs, commands and rows: "e-mail", "ntfy 1"."""
    pushes = {f"{_scheme(url)} {n}": partial(_push, url) for n, url in enumerate(settings.NOTIFY_URLS, start=1)}
    return {"e-mail": _mail, **pushes} if settings.ALERT_EMAILS else dict(pushes)


def begin(send: Callable[[], None]) -> Future[None]:
    """Send something on a thread of its own, which nobody has to wait for."""
    outcome: Future[None] = Future()
    Thread(target=_run, args=(send, outcome), name="notice", daemon=True).start()
    return outcome


def _scheme(url: str) -> str:
    """Not by `urlsplit`: it refuses passwords that apprise may take, and shows what it refuses."""
    return url.partition("://")[0]


def _run(send: Callable[[], None], outcome: Future[None]) -> None:
    try:
        send()
    except Exception as error:
        outcome.set_exception(error)
    else:
        outcome.set_result(None)


def _mail(message: OperatorMessage) -> None:
    EmailMessage(message.subject, message.body, to=settings.ALERT_EMAILS).send()


def _push(url: str, message: OperatorMessage) -> None:
    import apprise  # takes longer than all of the queue, and next to nobody has a service to be told by

    service = apprise.Apprise.instantiate(url)
    if service is None:
        raise ValueError("apprise does not understand this address")
    try:
        taken = service.notify(title=message.subject, body=message.body)
    except Exception as error:  # its words may hold the address
        raise OSError(f"apprise failed: {type(error).__name__}") from None
    if not taken:
        raise OSError("the service did not take it")
