"""Failed logins: what is remembered and said of them, who is locked out by them, and letting people in again.

django-axes locks a name on a network after AXES_FAILURE_LIMIT wrong passwords, which guesses at one name meet. Guesses
at many names, one or two at each, are met here: an address at which many different names have failed and not come in
since is slowed down. A class at a lesson's start has at most as many names as it has students, and most come in.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Any, Final

import structlog
from axes.models import AccessAttempt
from axes.signals import user_locked_out
from axes.utils import reset
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.db.models import Sum
from django.db.models.functions import Now
from django.http import HttpRequest

from evaluations.access.limits import MAX_KEYS, Buckets

log = structlog.get_logger(__name__)

MAX_NAMES: Final = 40  # failed and not come in since, at one address: a class of thirty, and slips in ten names
REMEMBERED_SECONDS: Final = 900.0
SLOW_PER_SECOND: Final = 0.2  # tries of an address that is slowed down: a class still comes in, within minutes


class FailedNames:
    """Which names failed at which address lately and have not come in since. In this process."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, OrderedDict[str, float]] = OrderedDict()  # address → name → when it failed last
        self._slow = Buckets(1, SLOW_PER_SECOND)
        self._lock = threading.Lock()

    def failed(self, address: str, name: str, now: float) -> None:
        with self._lock:
            names = self._of.setdefault(address, OrderedDict())
            names.pop(name, None)
            names[name] = now
            if len(names) > 2 * MAX_NAMES:
                names.popitem(last=False)
            self._of.move_to_end(address)
            if len(self._of) > MAX_KEYS:
                self._of.popitem(last=False)

    def came_in(self, address: str, name: str) -> None:
        with self._lock:
            self._of.get(address, OrderedDict()).pop(name, None)

    def count(self, address: str, now: float) -> int:
        with self._lock:
            return sum(now - at < REMEMBERED_SECONDS for at in self._of.get(address, OrderedDict()).values())

    def wait(self, address: str, now: float) -> float:
        """0 while few names have failed there; else use up a slow try: 0, or after how many seconds there is one."""
        return self._slow.wait(address, now) if self.count(address, now) >= MAX_NAMES else 0.0

    def forget(self, address: str) -> None:
        with self._lock:
            self._of.pop(address, None)
        self._slow.forget(address)


failed_names = FailedNames()


def locked_names(usernames: Collection[str]) -> set[str]:
    """Those of them that are locked on some network now."""
    since = Now() - timedelta(hours=settings.AXES_COOLOFF_TIME)
    tried = AccessAttempt.objects.filter(username__in=usernames, attempt_time__gte=since).order_by()
    # A row per browser as well: the lock counts all of them.
    counted = tried.values("username", "ip_address").annotate(failures=Sum("failures_since_start"))
    return {row["username"] for row in counted if row["failures"] >= settings.AXES_FAILURE_LIMIT}


def let_in(usernames: Iterable[str], request: HttpRequest) -> None:
    """Lift the locks of these names, and what slows down the addresses where they failed, and the teacher's own."""
    addresses = {request.META.get("REMOTE_ADDR", "")}
    for username in usernames:
        failed = AccessAttempt.objects.filter(username=username)
        addresses.update(str(one) for one in failed.values_list("ip_address", flat=True) if one)
        reset(username=username)
    for address in addresses:
        failed_names.forget(address)


def connect() -> None:
    """Listen to what happens at the doors."""
    user_login_failed.connect(_note_failure, dispatch_uid="evaluations.lockout")
    user_logged_in.connect(_note_success, dispatch_uid="evaluations.lockout")
    user_locked_out.connect(_note_lock, dispatch_uid="evaluations.lockout")


def _note_failure(sender: object, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    if request is None:  # a program of ours
        return
    address, name = _at(request), str(credentials.get("username") or "").lower()
    failed_names.failed(address, name, time.monotonic())
    # An id, never the name: people type their passwords into that field.
    known = User.objects.filter(username=credentials.get("username")).values_list("pk", flat=True).first()
    log.warning("login_failed", by="password", user=known, address=address)


def _note_success(sender: object, request: HttpRequest | None = None, user: User | None = None, **_: Any) -> None:
    if request is not None and user is not None:
        failed_names.came_in(_at(request), user.username.lower())


def _note_lock(sender: object, request: HttpRequest, **_: Any) -> None:
    log.warning("login_locked", address=_at(request))


def _at(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))
