"""Where WebSockets go, and from which pages they may come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.http.request import split_domain_port, validate_host
from django.urls import path

from evaluations.live.consumer import DashboardConsumer

Application = Callable[[dict[str, Any], Callable[..., Awaitable[Any]], Callable[..., Awaitable[Any]]], Awaitable[Any]]

urlpatterns = [path("ws/dashboard", DashboardConsumer.as_asgi())]


class SameOrigin:
    """Lets in only sockets opened by this site's own pages: same scheme, host and port.

    Cookies travel with a WebSocket from any page, and no CSRF token does. Channels' validator looks at the host alone.
    """

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        headers = {name.decode("latin1"): value.decode("latin1") for name, value in scope.get("headers", [])}
        wanted = self.application if is_same_origin(headers) else WebsocketDenier()
        return await wanted(scope, receive, send)


def is_same_origin(headers: dict[str, str]) -> bool:
    """Whether Origin names this site as Host does, with the scheme it is served by, and the host is one of ours."""
    origin, host = headers.get("origin", ""), headers.get("host", "")
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    name, _port = split_domain_port(host)
    return origin == f"{'https' if settings.HTTPS else 'http'}://{host}" and validate_host(name, settings.ALLOWED_HOSTS)


class OrNotFound:
    """404 where no socket listens: Channels raises an error there, which is answered by 500 and logged as a mistake."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        path = scope["path"].removeprefix("/")
        if any(each.pattern.match(path) for each in urlpatterns):
            return await self.application(scope, receive, send)
        await send({"type": "websocket.http.response.start", "status": 404, "headers": []})
        return await send({"type": "websocket.http.response.body", "body": b""})


websockets = OrNotFound(SameOrigin(AuthMiddlewareStack(URLRouter(urlpatterns))))
