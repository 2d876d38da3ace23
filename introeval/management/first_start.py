"""What a lab is told of itself before it opens: by the command line, else as it is kept, else by whoever sits there.

Nothing is asked twice, and nothing without a terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

from evaluations.demo import CLASSROOM as DEMO_CLASS
from evaluations.models import Classroom
from introeval.environment import is_zone, machine_language
from introeval.lan import profile
from introeval.lan.profile import LONGEST_SCHOOL, LabProfile

LANGUAGES: Final = ("en", "de")
TEACHER: Final = "teacher"
TRIES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The same with the defaults filled in."""

    school: str
    time_zone: str
    language: str
    teacher: str


def find_out(given: LabProfile, teacher: str | None) -> Told:
    """Of `given`, what the command line says; what is new is kept in DATA_DIR, where site and worker read it.

    Raises:
        CommandError: an answer is none, however often it was asked for.
    """
    kept = profile.read(settings.DATA_DIR)
    known = LabProfile(
        school=kept.school if given.school is None else " ".join(given.school.split()),
        language=given.language or kept.language,
        time_zone=given.time_zone or kept.time_zone,
    )
    if can_ask():
        known = _complete(known)
        if teacher is None and not has_classes():
            teacher = ask("User name of the teacher", TEACHER, _no_username)
    if known.language is None and not has_classes():  # asked or not, its class is about to be made
        known = replace(known, language=machine_language(LANGUAGES))
    if known != kept:
        profile.keep(settings.DATA_DIR, known)
    return Told(
        school=os.environ.get("SCHOOL") or known.school or "",
        time_zone=settings.TIME_ZONE if os.environ.get("TIME_ZONE") else known.time_zone or settings.TIME_ZONE,
        language=known.language or machine_language(LANGUAGES),
        teacher=teacher or TEACHER,
    )


def _complete(known: LabProfile) -> LabProfile:
    if known.school is None and not os.environ.get("SCHOOL"):
        known = replace(known, school=ask("Name of the school, for cards and pages", "", _too_long))
    if known.language is None and not has_classes():
        question = f"Language of the first class ({', '.join(LANGUAGES)})"
        known = replace(known, language=ask(question, machine_language(LANGUAGES), _no_language))
    if known.time_zone is None and not os.environ.get("TIME_ZONE"):
        known = replace(known, time_zone=ask("Time zone", settings.TIME_ZONE, _no_zone))
    return known


def has_classes() -> bool:
    """Of its own: that of the demo is none."""
    return Classroom.objects.exclude(name=DEMO_CLASS).exists()


def can_ask() -> bool:
    """Whether somebody sits at a terminal. A job in its background would be stopped by the first question."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    with suppress(OSError):
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    return False


def ask(question: str, default: str, problem: Callable[[str], str]) -> str:
    """An answer of which `problem` says nothing; the default for Enter, and where the terminal has gone.

    Raises:
        CommandError: none of TRIES answers is one.
    """
    said = ""
    for _ in range(TRIES):
        try:
            answer = " ".join(input(f"{question} [{default or 'none'}]: ").split()) or default
        except EOFError:
            return default
        said = problem(answer)
        if not said:
            return answer
        sys.stderr.write(f"{said}\n")
    raise CommandError(f"Not started. {said}")


def _too_long(school: str) -> str:
    return f"At most {LONGEST_SCHOOL} characters." if len(school) > LONGEST_SCHOOL else ""


def _no_language(said: str) -> str:
    return "" if said in LANGUAGES else f"One of {', '.join(LANGUAGES)}."


def _no_zone(said: str) -> str:
    return "" if is_zone(said) else f"{said!r} is no time zone; one is called Europe/Berlin, for example."


def _no_username(said: str) -> str:
    try:
        User.username_validator(said)
    except ValidationError as error:
        return " ".join(error.messages)
    return ""
