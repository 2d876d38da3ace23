"""What signing in may cost: how passwords are hashed, how many tries an address has, and which passwords are none.

Hashing is slow on purpose, a third of a second of a core for each try, right or wrong.
"""

from __future__ import annotations

import ipaddress
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import structlog
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from evaluations.access.limits import Buckets
from evaluations.access.lockout import failed_names
from evaluations.errors.refusals import Inline
from queueing.models.connections import give_back

log = structlog.get_logger(__name__)

PUBLIC: Final = "demo-introeval"  # of the demo's accounts, printed in the READY box
LONGEST: Final = 128  # characters of a password
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
        address, now = request.META.get("REMOTE_ADDR", ""), time.monotonic()
        seconds = tries.wait(address, now) or failed_names.wait(address, now)
        if not seconds:
            return None
        log.warning("too_many_logins", address=address)
        response = render(request, "registration/too_many.html", {"seconds": round(seconds) + 1}, status=429)
        response["Retry-After"] = str(round(seconds) + 1)
        return response


def is_loopback(host: str) -> bool:
    """Whether a host, by address or name, is this computer alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class NoPublicPassword:
    """A door before Django's: the demo's password opens nothing to a request that came over a network.

    Whoever has read the manual knows it, and a lab may go on with the folder in which somebody tried the demo.
    """

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_kwargs: Any
    ) -> None:
        if request is None or password != PUBLIC:
            return
        # A proxy on this computer comes by loopback, too, but asks for the name that the browser knows.
        name, _port = split_domain_port(request.get_host())
        if not (is_loopback(request.META.get("REMOTE_ADDR", "")) and is_loopback(name)):
            log.warning("public_password_refused")
            raise PermissionDenied


class NotTooLong:
    """Refuses more than anybody types or a manager makes: each character is hashed."""

    def validate(self, password: str, user: AbstractBaseUser | None = None) -> None:
        if len(password) > LONGEST:
            raise ValidationError(self.get_help_text())

    def get_help_text(self) -> str:
        return _("A password has at most %(count)s characters.") % {"count": LONGEST}


class NotPublic:
    """Refuses the demo's password as one that somebody chooses."""

    def validate(self, password: str, user: AbstractBaseUser | None = None) -> None:
        if password == PUBLIC:
            raise ValidationError(_("Everybody knows this password: it is the demo’s."))

    def get_help_text(self) -> str:
        return ""
