"""Who of the staff looked at, changed, released, exported or erased what: rows that are only added.

They name people, classes and things by their ids alone, without foreign keys: what they tell outlives what they tell
of, and once a student is erased nothing in them leads to a person. A trigger refuses to change a row, and to delete one
that is younger than KEPT_DAYS_AT_LEAST.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

KEPT_DAYS_AT_LEAST: Final = 30


class TrailEntryQuerySet(models.QuerySet["TrailEntry"]):
    def prune(self, days: float) -> int:
        """Delete what is older; returns how many rows went."""
        return self.filter(at__lt=Now() - timedelta(days=days)).delete()[0]


class TrailEntry(models.Model):
    """One thing that a person, or a program of the lab's, did."""

    class Verb(models.TextChoices):
        LOOKED = "looked", "looked at"
        DECIDED = "decided", "decided on"  # items, overall scores, comments, words, marks, another rating
        RELEASED = "released", "released"
        HID = "hid", "hid again"
        ANSWERED = "answered", "answered"
        MOVED = "moved", "started or stopped work on"
        EXPORTED = "exported", "exported"
        ERASED = "erased", "erased"
        ADMITTED = "admitted", "changed the sign-in of"  # cards, passwords, locks
        ENROLLED = "enrolled", "changed the members of"
        SET = "set", "changed the settings of"
        SIGNED_IN = "signed_in", "signed in"
        FAILED = "failed", "failed to sign in"

    at = models.DateTimeField(db_default=Now())
    verb = models.CharField(max_length=10, choices=Verb.choices)
    actor_id = models.IntegerField(null=True, help_text="Empty: a program.")
    program = models.CharField(max_length=120, blank=True, help_text="A command and who ran it, or a part of the lab.")
    kind = models.CharField(max_length=40, help_text="Of what: a model's name, in small letters.")
    key = models.CharField(max_length=40, blank=True, help_text="Its id; empty: a list of them.")
    classroom_id = models.BigIntegerField(null=True)
    student_id = models.IntegerField(null=True)
    # As it is: hashed, all IPv4 addresses are tried in minutes, and whoever looks into something has to know whether it
    # came from the staff room or from a computer that students share. It is a member of the staff's, never a student's.
    address = models.GenericIPAddressField(null=True)
    detail = models.JSONField(default=dict, help_text="Facts without names.")
    quarter = models.IntegerField(null=True, help_text="Of a look: the quarter of an hour, since 1970.")

    objects = TrailEntryQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = "audit entry", "audit trail"
        constraints = [
            models.UniqueConstraint(
                fields=("actor_id", "kind", "key", "quarter"),
                condition=Q(quarter__isnull=False),
                name="one_look_a_quarter_of_an_hour",
            )
        ]
        indexes = [
            models.Index(fields=["at"], name="trail_by_time"),
            models.Index(fields=["student_id", "-id"], name="trail_of_student"),
            models.Index(fields=["actor_id", "-id"], name="trail_by_actor"),
        ]

    def __str__(self) -> str:
        return f"entry {self.pk}"
