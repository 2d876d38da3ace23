"""What the pipelines `summary` and `mind_map` make of a transcript: the newest one of each, with where it came from."""

from __future__ import annotations

from typing import Final

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

SUMMARY: Final = "summary"
"""The pipeline that sums a transcript up."""

MIND_MAP: Final = "mind_map"
"""The pipeline that draws a mind map of it."""


class Topic(models.TextChoices):
    """What a branch of a mind map is about: a model chooses one, so that it can't invent a title."""

    PERSON = "person", _("About me")
    FAMILY = "family", _("Family and friends")
    SCHOOL = "school", _("School")
    HOBBIES = "hobbies", _("Free time")
    STRENGTHS = "strengths", _("Strengths")
    EXPERIENCE = "experience", _("Experience")
    PLANS = "plans", _("Plans")
    OTHER = "other", _("More")


class TranscriptExtract(models.Model):
    """Made of one submission's transcript by a model, each part with a quote that shows it.

    A part is `{text, sentence, quote, start, end}`: the model's words, the number of the sentence from 1, the sentence
    word for word, and its times in seconds. Written when a task succeeds and at no other time; a newer one replaces it.
    """

    submission = models.OneToOneField("evaluations.Submission", on_delete=models.CASCADE, related_name="%(class)s")
    dropped = models.PositiveSmallIntegerField(help_text="Parts that the model wrote but the transcript doesn't say.")
    transcript_sha256 = models.CharField(max_length=64, help_text="Of the sentences it was made from.")
    prompts = models.PositiveSmallIntegerField(help_text="The prompts' version.")
    engine = models.CharField(max_length=40)
    model = models.CharField(max_length=100)
    model_sha256 = models.CharField(max_length=100, blank=True, help_text="Its digest, where its server tells it.")
    simulated = models.BooleanField(default=False)
    seconds = models.FloatField(help_text="That the model took, in all calls.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        abstract = True


class Summary(TranscriptExtract):
    sentences = models.JSONField(help_text="At most five parts, in the order of the speech.")
    key_points = models.JSONField(help_text="At most five parts of a few words each.")

    class Meta:
        verbose_name_plural = "summaries"

    def __str__(self) -> str:
        return f"summary of {self.submission_id}"


class MindMap(TranscriptExtract):
    branches = models.JSONField(help_text="At most four {topic, leaves}; leaves are at most five parts.")

    def __str__(self) -> str:
        return f"mind map of {self.submission_id}"
