"""How much of a request the site reads, and how much of an answer it keeps for whoever takes their time.

Daphne hands a body over when all of it has arrived, however much that is, so Django can't limit what the machine takes
in. And what is larger than 100 kB Twisted keeps in a file on the disk, for which its loop waits, and every socket with
it. Here the limit holds while a body arrives: larger ones are refused unread, the others stay in memory.

And it takes all of an answer at once, a whole video, even if nobody reads it. Here the next piece waits for the last.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from io import BytesIO
from typing import Any, Final

from daphne import http_protocol
from daphne.cli import CommandLineInterface
from daphne.server import Server
from django.conf import settings

from evaluations import errors

LINGER_SECONDS: Final = 2.0  # in which whoever still sends can read the answer; a connection cut at once loses it


class BoundedRequest(http_protocol.WebRequest):  # type: ignore[misc]  # daphne has no types
    """A request of at most DATA_UPLOAD_MAX_MEMORY_SIZE bytes, whose answer is sent as fast as it is taken."""

    refused = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._room = asyncio.Event()  # cleared while the transport has more than it can send
        self._room.set()

    def gotLength(self, length: int | None) -> None:  # noqa: N802 - Twisted's names, here and below
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
        if message["type"] == "http.response.body":
            if message.get("more_body") and self.producer is None:
                self.registerProducer(self, True)
            elif not message.get("more_body") and self.producer is not None:
                self.unregisterProducer()
        super().handle_reply(message)

    async def taken(self) -> None:
        """Wait until there is room for more of the answer, or nobody there to take it."""
        await self._room.wait()

    def pauseProducing(self) -> None:  # noqa: N802
        self._room.clear()

    def resumeProducing(self) -> None:  # noqa: N802
        self._room.set()

    def stopProducing(self) -> None:  # noqa: N802
        self._room.set()

    def connectionLost(self, reason: Any) -> None:  # noqa: N802
        self._room.set()
        super().connectionLost(reason)

    def _refuse(self) -> None:
        self.refused = True
        self.content = BytesIO()
        body = json.dumps(errors.problem("too_large", id=uuid.uuid4().hex[:12])).encode()
        head = (
            "HTTP/1.1 413 Request Entity Too Large\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        transport = self.channel.transport
        transport.write(head.encode() + body)
        self.channel.callLater(LINGER_SECONDS, transport.abortConnection)


class PatientServer(Server):  # type: ignore[misc]
    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        await super().handle_reply(protocol, message)
        if isinstance(protocol, BoundedRequest):
            await protocol.taken()


def install() -> None:
    """Let daphne make such requests and such a server; it has no settings for the classes."""
    http_protocol.WebRequest = BoundedRequest
    CommandLineInterface.server_class = PatientServer
