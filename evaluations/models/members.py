"""How students come into a class and sign in without a password: cards, join codes, and who asks to join."""

from __future__ import annotations

from importlib import import_module
from typing import Self

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.db.models.functions import Now

from evaluations.models.classroom import Classroom


class LoginCard(models.Model):
    """A printed card by which one student signs in, for one class; the newest one is the only one.

    The code on it is nowhere but on paper: what is kept is a keyed hash of it. A card that is revoked is deleted.
    """

    classroom = models.ForeignKey(Classroom, on_delete=models.CASCADE, related_name="login_cards")
    student = models.ForeignKey(User, on_delete=models.CASCADE, related_name="login_cards")
    digest = models.CharField(max_length=64, unique=True)
    made_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    made_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, help_text="When somebody last signed in by it.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=("classroom", "student"), name="one_card_per_student_and_class")]

    def __str__(self) -> str:
        return f"card {self.pk}"


class JoinCode(models.Model):
    """What students type to ask for a place in a class. It opens nothing by itself; closed, it is deleted."""

    classroom = models.OneToOneField(Classroom, on_delete=models.CASCADE, related_name="join_code")
    code = models.CharField(max_length=20, unique=True)
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"join code {self.pk}"


class JoinRequestQuerySet(models.QuerySet["JoinRequest"]):
    def waiting(self) -> Self:
        return self.filter(state=JoinRequest.JoinState.WAITING)


class JoinRequest(models.Model):
    """Somebody who asks for a place in a class, with an account (`student`) or by a name that they chose."""

    class JoinState(models.TextChoices):
        WAITING = "waiting"
        APPROVED = "approved"  # `student` has a place, and the browser that asked may sign in as them, once
        ENTERED = "entered"
        DECLINED = "declined"

    classroom = models.ForeignKey(Classroom, on_delete=models.CASCADE, related_name="join_requests")
    name = models.CharField(max_length=200)
    student = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="join_requests")
    state = models.CharField(max_length=10, choices=JoinState.choices, default=JoinState.WAITING)
    asked_at = models.DateTimeField(db_default=Now())

    objects = JoinRequestQuerySet.as_manager()

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"request {self.pk}"


class UserSession(AbstractBaseSession):
    """A session that says whose it is, and by which card it began: so that all of a user's can be ended.

    Plain numbers, no foreign keys: a session may be saved while its user is being deleted.
    """

    user_id = models.IntegerField(null=True, db_index=True)
    card_id = models.BigIntegerField(null=True, db_index=True)

    class Meta(AbstractBaseSession.Meta):
        db_table = "evaluations_usersession"

    @classmethod
    def get_session_store_class(cls) -> type[SessionStore]:
        store: type[SessionStore] = import_module(settings.SESSION_ENGINE).SessionStore
        return store
