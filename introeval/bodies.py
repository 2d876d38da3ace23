"""How much of a request the site reads, and how much of an answer it holds.

Daphne hands a body over when all of it has arrived, however much that is, so Django can't limit what the machine takes
in. And what is larger than 100 kB Twisted keeps in a file on the disk, for which its loop waits, and every socket with
it. Here the limit holds while a body arrives: larger ones are refused unread, the others stay in memory.

And what is sent in pieces daphne takes all at once, however slowly it is read: thirty slow readers of a film cost
thirty films of memory. Here the next piece is waited with until the one before is mostly read.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from io import BytesIO
from typing import Any, Final

from daphne import cli, http_protocol, server
from django.conf import settings

from evaluations.errors import catalogue

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

    def gotLength(self, length: int | None) -> None:  # noqa: N802
        self.content = BytesIO()
        # A body in one piece: in daphne's 8 KiB a chunk of an upload keeps the loop busy five hundred times.
        self.server.request_buffer_size = settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1
        if length is not None and length > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802
        if not self.refused and self.content.tell() + len(data) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            self._refuse()  # its length was not told, or it is sent in pieces
        if not self.refused:
            self.content.write(data)

    def process(self) -> Any:
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
        super().finish()

    async def taken(self) -> None:
        """Until the reader has taken most of what it was sent. One that takes nothing is cut off."""
        if self.flow is None or self.finished or self.channel is None:
            return
        try:
            await asyncio.wait_for(self.flow.open.wait(), STALL_SECONDS)
        except TimeoutError:
            self.channel.transport.abortConnection()

    def _refuse(self) -> None:
        self.refused = True
        self.content = BytesIO()
        body = json.dumps(catalogue.problem("too_large", id=uuid.uuid4().hex[:12])).encode()
        head = (
            "HTTP/1.1 413 Request Entity Too Large\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        transport = self.channel.transport
        transport.write(head.encode() + body)
        self.channel.callLater(LINGER_SECONDS, transport.abortConnection)


class PacedServer(server.Server):  # type: ignore[misc]
    """A server in which an application's `send` returns when there is room for more."""

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        await super().handle_reply(protocol, message)
        if isinstance(protocol, BoundedRequest):
            await protocol.taken()


def install() -> None:
    """Let daphne work with these; it has no setting for its classes."""
    http_protocol.WebRequest = BoundedRequest
    cli.CommandLineInterface.server_class = PacedServer
