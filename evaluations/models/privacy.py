"""What a class's students agree to before they hand in, and the record of what was removed for good."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from typing import Final, Self

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.timezone import localdate
from django.utils.translation import gettext_lazy as _

MAX_CONSENT: Final = 10_000  # characters
KEEP_VIDEOS_DAYS: Final = 30
KEPT: Final = {"keeps_videos_days": None, "keeps_results_until": None}
"""Of a class whose files somebody has, too: nothing goes by itself."""
_YEAR_ENDS: Final = (7, 31)
_LEAST: Final = timedelta(days=30)  # a class that is made at the end of a school year is meant for the next one

CONSENT_TEXTS: Final = {
    "en": "You record a video in which you introduce yourself. The school’s own computer writes down what you say, and "
    "a language model compares it with the rubric of your class. Your teacher sees the video, what was written down "
    "and the result, and decides about it; other students see nothing of it.\n\n"
    "What is kept for how long, and what is done with it by which program, stands on the page “What happens with my "
    "video”. There you can download everything that is kept of you, or take your consent back at any time: nothing "
    "new is handed in then, and you can have deleted what was. Nobody treats you worse for that.\n\n"
    "I agree to this. Who has care of me (my parents or guardians) knows of it and agrees, too.",
    "de": "Du nimmst ein Video auf, in dem du dich vorstellst. Der Computer der Schule schreibt auf, was du sagst, und "
    "ein Sprachmodell vergleicht es mit dem Bewertungsraster deiner Klasse. Deine Lehrkraft sieht das Video, die "
    "Mitschrift und das Ergebnis und entscheidet darüber; andere aus der Klasse sehen davon nichts.\n\n"
    "Was wie lange aufbewahrt wird und welches Programm was damit macht, steht auf der Seite „Was mit meinem Video "
    "geschieht“. Dort kannst du alles herunterladen, was von dir gespeichert ist, oder deine Einwilligung jederzeit "
    "zurücknehmen: Dann wird nichts Neues abgegeben, und du kannst löschen lassen, was abgegeben wurde. Niemand "
    "behandelt dich deshalb schlechter.\n\n"
    "Ich bin damit einverstanden. Wer für mich sorgt (meine Eltern oder Erziehungsberechtigten), weiß davon und ist "
    "auch einverstanden.",
}
"""What a class's students agree to unless its teacher writes something else, by the language of its rubric."""


def school_year_end() -> date:
    """The next 31 July that is at least a month away."""
    earliest = localdate() + _LEAST
    end = date(earliest.year, *_YEAR_ENDS)
    return end if end >= earliest else end.replace(year=end.year + 1)


class ConsentText(models.Model):
    """A version of what is agreed to in a class. Never changed: another text is another version."""

    classroom = models.ForeignKey("evaluations.Classroom", on_delete=models.CASCADE, related_name="consent_texts")
    version = models.PositiveSmallIntegerField()
    text = models.TextField(max_length=MAX_CONSENT)
    made_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    made_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("classroom", "version")
        constraints = (models.UniqueConstraint(fields=("classroom", "version"), name="one_consent_text_per_version"),)

    def __str__(self) -> str:
        return f"version {self.version} for {self.classroom}"

    @property
    def sha256(self) -> str:
        """Of its words, hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


class ConsentQuerySet(models.QuerySet["Consent"]):
    def standing(self) -> Self:
        """Those that were not taken back."""
        return self.filter(withdrawn_at=None)


class Consent(models.Model):
    """A student has agreed to a version. It stays after it was taken back."""

    student = models.ForeignKey(User, on_delete=models.CASCADE, related_name="consents")
    text = models.ForeignKey(ConsentText, on_delete=models.CASCADE, related_name="consents")
    text_sha256 = models.CharField(max_length=64, help_text="Of the words that were agreed to.")
    agreed_at = models.DateTimeField(db_default=Now())
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    objects = ConsentQuerySet.as_manager()

    class Meta:
        ordering = ("pk",)
        constraints = (
            models.UniqueConstraint(
                fields=("student", "text"), condition=Q(withdrawn_at=None), name="agreed_once_to_a_version"
            ),
        )

    def __str__(self) -> str:
        return f"consent {self.pk}"


class Receipt(models.Model):
    """The record that something was removed for good: of whom by their number, nothing of what it said."""

    class Removed(models.TextChoices):
        VIDEO = "video", _("the video; transcript and rating stay")
        SUBMISSION = "submission", _("a submission with all that came of it")
        STUDENT = "student", _("a student with everything")

    what = models.CharField(max_length=10, choices=Removed.choices)
    whose = models.BigIntegerField(help_text="The account's number.")
    submission = models.UUIDField(null=True, help_text="Its id; empty: all of theirs.")
    classroom = models.ForeignKey(
        "evaluations.Classroom", null=True, on_delete=models.SET_NULL, related_name="receipts"
    )
    why = models.CharField(max_length=100)
    size = models.PositiveBigIntegerField(help_text="Bytes of what was handed in.")
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+", help_text="Empty: by itself.")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"receipt {self.pk}"
