"""Whom a form of a class's page names: of the class only, whatever else it says."""

from __future__ import annotations

from typing import Final

from django.contrib.auth.models import User
from django.http import HttpRequest

from evaluations.models import Classroom, JoinRequest

MAX_CHOSEN: Final = 1000  # rows of one request
MAX_DIGITS: Final = 9  # of a key; the database refuses to compare with more


def keys(request: HttpRequest, field: str) -> list[int]:
    """Of what the form says to be keys, those that are."""
    given = request.POST.getlist(field)[:MAX_CHOSEN]
    return [int(key) for key in given if key.isascii() and key.isdigit() and len(key) <= MAX_DIGITS]


def students(request: HttpRequest, found: Classroom) -> list[User]:
    return list(found.students.filter(pk__in=keys(request, "student")))


def requests(request: HttpRequest, found: Classroom) -> list[JoinRequest]:
    """Of those that wait; all of them with `everybody`."""
    waiting = found.join_requests.waiting()
    return list(waiting if "everybody" in request.POST else waiting.filter(pk__in=keys(request, "request")))
