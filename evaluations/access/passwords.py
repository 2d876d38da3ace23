"""What signing in may cost: how passwords are hashed, and how many tries an address has.

Hashing is slow on purpose, a third of a second of a core for each try, right or wrong.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from evaluations.access.limits import Buckets
from evaluations.errors.refusals import Inline
from queueing.models.connections import give_back

log = structlog.get_logger(__name__)

NICENESS: Final = 10  # pages come first
BURST: Final = 120  # tries: a class of thirty behind one address, four times each
PER_SECOND: Final = 1.0  # further tries


def _step_back() -> None:
    # Linux gives each thread a niceness of its own.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


_hashing = ThreadPoolExecutor(os.cpu_count() or 1, "password", initializer=_step_back)


class PoliteHasher(PBKDF2PasswordHasher):
    """Django's own, on threads that give way to pages, as many at once as there are cores; without a connection."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        give_back()
        return _hashing.submit(super().encode, password, salt, iterations).result()


tries = Buckets(BURST, PER_SECOND)


class LoginLimit(Inline):
    """Refuses further tries of an address with 429 before anything is hashed or asked of the database."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        if request.method != "POST" or request.path not in (reverse("login"), reverse("admin:login")):
            return None
        seconds = tries.wait(request.META.get("REMOTE_ADDR", ""), time.monotonic())
        if not seconds:
            return None
        log.warning("too_many_logins")
        response = render(request, "registration/too_many.html", {"seconds": round(seconds) + 1}, status=429)
        response["Retry-After"] = str(round(seconds) + 1)
        return response
