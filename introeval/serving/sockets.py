"""WebSockets that are refused with a status of their own: ASGI's extension "WebSocket Denial Response", as far as it is
needed. Daphne knows 403 and, for what an application raises, 500.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from autobahn.websocket.types import ConnectionDeny
from daphne import ws_protocol


class DeniableSocket(ws_protocol.WebSocketProtocol):  # type: ignore[misc]  # daphne has no types
    """Answers the handshake with the status that the application chose; without a body."""

    def handle_reply(self, message: dict[str, Any]) -> None:
        if message.get("type") == "websocket.http.response.body":
            return
        if message.get("type") != "websocket.http.response.start":
            super().handle_reply(message)
            return
        status = HTTPStatus(message["status"])
        denied = ConnectionDeny(code=status.value, reason=status.phrase)  # type: ignore[no-untyped-call]
        self.handshake_deferred.errback(denied)
        del self.handshake_deferred
        self.server.protocol_disconnected(self)


def install() -> None:
    """Let daphne make these; it has no setting for its classes."""
    ws_protocol.WebSocketFactory.protocol = DeniableSocket
