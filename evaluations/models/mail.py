"""What people want to be told by e-mail: an address that they have confirmed, and each mail that goes there."""

from __future__ import annotations

from typing import Final, Self

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from evaluations.models.classroom import Classroom

MAX_TRIES: Final = 12  # to send one, over some six hours


class MailAddress(models.Model):
    """Where a person wants to be told what they need not wait for. Nothing but its confirmation is sent before that."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="mail_address")
    address = models.EmailField(blank=True, help_text="Empty: they want no mail any more.")
    language = models.CharField(max_length=10)
    site = models.CharField(max_length=200, help_text="The site's address as they see it: links begin with it.")
    classrooms = models.ManyToManyField(
        Classroom, blank=True, related_name="+", help_text="Those of which a teacher wants to be told."
    )
    confirmed_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"address {self.pk}"


class PersonalMailQuerySet(models.QuerySet["PersonalMail"]):
    def due(self) -> Self:
        """Those to be sent now; to an address that is not confirmed only the question whether it is right."""
        wanted = Q(kind=PersonalMail.MailKind.CONFIRM) | Q(address__confirmed_at__isnull=False)
        return self.filter(wanted, sent_at=None, next_try__lte=Now(), tries__lt=MAX_TRIES).exclude(address__address="")


class PersonalMail(models.Model):
    """One mail to one person, sent or still to be sent: of a submission one of each kind."""

    class MailKind(models.TextChoices):
        CONFIRM = "confirm"  # is this address right?
        RESULT = "result"  # a result is there and can be seen
        FAILED = "failed"  # it did not work; it may be tried again
        CLASSROOM = "classroom"  # to a teacher: the work on a class has ended, or somebody needs her

    address = models.ForeignKey(MailAddress, on_delete=models.CASCADE, related_name="mails")
    kind = models.CharField(max_length=10, choices=MailKind.choices)
    submission = models.ForeignKey("evaluations.Submission", on_delete=models.CASCADE, null=True, related_name="+")
    classroom = models.ForeignKey(Classroom, on_delete=models.CASCADE, null=True, related_name="+")
    made_at = models.DateTimeField(db_default=Now())
    tries = models.PositiveSmallIntegerField(default=0, db_default=0)
    next_try = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True, blank=True)

    objects = PersonalMailQuerySet.as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("address", "submission", "kind"),
                condition=Q(submission__isnull=False),
                name="one_mail_of_a_kind",
            ),
        )
        indexes = (models.Index(fields=("next_try",), condition=Q(sent_at=None), name="mails_to_send"),)

    def __str__(self) -> str:
        return f"{self.kind} to {self.address}"
