"""The audit trail's one writer, and what it hears of by itself.

Whoever does something to a student's things, or reads somebody else's, calls `record` or `looked`. By signals come:
decisions on ratings, deleted submissions, what is done to tasks by page, admin or command, what the admin adds and
changes (its own log has the words), deleted people and classes, and how the staff signs in.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Final

from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.db.models import Model
from django.db.models.signals import post_delete, post_save
from django.http import HttpRequest

from evaluations.models import Classroom, Deletion, ReviewDecision, Rubric, Submission, TrailEntry
from queueing.management.base import who
from queueing.models import Task
from queueing.signals import tasks_moved

Verb = TrailEntry.Verb
Kind = ReviewDecision.Kind

QUARTER_SECONDS: Final = 900

request_at_work: ContextVar[HttpRequest | None] = ContextVar("request_at_work", default=None)
"""Set by `access.origins.RequestAtWork`: whose doing it is, and from where, without passing it through every call."""


def record(
    verb: Verb, *things: Model, by: User | str | None = None, classroom: Classroom | None = None, **detail: object
) -> None:
    """Add a row for each of `things`: submissions, students (users), classes, or anything that belongs to one.

    Args:
        by: a person, or a program in words. None: whose request it is; without a request, the command and who ran it.
        classroom: in which class, where the thing does not say that itself.
        detail: facts as JSON takes them; no names and nothing that people wrote.
    """
    _add(verb, things, by, detail, classroom)


def record_kind(verb: Verb, kind: str, *, by: User | str | None = None, **detail: object) -> None:
    """The same of something that is no row: a backup, the trail itself."""
    TrailEntry.objects.bulk_create([TrailEntry(verb=verb, kind=kind, detail=detail, **_whose(by))])


def looked(thing: Model | type[Model], by: User) -> None:
    """A person looks at something of somebody else's; of a class of rows, at a list of them.

    Of each person and thing, one row in a quarter of an hour.
    """
    made = _entry(Verb.LOOKED, thing, by, {})
    if made.student_id != by.pk:
        made.quarter = int(time.time() // QUARTER_SECONDS)
        TrailEntry.objects.bulk_create([made], ignore_conflicts=True)


def record_for_others(verb: Verb, *submissions: Submission, by: User | str | None = None, **detail: object) -> None:
    """`record` of those submissions that are not the person's own: what students do to theirs is nobody's concern."""
    actor = _whose(by)["actor_id"]
    _add(verb, [one for one in submissions if one.student_id != actor], by, detail)


def _add(
    verb: Verb,
    things: Iterable[Model],
    by: User | str | None,
    detail: dict[str, object],
    classroom: Classroom | None = None,
) -> None:
    made = [_entry(verb, thing, by, detail) for thing in things]
    if classroom is not None:
        for each in made:
            each.classroom_id = classroom.pk
    TrailEntry.objects.bulk_create(made)


def _entry(verb: Verb, thing: Model | type[Model], by: User | str | None, detail: dict[str, object]) -> TrailEntry:
    return TrailEntry(
        verb=verb,
        kind=thing._meta.model_name or "",
        key="" if isinstance(thing, type) else str(thing.pk),
        classroom_id=_found_in(thing, Classroom, "classroom_id"),
        student_id=_found_in(thing, User, "student_id"),
        detail=detail,
        **_whose(by),
    )


def _found_in(thing: Any, model: type[Model], column: str) -> int | None:
    """The key that a thing itself has of the model, or what it belongs to."""
    if isinstance(thing, type):
        return None
    if isinstance(thing, model):
        return int(thing.pk)
    for each in (thing, getattr(thing, "submission", None)):
        if (found := getattr(each, column, None)) is not None:
            return int(found)
    return None


def _whose(by: User | str | None) -> dict[str, Any]:
    request = request_at_work.get()
    if by is None and request is not None and isinstance(request.user, User):
        by = request.user
    address = request.META.get("REMOTE_ADDR") if request is not None else None
    program = "" if isinstance(by, User) else by or " ".join((who(), *sys.argv[1:2]))[:120]
    return {
        "actor_id": by.pk if isinstance(by, User) else None,
        "program": program,
        "address": address or None,
    }


def is_staff(user: User) -> bool:
    """Whoever sees more than their own things."""
    return user.is_staff or user.is_superuser or user.classes_taught.exists()


def connect() -> None:
    """Listen to what is recorded without being called."""
    name = "evaluations.trail"
    post_save.connect(_decided, sender=ReviewDecision, dispatch_uid=name)
    post_save.connect(_deleted_submission, sender=Deletion, dispatch_uid=name)
    post_save.connect(_logged_by_admin, sender=LogEntry, dispatch_uid=name)
    for model in (User, Group, Classroom, Rubric):
        post_delete.connect(_deleted, sender=model, dispatch_uid=name)
    tasks_moved.connect(_moved, dispatch_uid=name)
    user_logged_in.connect(_signed_in, dispatch_uid=name)
    user_login_failed.connect(_failed, dispatch_uid=name)


_OF_DECISIONS: Final = {Kind.ANSWER: Verb.ANSWERED, Kind.APPEAL: None}


def _decided(instance: ReviewDecision, created: bool, **_: object) -> None:
    if instance.kind == Kind.RELEASED:
        verb: Verb | None = Verb.RELEASED if instance.value else Verb.HID
    else:
        verb = _OF_DECISIONS.get(Kind(instance.kind), Verb.DECIDED)
    if created and verb:
        record(verb, instance.submission, by=instance.by, what=instance.kind, key=instance.key)


def _deleted_submission(instance: Deletion, created: bool, **_: object) -> None:
    if created and instance.by_id != instance.student_id:
        record(Verb.ERASED, instance, by=instance.by)


def _moved(verb: str, tasks: Iterable[int], by: str, **_: object) -> None:
    found = Task.objects.filter(pk__in=tasks).select_related("submission")
    person = request_at_work.get() is not None
    record_for_others(Verb.MOVED, *(task.submission for task in found), by=None if person else by, what=verb)


def _logged_by_admin(instance: LogEntry, created: bool, **_: object) -> None:
    """Deletions come from the rows themselves: of a list the admin logs them without a signal."""
    model = instance.content_type.model_class() if instance.content_type else None
    thing = model._default_manager.filter(pk=instance.object_id).first() if model else None
    if created and thing is not None and instance.action_flag != DELETION:
        record(Verb.SET, thing, by=instance.user, what="added" if instance.is_addition() else "changed")


def _deleted(instance: Model, **_: object) -> None:
    record(Verb.ERASED, instance)


def _signed_in(sender: object, user: User, **_: object) -> None:
    if is_staff(user):
        record(Verb.SIGNED_IN, user, by=user)


def _failed(credentials: dict[str, Any], request: HttpRequest | None = None, **_: object) -> None:
    user = User.objects.filter(username=credentials.get("username")).first()
    if request is not None and user is not None and is_staff(user):
        record(Verb.FAILED, user, by="at the door")
