"""How much of a request the site reads, and how much of an answer it holds.

Daphne hands a body over when all of it has arrived, however much that is, so Django can't limit what the machine takes
in. And what is larger than 100 kB Twisted keeps in a file on the disk, for which its loop waits, and every socket with
it. Here the limit holds while a body arrives: larger ones are refused unread, the others stay in memory.

All bodies together have a bound, too, since anybody may send one; so has the time that a body takes, and what is taken
of somebody who shows no session. Whoever is refused by that comes back later: our own pages do by themselves.

And what is sent in pieces daphne takes all at once, however slowly it is read: thirty slow readers of a film cost
thirty films of memory. Here the next piece is waited with until the one before is mostly read.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from http import HTTPStatus
from io import BytesIO
from typing import Any, Final

from daphne import cli, http_protocol, server
from django.conf import settings

from evaluations.errors import catalogue
from evaluations.errors.refusals import RETRY_AFTER_SECONDS
from introeval.serving.visitors import IDLE_SECONDS, BoundedFactory, Patience

IN_FLIGHT_BYTES: Final = 160 * 1024 * 1024  # of all bodies: thirty chunks of uploads, and then some
ANONYMOUS_BYTES: Final = 64 * 1024  # of a body that comes without a session's cookie; a login has some hundred
BODY_SECONDS: Final = 30.0  # for a body, and one more for each BYTES_A_SECOND that have arrived
BYTES_A_SECOND: Final = 8 * 1024
STALL_SECONDS: Final = 60.0  # in which a reader must take a piece, or is given up
LINGER_SECONDS: Final = 2.0  # in which whoever still sends can read the answer; a connection cut at once loses it


class Flow:
    """Whether the connection takes more; Twisted's IPushProducer."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's names, here and below
        self.open.clear()

    def resumeProducing(self) -> None:  # noqa: N802
        self.open.set()

    stopProducing = resumeProducing  # noqa: N815 - the connection is gone: who waits shall find out


class BoundedRequest(http_protocol.WebRequest):  # type: ignore[misc]  # daphne has no types
    """A request whose body may have DATA_UPLOAD_MAX_MEMORY_SIZE bytes, and whose answer waits for its reader."""

    refused = False
    flow: Flow | None = None
    in_flight = 0  # bytes of all bodies
    held = 0  # of those, this one's
    body_check: Any = None  # the next look at how fast it arrives

    def gotLength(self, length: int | None) -> None:  # noqa: N802
        self.content = BytesIO()
        self.patience.end()
        self.began = self.patience.clock.seconds()
        self.body_check = self.patience.clock.callLater(BODY_SECONDS, self._check_pace)
        # A body in one piece: in daphne's 8 KiB a chunk of an upload keeps the loop busy five hundred times.
        self.server.request_buffer_size = settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1
        self._check_size(length or 0)

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802
        self._check_size(self.content.tell() + len(data))  # its length was not told, or it is sent in pieces
        if BoundedRequest.in_flight + len(data) > IN_FLIGHT_BYTES:
            self._refuse(503, "overloaded")
        if not self.refused:
            BoundedRequest.in_flight += len(data)
            self.held += len(data)
            self.content.write(data)

    @property
    def patience(self) -> Patience:
        """With its connection; see `BoundedFactory`."""
        found: Patience = self.channel.transport.patience
        return found

    def _check_size(self, size: int) -> None:
        if size > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            self._refuse(413, "too_large")
        elif size > ANONYMOUS_BYTES and not self.getCookie(settings.SESSION_COOKIE_NAME.encode()):
            self._refuse(401, "signed_out")

    def _check_pace(self) -> None:
        """Whether the body has arrived as fast as it must. Looked at as often as a body of that pace could end."""
        spent = self.patience.clock.seconds() - self.began
        if spent >= BODY_SECONDS + self.held / BYTES_A_SECOND:
            self._refuse(408, "too_slow_to_send")
        else:
            self.body_check = self.patience.clock.callLater(5.0, self._check_pace)

    def _let_go(self) -> None:
        """The body is no longer held: the request was answered, refused, or its sender is gone."""
        BoundedRequest.in_flight -= self.held
        self.held = 0
        self._end_check()

    def _end_check(self) -> None:
        if self.body_check is not None and self.body_check.active():
            self.body_check.cancel()

    def connectionLost(self, reason: Any) -> None:  # noqa: N802
        self._let_go()
        super().connectionLost(reason)

    def process(self) -> Any:
        self._end_check()
        if self.refused:
            return None
        return super().process().addBoth(lambda _: self.content.close())  # Django has it by now, and one copy is enough

    def handle_reply(self, message: dict[str, Any]) -> None:
        if message.get("type") == "http.response.start" and self.flow is None and self.channel is not None:
            self.flow = Flow()
            self.registerProducer(self.flow, streaming=True)
        super().handle_reply(message)

    def finish(self) -> None:
        if self.producer is not None:
            self.unregisterProducer()
        self._let_go()
        if self.channel is not None:
            self.patience.begin(IDLE_SECONDS)
        super().finish()

    async def taken(self) -> None:
        """Until the reader has taken most of what it was sent. One that takes nothing is cut off."""
        if self.flow is None or self.finished or self.channel is None:
            return
        try:
            await asyncio.wait_for(self.flow.open.wait(), STALL_SECONDS)
        except TimeoutError:
            self.channel.transport.abortConnection()

    def _refuse(self, status: int, code: str) -> None:
        if self.refused:
            return
        self.refused = True
        self.content = BytesIO()
        self._let_go()
        body = json.dumps(catalogue.problem(code, id=uuid.uuid4().hex[:12])).encode()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
            f"Tus-Resumable: 1.0.0\r\nRetry-After: {RETRY_AFTER_SECONDS}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.channel.transport.write(head.encode() + body)
        self.patience.begin(LINGER_SECONDS)


class PacedServer(server.Server):  # type: ignore[misc]
    """A server in which an application's `send` returns when there is room for more."""

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        await super().handle_reply(protocol, message)
        if isinstance(protocol, BoundedRequest):
            await protocol.taken()


def install() -> None:
    """Let daphne work with these; it has no setting for its classes."""
    http_protocol.WebRequest = BoundedRequest
    server.HTTPFactory = BoundedFactory
    cli.CommandLineInterface.server_class = PacedServer
