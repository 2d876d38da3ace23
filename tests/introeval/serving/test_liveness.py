"""`/livez` is told before Django: no middleware, no thread, no database."""

from __future__ import annotations

from typing import Any

import pytest

from introeval.serving.liveness import Liveness


async def told(method: str, path: str) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []

    async def django(scope: dict[str, Any], receive: Any, send: Any) -> None:
        said.append({"django": scope["path"]})

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    await Liveness(django)({"type": "http", "method": method, "path": path}, None, send)
    return said


@pytest.mark.parametrize(("method", "body"), [("GET", b"ok"), ("HEAD", b"")])
async def test_a_process_that_answers_is_alive(method: str, body: bytes) -> None:
    start, end = await told(method, "/livez")
    assert start["status"] == 200
    assert (b"cache-control", b"no-store") in start["headers"]
    assert end["body"] == body


@pytest.mark.parametrize(("method", "path"), [("POST", "/livez"), ("GET", "/livez/"), ("GET", "/readyz")])
async def test_all_else_is_djangos(method: str, path: str) -> None:
    assert await told(method, path) == [{"django": path}]
