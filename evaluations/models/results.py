"""What the stages produce. A retry of a later stage leaves the earlier rows alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from evaluations.models.checksum import ChecksumField


class Transcript(models.Model):
    submission = models.OneToOneField("evaluations.Submission", on_delete=models.CASCADE, related_name="transcript")
    text = models.TextField()
    language = models.CharField(max_length=10)
    language_probability = models.FloatField()
    duration = models.FloatField(help_text="Seconds.")
    speech_seconds = models.FloatField()
    segments = models.JSONField(
        help_text="[{start, end, text, no_speech_probability, words: [{start, end, text, probability}]}], in seconds."
    )
    engine = models.CharField(max_length=40)
    model = models.CharField(max_length=100)
    simulated = models.BooleanField(default=False)
    sha256 = ChecksumField()
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"transcript of {self.submission_id}"


class Form(models.Model):
    """What the student said of themselves. Every field may be absent: nothing is guessed."""

    submission = models.OneToOneField("evaluations.Submission", on_delete=models.CASCADE, related_name="form")
    name = models.CharField(max_length=100, blank=True)
    age = models.PositiveSmallIntegerField(null=True, blank=True)
    hobbies = models.JSONField(default=list)
    career_goals = models.TextField(blank=True)
    strengths = models.JSONField(default=list)
    experience = models.TextField(blank=True)
    unsupported = models.JSONField(
        default=list, help_text="[{field, value}] that the model answered but the transcript doesn't say."
    )
    engine = models.CharField(max_length=40)
    model = models.CharField(max_length=100)
    simulated = models.BooleanField(default=False)
    sha256 = ChecksumField()
    created_at = models.DateTimeField(db_default=Now())

    FIELDS = ("name", "age", "hobbies", "career_goals", "strengths", "experience")

    def __str__(self) -> str:
        return f"form of {self.submission_id}"

    def answers(self) -> dict[str, object]:
        """Field → the student's answer; None where there is none."""
        return {field: getattr(self, field) or None for field in self.FIELDS}


class Evaluation(models.Model):
    """One rating. A submission may have several, of which `Submission.evaluation` is the one that counts.

    None is ever changed: only `released_at` is set later.
    """

    class Method(models.TextChoices):
        ITEMS = "items", "yes/no items"
        LEVELS = "levels", "levels, the method before"
        NONE = "none", "not rated: no model that can judge"

    submission = models.ForeignKey("evaluations.Submission", on_delete=models.CASCADE, related_name="ratings")
    method = models.CharField(max_length=10, choices=Method.choices, default=Method.ITEMS)
    rubric = models.ForeignKey(
        "evaluations.Rubric",
        null=True,
        on_delete=models.PROTECT,
        related_name="ratings",
        help_text="Empty before items.",
    )
    overall = models.FloatField(null=True, help_text="1–10, the weighted mean of the criteria; empty: not rated.")
    scores = models.JSONField(
        default=list,
        help_text="[{key, title, weight, score, items: [{key, statement, points, answer, credit, probability, "
        "sentences: [{sentence, quote, start, end}], …}]}]",
    )
    flags = models.JSONField(
        default=list, help_text="For the teacher: off_topic, spoken_instructions, uncertain, doubtful, damaged."
    )
    feedback = models.TextField()
    suggestions = models.JSONField(default=list)
    speech = models.JSONField(default=dict, help_text="Measured speaking facts: pace, pauses, fillers.")
    engine = models.CharField(max_length=40)
    model = models.CharField(max_length=100)
    simulated = models.BooleanField(default=False)
    provenance = models.JSONField(
        default=dict, help_text="What it came from: rubric, prompts, model's digest, options, transcript, raw answers."
    )
    seal = models.CharField(
        max_length=16,
        blank=True,
        help_text="Digest of what compared ratings must share: rubric, prompts, model, engine, kind of device.",
    )
    rerating = models.ForeignKey(
        "evaluations.Rerating",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="ratings",
        help_text="Whose order caused it; empty: the submission was handed in.",
    )
    sha256 = ChecksumField()
    released_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("created_at", "pk")
        constraints = (
            models.UniqueConstraint(
                fields=("submission", "rerating"), condition=Q(rerating__isnull=False), name="rated_once_an_order"
            ),
        )

    def __str__(self) -> str:
        return f"evaluation of {self.submission_id}"


@dataclass(frozen=True, slots=True)
class SubmissionResults:
    """What the stages have produced of one submission so far; None for what isn't there."""

    transcript: Transcript | None
    form: Form | None
    evaluation: Evaluation | None

    @classmethod
    def of(cls, submission_id: UUID) -> Self:
        return cls(
            Transcript.objects.filter(submission=submission_id).first(),
            Form.objects.filter(submission=submission_id).first(),
            Evaluation.objects.filter(current_of=submission_id).first(),
        )
