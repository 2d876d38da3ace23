"""What TLS shows of `up --lab`: a certificate that was made anew is shown to the next visitor, without a restart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import structlog
from daphne import server
from django.conf import settings
from OpenSSL import SSL
from twisted.internet.endpoints import SSL4ServerEndpoint, serverFromString
from twisted.internet.error import VerifyError
from twisted.internet.task import LoopingCall

from introeval.lan import door
from introeval.lan.certificates import Certificates

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 10.0


class LiveCertificate:
    """Where Twisted takes the TLS context of each connection from; those that are open keep theirs."""

    def __init__(self, read: Callable[[], SSL.Context], files: Certificates) -> None:
        """`read` makes a context of what the files hold."""
        self.read, self.files = read, files
        self.shown = files.stamp()
        self.context = read()

    def getContext(self) -> SSL.Context:  # noqa: N802 - Twisted's name
        return self.context

    def look(self) -> bool:
        """Show what the files hold, if they were written since. A pair that does not fit is half written: next time."""
        stamp = self.files.stamp()
        if stamp == self.shown:
            return False
        try:
            self.context = self.read()
        except (OSError, ValueError, SSL.Error, VerifyError):
            return False
        self.shown = stamp
        return True


def install() -> None:
    """Let daphne listen by this; it has no setting for what an endpoint becomes."""
    server.serverFromString = endpoint


def endpoint(reactor: Any, description: str) -> Any:
    """What listens at the place that is described as Twisted does; by TLS with a certificate that may be renewed."""
    made: Any = serverFromString(reactor, description)  # type: ignore[no-untyped-call]
    if settings.LAB and isinstance(made, SSL4ServerEndpoint):
        made._sslContextFactory = LiveCertificate(lambda: _context(reactor, description), door.certificates())
        looking = LoopingCall(_look, made._sslContextFactory)
        looking.clock = reactor
        looking.start(LOOK_SECONDS, now=False)
    return made


def _context(reactor: Any, description: str) -> SSL.Context:
    made: Any = serverFromString(reactor, description)  # type: ignore[no-untyped-call]
    context: SSL.Context = made._sslContextFactory.getContext()
    return context


def _look(live: LiveCertificate) -> None:
    try:
        door.follow_addresses()
        if live.look():
            log.info("certificate renewed", ends=str(door.certificates().ends_at()))
    except OSError as error:  # raised on, it would end the looking
        log.warning("addresses and certificate not looked at", error=str(error))
