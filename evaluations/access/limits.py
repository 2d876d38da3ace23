"""How often somebody may do something: buckets that fill again with time."""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from evaluations.errors.refusals import ROOT, Inline, RefusedError, refusal

View = Callable[..., HttpResponseBase]

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


_moves = Buckets(6, 0.1)  # of a person on a submission
_class_work = Buckets(6, 0.1)  # of a person at an address
_questions = Buckets(12, 0.2)  # of a student to the coach


def spend_moves(user: User, submissions: Iterable[uuid.UUID]) -> None:
    """Use up a try of a person on each submission, to start or stop the work on it, or to show and hide its result.

    Each is an event that is kept, and the work of everybody in line is forecast anew. Of many it is all or none.

    Raises:
        RefusedError: 429, which tells when there is a try on each of them.
    """
    now, keys = time.monotonic(), [f"{user.pk} {submission}" for submission in submissions]
    if wait := max((_moves.would_wait(key, now) for key in keys), default=0.0):
        raise too_many(wait)
    for key in keys:
        _moves.wait(key, now)


def spend_question(user: User) -> None:
    """Use up one try to ask the coach: what is stopped at once makes room in the line for the next one.

    Raises:
        RefusedError: 429.
    """
    if wait := _questions.wait(str(user.pk), time.monotonic()):
        raise too_many(wait)


def paced(method: str, *, unless: str = "") -> Callable[[View], View]:
    """For views that compute something of a whole class, or decide on it: one person asks for the same this often.

    Of `method` only; a request with another one is answered as it was, and so is one with the parameter `unless`, which
    narrows it to one student: thirty of those may be opened one after the other.
    """

    def limit(view: View) -> View:
        @wraps(view)
        def limited(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            asked = "GET" if request.method == "HEAD" else request.method
            key = f"{request.user.pk} {request.path}"
            if asked == method and not request.GET.get(unless) and (wait := _class_work.wait(key, time.monotonic())):
                raise too_many(wait)
            return view(request, *args, **kwargs)

        return limited

    return limit
