"""`/livez`: 200 `ok` while this process answers. Touches nothing: what is away elsewhere is no reason to restart it."""

from __future__ import annotations

from typing import Any, Final

from introeval.serving.threads import Application

ADDRESS: Final = "/livez"
HEADERS: Final = [
    (b"content-type", b"text/plain"),
    (b"content-length", b"2"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]


class Liveness:
    """Answers it before Django, whose two dozen middlewares make it fifteen times as dear: `up` asks all day."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        if scope["path"] != ADDRESS or scope["method"] not in ("GET", "HEAD"):
            return await self.application(scope, receive, send)
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        body = b"ok" if scope["method"] == "GET" else b""
        return await send({"type": "http.response.body", "body": body})
