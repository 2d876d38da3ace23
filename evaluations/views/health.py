"""What programs ask of the site: whether it is alive, whether it is ready. Neither needs a login."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import redis
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from psycopg_pool import PoolTimeout

from queueing.models import schema

PROBE_SECONDS: Final = 0.01
BROKER_SECONDS: Final = 2.0


@never_cache
@require_safe
async def livez(request: HttpRequest) -> HttpResponse:
    """200 `ok` while this process answers. Touches nothing: what is away elsewhere is no reason to restart it."""
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@require_safe
async def readyz(request: HttpRequest) -> HttpResponse:
    """200 `ok` when database, schema and broker are as they should be; else 503, with a line for each that is not.

    `Server-Timing: loop;dur=…` is by how many milliseconds the server's loop, and so every socket, is late.
    """
    lag, faults = await asyncio.gather(_lag_seconds(), sync_to_async(_faults)())
    headers = {"Server-Timing": f"loop;dur={1000 * lag:.1f}"}
    words = "\n".join(f"{part}: {fault}" for part, fault in faults.items()) or "ok"
    return HttpResponse(words, status=503 if faults else 200, content_type="text/plain", headers=headers)


async def _lag_seconds() -> float:
    clock = asyncio.get_running_loop().time
    due = clock() + PROBE_SECONDS
    await asyncio.sleep(PROBE_SECONDS)
    return max(0.0, clock() - due)


def _faults() -> Mapping[str, str]:
    """What is wrong, by the part that is."""
    found = {part: fault for part, look in PARTS.items() if (fault := look())}
    if "database" in found:
        found.pop("schema", None)  # it is in there
    return found


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, PoolTimeout):
        return "does not answer"
    return ""


def _schema() -> str:
    try:
        schema.ensure_current()
    except schema.WrongSchema as error:
        return str(error)
    except (DatabaseError, PoolTimeout):
        return "can't be read"
    return ""


def _broker() -> str:
    limits = {"socket_timeout": BROKER_SECONDS, "socket_connect_timeout": BROKER_SECONDS}
    with redis.Redis.from_url(settings.REDIS_URL, **limits) as client:
        try:
            client.ping()
        except redis.RedisError:
            return "does not answer"
    return ""


PARTS: Final[Mapping[str, Callable[[], str]]] = {"database": _database, "schema": _schema, "broker": _broker}
