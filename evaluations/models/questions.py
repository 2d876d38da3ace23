from __future__ import annotations

import uuid
from typing import Final

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q
from django.db.models.functions import Length, Now
from django.db.models.lookups import GreaterThan, LessThanOrEqual

COACH: Final = "coach"
"""The pipeline that answers what students ask about their own submissions."""

MAX_QUESTION: Final = 2000  # characters


class CoachQuestion(models.Model):
    """What a student asked the coach, and the answer as far as it is written; its state is that of its task.

    Deleted with the submission. Teachers of the class can read it.
    """

    class End(models.TextChoices):
        ANSWERED = "answered", "answered"
        CUT = "cut", "cut at its greatest length"
        DECLINED = "declined", "declined before a model was asked"
        WITHHELD = "withheld", "the model's answer is not shown"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    submission = models.ForeignKey("evaluations.Submission", on_delete=models.CASCADE, related_name="questions")
    student = models.ForeignKey(User, on_delete=models.CASCADE, related_name="questions", help_text="Who asked.")
    task = models.OneToOneField("queueing.Task", on_delete=models.CASCADE, related_name="question")
    text = models.TextField(max_length=MAX_QUESTION)
    language = models.CharField(max_length=10, help_text="Of the answer: that of the page, as a code.")

    answer = models.TextField(blank=True, help_text="So far, as it may be shown.")
    end = models.CharField(max_length=10, choices=End.choices, blank=True, help_text="Empty: it has not ended well.")
    why = models.CharField(max_length=20, blank=True, help_text="What was wrong, if declined or withheld.")
    restarts = models.PositiveSmallIntegerField(default=0, help_text="How often the answer began again.")
    model = models.CharField(max_length=100, blank=True, help_text="Empty: none was asked.")
    simulated = models.BooleanField(default=False)
    prompt_version = models.PositiveSmallIntegerField(default=0)
    prompt_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)

    asked_at = models.DateTimeField(db_default=Now())
    begun_at = models.DateTimeField(null=True, help_text="When a worker first took it.")
    first_text_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("asked_at", "pk")
        # The newest answers of a model, by which a wait is reckoned.
        indexes = (
            models.Index(
                fields=("asked_at",),
                condition=Q(end__gt="", model__gt="", begun_at__isnull=False),
                name="answered_lately",
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(GreaterThan(Length("text"), 0)) & Q(LessThanOrEqual(Length("text"), MAX_QUESTION)),
                name="question_of_a_bounded_length",
            ),
        )

    def __str__(self) -> str:
        return f"question {self.pk}"
