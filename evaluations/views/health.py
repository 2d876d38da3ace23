"""What programs ask of the site, without a login: whether it is ready, and its figures.

Whether it is alive is told before any of Django's (introeval/serving/liveness.py).
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Callable, Mapping
from typing import Final

import redis
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST
from psycopg_pool import PoolTimeout

from queueing.models import schema
from queueing.report import metrics as gauges

PROBE_SECONDS: Final = 0.01
BROKER_SECONDS: Final = 2.0


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


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The figures for Prometheus; for whoever may not read them the address does not exist."""
    if not _may_scrape(request):
        raise Http404
    return HttpResponse(gauges.text(), content_type=CONTENT_TYPE_LATEST)


def _may_scrape(request: HttpRequest) -> bool:
    """With METRICS_TOKEN whoever sends it, else a program on this machine that no proxy speaks for."""
    if settings.METRICS_TOKEN:
        wanted = f"Bearer {settings.METRICS_TOKEN}"
        return hmac.compare_digest(request.headers.get("Authorization", "").encode(), wanted.encode())
    try:
        address = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:  # a socket without one
        return False
    return address.is_loopback and not {"X-Forwarded-For", "Forwarded"} & request.headers.keys()


async def _lag_seconds() -> float:
    clock = asyncio.get_running_loop().time
    due = clock() + PROBE_SECONDS
    await asyncio.sleep(PROBE_SECONDS)
    return max(0.0, clock() - due)


def _faults() -> Mapping[str, str]:
    """What is wrong, by the part that is."""
    found: dict[str, str] = {}
    for part, look in PARTS.items():
        # What is in a database that is away would be waited for as long again.
        if not (part == "schema" and "database" in found) and (fault := look()):
            found[part] = fault
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
