"""How much of a request the site reads.

Daphne hands a body over when all of it has arrived, however much that is, so Django can't limit what the machine takes
in. And what is larger than 100 kB Twisted keeps in a file on the disk, for which its loop waits, and every socket with
it. Here the limit holds while a body arrives: larger ones are refused unread, the others stay in memory.
"""

from __future__ import annotations

import json
import uuid
from io import BytesIO
from typing import Any, Final

from daphne import http_protocol
from django.conf import settings

from evaluations import errors

LINGER_SECONDS: Final = 2.0  # in which whoever still sends can read the answer; a connection cut at once loses it


class BoundedRequest(http_protocol.WebRequest):  # type: ignore[misc]  # daphne has no types
    """A request whose body may have DATA_UPLOAD_MAX_MEMORY_SIZE bytes."""

    refused = False

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


def install() -> None:
    """Let daphne make such requests; it has no setting for the class."""
    http_protocol.WebRequest = BoundedRequest
