"""What TLS shows of `up --lab`: a certificate that was made anew is shown to the next visitor, without a restart."""

from __future__ import annotations

from typing import Any, Final

import structlog
from daphne import server
from django.conf import settings
from OpenSSL import SSL
from twisted.internet.endpoints import SSL4ServerEndpoint, serverFromString
from twisted.internet.task import LoopingCall

from introeval.lan import door
from introeval.lan.certificates import Certificates

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 10.0


class LiveCertificate:
    """The certificate of a TLS context that is in use. Connections that there are keep theirs."""

    def __init__(self, context: SSL.Context, files: Certificates) -> None:
        self.context, self.files = context, files
        self.shown = files.stamp()

    def look(self) -> bool:
        """Show what the files hold, if they were written since. A pair that does not fit is half written: next time."""
        stamp = self.files.stamp()
        if stamp == self.shown:
            return False
        try:
            self._load(SSL.Context(SSL.TLS_METHOD))
            self._load(self.context)
        except (OSError, SSL.Error):
            return False
        self.shown = stamp
        return True

    def _load(self, context: SSL.Context) -> None:
        context.use_certificate_chain_file(str(self.files.site))
        context.use_privatekey_file(str(self.files.site_key))
        context.check_privatekey()


def install() -> None:
    """Let daphne listen by this; it has no setting for what an endpoint becomes."""
    server.serverFromString = _endpoint


def _endpoint(reactor: Any, description: str) -> Any:
    made: Any = serverFromString(reactor, description)  # type: ignore[no-untyped-call]
    if settings.LAB and isinstance(made, SSL4ServerEndpoint):
        live = LiveCertificate(made._sslContextFactory.getContext(), door.certificates())
        looking = LoopingCall(_look, live)
        looking.clock = reactor
        looking.start(LOOK_SECONDS, now=False)  # type: ignore[no-untyped-call]
    return made


def _look(live: LiveCertificate) -> None:
    door.follow_addresses()
    if live.look():
        log.info("certificate renewed", ends=str(door.certificates().ends_at()))
