"""What teachers, and students who ask for another look, decide about ratings. A rating itself is never changed."""

from __future__ import annotations

import uuid
from typing import Final, Self

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from evaluations.models.results import Evaluation
from evaluations.rating.calibration import MAX_MARGIN

RERATING: Final = "rerating"
"""The pipeline that makes a rating again, for an order."""

REEXTRACTION: Final = "reextraction"
"""… and the one that fills in the form anew before."""


class ReviewDecision(models.Model):
    """One decision of a person on a submission; rows are only ever added.

    Of each kind and key the newest one of a rating counts. To undo is to decide again: what was before.
    """

    class Kind(models.TextChoices):
        ITEM = "item", "item"  # key: the item; value: true or false, null: as the program answered
        OVERALL = "overall", "overall score"  # value: 1–10, null: as computed from the items
        COMMENT = "comment", "comment to the student"  # value: text
        REVIEWED = "reviewed", "reviewed"  # value: true or false
        RELEASED = "released", "released"  # value: true or false
        ADOPTED = "adopted", "another rating counts"  # value: the id of the rating that counted before
        WORD = "word", "word of the transcript"  # key: its number; value: text
        APPEAL = "appeal", "asked for another look"  # value: the student's sentence
        ANSWER = "answer", "answered"  # value: text
        MARK = "mark", "marked blind"  # for calibration, counts for no score; key: the item; value: true or false

    submission = models.ForeignKey("evaluations.Submission", on_delete=models.CASCADE, related_name="decisions")
    evaluation = models.ForeignKey(
        "evaluations.Evaluation", on_delete=models.CASCADE, related_name="decisions", help_text="It is about this one."
    )
    kind = models.CharField(max_length=10, choices=Kind.choices)
    key = models.CharField(max_length=40, blank=True)
    value = models.JSONField(null=True)
    before = models.JSONField(null=True, help_text="The value that counted until then.")
    reason = models.TextField(blank=True)
    undoes = models.OneToOneField("self", null=True, on_delete=models.CASCADE, related_name="undone_by")
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("pk",)
        constraints = (
            models.UniqueConstraint(fields=("submission",), condition=Q(kind="appeal"), name="one_appeal_each"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.key} of {self.submission_id}".replace("  ", " ")


class ReratingQuerySet(models.QuerySet["Rerating"]):
    def awaited_for(self, submission_id: uuid.UUID) -> Self:
        """Those that contain the submission and have no rating of it yet, the newest first."""
        rated = Evaluation.objects.filter(submission=submission_id, rerating=models.OuterRef("pk"))
        return self.filter(~models.Exists(rated), submissions=submission_id).order_by("-pk")


class Rerating(models.Model):
    """A person's order to rate submissions again from the transcripts there are.

    Each of its ratings is a new row (`Evaluation.rerating`), and counts once a person adopts it.
    """

    classroom = models.ForeignKey("evaluations.Classroom", on_delete=models.CASCADE, related_name="reratings")
    rubric = models.ForeignKey("evaluations.Rubric", on_delete=models.PROTECT, related_name="reratings")
    submissions = models.ManyToManyField("evaluations.Submission", related_name="reratings")
    reason = models.CharField(max_length=200, blank=True)
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    adopted_at = models.DateTimeField(null=True, blank=True)

    objects = ReratingQuerySet.as_manager()

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"rerating {self.pk} of {self.classroom}"

    @property
    def owner_key(self) -> str:
        """Of its tasks: they take turns of their own, so that no student's next video comes later for them."""
        return f"rerating {self.pk}"


class StudentAllowance(models.Model):
    """What a teacher allows one student of a class beyond the class's limits."""

    classroom = models.ForeignKey("evaluations.Classroom", on_delete=models.CASCADE, related_name="allowances")
    student = models.ForeignKey(User, on_delete=models.CASCADE, related_name="allowances")
    more_submissions = models.PositiveSmallIntegerField(default=0)
    deadline = models.DateTimeField(null=True, blank=True, help_text="In place of the class's.")
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = (models.UniqueConstraint(fields=("classroom", "student"), name="one_allowance_each"),)

    def __str__(self) -> str:
        return f"allowance of {self.student} in {self.classroom}"


class CalibrationFit(models.Model):
    """How far to believe a model's probabilities by a rubric, fitted to marks of teachers. The newest counts."""

    rubric = models.ForeignKey("evaluations.Rubric", on_delete=models.CASCADE, related_name="calibrations")
    model_sha256 = models.CharField(max_length=100, help_text="The model's digest, as its server tells it.")
    prompts = models.PositiveIntegerField(
        default=0, help_text="Version of the prompts that the marked ratings were made by; others get other answers."
    )
    slope = models.FloatField()
    intercepts = models.JSONField(help_text="Of each item, by key.")
    margin = models.FloatField(default=MAX_MARGIN, help_text="Probabilities that are closer to 0.5 are uncertain.")
    submissions = models.PositiveIntegerField(help_text="Marked ones that it was fitted to.")
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"calibration of {self.model_sha256[:12]} for {self.rubric}"
