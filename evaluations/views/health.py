from __future__ import annotations

import asyncio
from typing import Final

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from psycopg_pool import PoolTimeout

PROBE_SECONDS: Final = 0.01


@never_cache
@require_safe
async def healthz(request: HttpRequest) -> HttpResponse:
    """200 `ok` while the site and its database answer, 503 otherwise. For load balancers; needs no login.

    `Server-Timing: loop;dur=…` is by how many milliseconds the server's loop, and so every socket, is late.
    """
    lag, answers = await asyncio.gather(_lag_seconds(), sync_to_async(_database_answers)())
    words, status = ("ok", 200) if answers else ("the database does not answer", 503)
    headers = {"Server-Timing": f"loop;dur={1000 * lag:.1f}"}
    return HttpResponse(words, status=status, content_type="text/plain", headers=headers)


async def _lag_seconds() -> float:
    clock = asyncio.get_running_loop().time
    due = clock() + PROBE_SECONDS
    await asyncio.sleep(PROBE_SECONDS)
    return max(0.0, clock() - due)


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, PoolTimeout):
        return False
    return True
