"""An address at which no socket listens: 404, from the application to the wire."""

from __future__ import annotations

from typing import Any

import pytest
from autobahn.websocket.types import ConnectionDeny
from daphne import ws_protocol
from twisted.internet.defer import Deferred

from introeval import routing
from introeval.serving import sockets
from introeval.serving.sockets import DeniableSocket

HERE = {"origin": "http://lab", "host": "lab"}


async def answers(path: str) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []

    coming = iter(("websocket.connect", "websocket.disconnect"))

    async def receive() -> dict[str, Any]:
        return {"type": next(coming), "code": 1000}

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    headers = [(name.encode(), value.encode()) for name, value in HERE.items()]
    await routing.websockets({"type": "websocket", "path": path, "headers": headers}, receive, send)
    return said


@pytest.mark.parametrize("path", ["/ws/", "/ws/nothing", "/", "/ws/dashboard/x", "/ws/dashboardx", "//ws/dashboard/"])
async def test_an_unknown_socket_is_not_found(path: str) -> None:
    said = await answers(path)
    assert [message.get("status") for message in said] == [404, None]


async def test_a_known_one_of_another_site_is_refused_as_before() -> None:
    said = await answers("/ws/dashboard")
    assert said == [{"type": "websocket.close"}]


class Handshake:
    """What a socket of daphne's has before it is accepted."""

    def __init__(self) -> None:
        self.gone: list[object] = []
        self.refused: list[Any] = []
        self.socket = DeniableSocket()
        self.socket.handshake_deferred = Deferred()
        self.socket.handshake_deferred.addErrback(lambda failure: self.refused.append(failure.value))
        self.socket.server = self

    def protocol_disconnected(self, socket: object) -> None:
        self.gone.append(socket)


def test_the_servers_answer_to_the_handshake_has_that_status() -> None:
    handshake = Handshake()
    handshake.socket.handle_reply({"type": "websocket.http.response.start", "status": 404, "headers": []})
    handshake.socket.handle_reply({"type": "websocket.http.response.body", "body": b""})
    (refused,) = handshake.refused
    assert isinstance(refused, ConnectionDeny)
    assert (refused.code, refused.reason) == (404, "Not Found")
    assert handshake.gone == [handshake.socket]


def test_daphne_makes_these_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ws_protocol.WebSocketFactory, "protocol", None)
    sockets.install()
    assert ws_protocol.WebSocketFactory.protocol is DeniableSocket
