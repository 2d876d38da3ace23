"""Asking for a place in a class by a code on the board; a teacher of the class says yes or no to each."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from evaluations.access.members import codes, roster, usernames
from evaluations.access.members.cards import end_of_day
from evaluations.models import Classroom, JoinCode, JoinRequest, shown_name

LENGTH: Final = 6
MAX_WAITING: Final = 100  # requests of one class that nobody has answered
TRIES: Final = 5  # to find a code, or a user name, that nobody else just took


class NotAskedError(Exception):
    """Nobody was asked; the message says why, in the language of the request."""


def open_class(classroom: Classroom) -> JoinCode:
    """A new code, which works until the end of the day; the old one ends."""
    for _try in range(TRIES):
        try:
            with transaction.atomic():
                made, _created = JoinCode.objects.update_or_create(
                    classroom=classroom,
                    defaults={"code": codes.make(LENGTH), "expires_at": end_of_day(settings.CARD_DAYS)},
                )
                return made
        except IntegrityError:
            continue
    raise RuntimeError("no free join code")


def close_class(classroom: Classroom) -> None:
    """No further requests; those that wait go on waiting for an answer."""
    JoinCode.objects.filter(classroom=classroom).delete()


def code_of(classroom: Classroom) -> JoinCode | None:
    """The class's code while it works."""
    return JoinCode.objects.filter(classroom=classroom, expires_at__gt=Now()).first()


def find(typed: str) -> Classroom | None:
    """The class whose code was typed, while it works."""
    code = codes.read(typed, LENGTH)
    found = JoinCode.objects.filter(code=code, expires_at__gt=Now()).select_related("classroom").first()
    return found.classroom if found else None


def ask(classroom: Classroom, *, name: str, student: User | None) -> JoinRequest:
    """Ask for a place: with the account of whoever is signed in, else by a name.

    Raises:
        NotAskedError: the name is none, the account is no student's or has a place, or too many wait already.
    """
    if student is not None:
        if not roster.plain_students().filter(pk=student.pk).exists():
            raise NotAskedError(_("Your account is no student’s, so it can’t join a class as one."))
        if classroom.students.filter(pk=student.pk).exists():
            raise NotAskedError(_("You are in this class already."))
        before = JoinRequest.objects.waiting().filter(classroom=classroom, student=student).first()
        if before is not None:
            return before
        name = shown_name(student)
    name = roster.tidy(name)
    if problem := roster.name_error(*roster.split_name(name)) if name else _("There is no name."):
        raise NotAskedError(problem)
    with transaction.atomic():
        Classroom.objects.select_for_update().get(pk=classroom.pk)
        if JoinRequest.objects.waiting().filter(classroom=classroom).count() >= MAX_WAITING:
            raise NotAskedError(_("Too many wait for an answer already. Ask your teacher to work through the list."))
        return JoinRequest.objects.create(classroom=classroom, name=name[:200], student=student)


def approve(asked: JoinRequest) -> User | None:
    """Give a place, with a new account to whoever has none. None: somebody has answered already."""
    for _try in range(TRIES):
        try:
            with transaction.atomic():
                locked = JoinRequest.objects.select_for_update().get(pk=asked.pk)
                if locked.state != JoinRequest.JoinState.WAITING:
                    return None
                locked.student = locked.student or _new_student(locked.name)
                locked.state = JoinRequest.JoinState.APPROVED
                locked.save(update_fields=["student", "state"])
                locked.classroom.students.add(locked.student)
                return locked.student
        except IntegrityError:  # the user name was taken meanwhile
            continue
    raise RuntimeError("no free user name")


def decline(asked: JoinRequest) -> bool:
    """Say no; False: somebody has answered already."""
    waiting = JoinRequest.objects.waiting().filter(pk=asked.pk)
    return bool(waiting.update(state=JoinRequest.JoinState.DECLINED))


def enter(asked: JoinRequest) -> User | None:
    """The account that the browser which asked may sign in to: of a request that was approved, once."""
    approved = JoinRequest.objects.filter(pk=asked.pk, state=JoinRequest.JoinState.APPROVED)
    if not approved.update(state=JoinRequest.JoinState.ENTERED):
        return None
    return roster.plain_students().filter(join_requests=asked, is_active=True).first()


def _new_student(name: str) -> User:
    first, last = roster.split_name(name)
    like = User.objects.filter(username__istartswith=usernames.stem(first, last)).values_list("username", flat=True)
    username = usernames.make(first, last, {one.lower() for one in like})
    return User.objects.create(username=username, first_name=first, last_name=last, password=make_password(None))
