"""How often somebody may do something: buckets that fill again with time."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from typing import Final

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse

from evaluations.errors.refusals import ROOT, Inline, RefusedError, refusal
from evaluations.models import Submission

MAX_KEYS: Final = 10_000  # that are remembered
UPLOADS: Final = "/api/uploads/"  # limited by what they hold (uploads/limits.py), and pieces come fast
BURST_SECONDS: Final = 6.0  # of requests to the API that may come at once
SESSIONS_PER_ADDRESS: Final = 6  # programs and pages of a class that ask all the time


class Buckets:
    """How many more tries each key has: `burst`, and `per_second` more while time goes by. In this process."""

    def __init__(self, burst: float, per_second: float) -> None:
        self.burst, self.per_second = burst, per_second
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key → tries spent, as of when
        self._lock = threading.Lock()

    def wait(self, key: str, now: float) -> float:
        """Use up one try; returns 0, or after how many seconds there is one again."""
        return self._look(key, now, cost=1.0)

    def would_wait(self, key: str, now: float) -> float:
        """The same without using one up."""
        return self._look(key, now, cost=0.0)

    def _look(self, key: str, now: float, *, cost: float) -> float:
        with self._lock:
            spent, since = self._spent.pop(key, (0.0, now))
            spent = max(0.0, spent - (now - since) * self.per_second)
            missing = max(0.0, spent + 1 - self.burst) / self.per_second
            self._spent[key] = (spent if missing else spent + cost, now)
            if len(self._spent) > MAX_KEYS:
                self._spent.popitem(last=False)
        return missing

    def forget(self, key: str) -> None:
        with self._lock:
            self._spent.pop(key, None)


class ApiLimit(Inline):
    """Refuses further requests to the API with 429 before the database is asked: by session, and by address.

    By address, too, since a cookie that is no session's costs nothing to make up.
    """

    def __init__(self, get_response: object) -> None:
        super().__init__(get_response)  # type: ignore[arg-type]  # as Django hands it in
        rate = settings.API_PER_SECOND
        self.of_session = Buckets(BURST_SECONDS * rate, rate)
        self.of_address = Buckets(SESSIONS_PER_ADDRESS * BURST_SECONDS * rate, SESSIONS_PER_ADDRESS * rate)

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        if not request.path.startswith(ROOT) or request.path.startswith(UPLOADS):
            return None
        now = time.monotonic()
        wait = self.of_address.wait(request.META.get("REMOTE_ADDR", ""), now)
        if session := request.COOKIES.get(settings.SESSION_COOKIE_NAME):
            wait = max(wait, self.of_session.wait(session[:64], now))
        return refusal(too_many(wait)) if wait else None


def too_many(wait: float) -> RefusedError:
    return RefusedError(429, "too_many_requests", {"Retry-After": str(math.ceil(wait))})


_moves = Buckets(6, 0.1)


def move_wait(user: User, submission: Submission) -> float:
    """Use up one try of a person to start or stop the work on a submission: 0, or after how many seconds there is one.

    Each is an event that is kept, and the work of everybody in line is forecast anew.
    """
    return _moves.wait(f"{user.pk} {submission.pk}", time.monotonic())
