from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final, Self

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from evaluations.models.results import SubmissionResults

if TYPE_CHECKING:
    from queueing.models import Task


EVALUATION: Final = "evaluation"
"""The pipeline that every submission goes through."""


class SubmissionQuerySet(models.QuerySet["Submission"]):
    def of_student(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        return self.filter(student=user.pk)

    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """A student's own, those of a teacher's classes, all of them for a superuser."""
        if user.is_active and getattr(user, "is_superuser", False):
            return self
        return self.filter(Q(student=user.pk) | Q(classroom__teachers=user.pk)).distinct()


class Submission(models.Model):
    """One student's one video, kept whatever happens to the work on it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    classroom = models.ForeignKey("evaluations.Classroom", on_delete=models.PROTECT, related_name="submissions")
    student = models.ForeignKey(User, on_delete=models.PROTECT, related_name="submissions")
    original_name = models.CharField(max_length=255, help_text="As the student named it; never part of a path.")
    path = models.CharField(max_length=255, help_text="Relative to MEDIA_ROOT.")
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_default=Now())

    # Probed by the transcription stage; empty until then.
    container = models.CharField(max_length=20, blank=True)
    duration = models.FloatField(null=True, blank=True, help_text="Seconds of decoded audio.")
    has_video = models.BooleanField(null=True)
    damaged_at = models.FloatField(
        null=True,
        blank=True,
        help_text="Seconds: where it is damaged first, or ends early; empty: it is whole.",
    )
    ends_early = models.BooleanField(default=False, help_text="It was cut off: bytes are missing at its end.")

    video_gone_at = models.DateTimeField(
        null=True, blank=True, help_text="When its file was removed, for the class keeps videos no longer."
    )

    evaluation = models.OneToOneField(
        "evaluations.Evaluation",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="current_of",
        help_text="Of its ratings, the one that counts.",
    )

    objects = SubmissionQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)
        indexes = (models.Index(fields=("-created_at",), name="newest_submission"),)
        constraints = (
            models.UniqueConstraint(
                fields=("classroom", "student", "sha256"), name="same_file_twice_is_one_submission"
            ),
        )

    def __str__(self) -> str:
        return f"submission {self.pk}"

    @property
    def evaluation_task(self) -> Task:
        """The newest task of the pipeline `evaluation`; created with the submission, so there always is one."""
        return self.tasks.select_related("batch").filter(pipeline=EVALUATION).latest("pk")

    def results(self) -> SubmissionResults:
        """Its transcript, form and evaluation as far as there are any, read now."""
        return SubmissionResults.of(self.pk)


class Deletion(models.Model):
    """The record of a deleted submission: whose it was, who deleted it and when; nothing of its content.

    It is nobody's once its student is erased.

    Its id is never used again: neither by a repeated request nor for another file.
    """

    id = models.UUIDField(primary_key=True, editable=False, help_text="The submission's.")
    classroom = models.ForeignKey("evaluations.Classroom", on_delete=models.CASCADE, related_name="deletions")
    student = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="deletions")
    handed_in_at = models.DateTimeField()
    was_refused = models.BooleanField(db_default=False, help_text="It was no recording that could be listened to.")
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    deleted_at = models.DateTimeField(db_default=Now())
    files_gone_at = models.DateTimeField(null=True, help_text="Empty until its files are removed from the disk.")

    class Meta:
        ordering = ("-deleted_at",)

    def __str__(self) -> str:
        return f"deletion of {self.pk}"


class Upload(models.Model):
    """An unfinished resumable upload (tus 1.0); its bytes so far are in UPLOADS_DIR/<id>."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    student = models.ForeignKey(User, on_delete=models.CASCADE, related_name="uploads")
    classroom = models.ForeignKey("evaluations.Classroom", on_delete=models.CASCADE, related_name="uploads")
    original_name = models.CharField(max_length=255, blank=True)
    length = models.PositiveBigIntegerField(null=True, blank=True, help_text="Bytes; empty while deferred.")
    offset = models.PositiveBigIntegerField(default=0, help_text="Bytes that are safely on disk.")
    submission = models.ForeignKey(Submission, null=True, blank=True, on_delete=models.SET_NULL, related_name="uploads")
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"upload {self.pk}"

    @property
    def is_recording(self) -> bool:
        """Whether it comes from the recorder: its id is derived from a client's own, see `intake.begin`."""
        return self.id.version == 5
