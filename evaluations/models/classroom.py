from __future__ import annotations

from typing import Final, Self

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Coalesce
from django.utils.timezone import localdate
from django.utils.translation import gettext as _

from evaluations.models.privacy import KEEP_VIDEOS_DAYS, school_year_end
from evaluations.models.submission import Submission
from evaluations.rating.rubric import BadRubricError


def shown_name(user: User) -> str:
    """How people see a person named."""
    return user.get_full_name() or user.username


PROMPTS: Final = {
    "en": "Introduce yourself: your name and age, your hobbies, what you would like to become, what you are good at, "
    "and something you have done.",
    "de": "Stell dich vor: deinen Namen und dein Alter, deine Hobbys, was du werden möchtest, was du gut kannst und "
    "etwas, das du gemacht hast.",
}
"""What a class is asked, by the language of its rubric."""


CLASSES_SHOWN: Final = 20  # of a page, with figures that are counted for these


class ClassroomQuerySet(models.QuerySet["Classroom"]):
    def attended_by(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        return self.filter(students=user.pk)

    def taught_by(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        return self.filter(teachers=user.pk)

    def with_figures(self) -> Self:
        """Annotates `student_count`, `submission_count` and `handed_in`, the number of students who handed in."""
        # Each in a subquery: joined, every student of a class would meet every submission of it.
        enrolled = Classroom.students.through.objects.filter(
            classroom=models.OuterRef("pk"), user__is_active=True
        ).order_by()
        submissions = Submission.objects.filter(classroom=models.OuterRef("pk")).order_by()
        return self.annotate(
            student_count=_counted(enrolled, models.Count("user")),
            submission_count=_counted(submissions, models.Count("student")),
            handed_in=_counted(submissions, models.Count("student", distinct=True)),
        )


def _counted(rows: models.QuerySet[models.Model], figure: models.Count) -> Coalesce:
    by_class = rows.values("classroom").annotate(figure=figure).values("figure")
    return Coalesce(models.Subquery(by_class), 0)


class Classroom(models.Model):
    """Teachers, students, the task that they are given, and the limits on submissions."""

    class Release(models.TextChoices):
        AT_ONCE = "at_once", "as soon as it is rated"
        AFTER_REVIEW = "after_review", "after a teacher's review"

    name = models.CharField(max_length=100, unique=True)
    teachers = models.ManyToManyField(User, related_name="classes_taught", blank=True)
    students = models.ManyToManyField(User, related_name="classes_attended", blank=True)
    prompt = models.TextField(default=PROMPTS["en"])
    rubric = models.ForeignKey("evaluations.Rubric", on_delete=models.PROTECT, related_name="classrooms")
    release = models.CharField(
        max_length=20,
        choices=Release.choices,
        default=Release.AFTER_REVIEW,
        help_text="When students see scores. After review, for a score should not reach a child before a person looked."
        " What is off topic or speaks to the rater waits for a person whatever is chosen.",
    )
    max_duration_seconds = models.PositiveIntegerField(default=600)
    max_submissions = models.PositiveIntegerField(default=20, help_text="Per student.")
    deadline = models.DateTimeField(null=True, blank=True, help_text="Nothing new can be handed in after it.")

    retries_at_sign_in = models.BooleanField(
        "try again at sign-in",
        default=False,
        db_default=False,
        help_text="What failed, though the recording is fine, is tried again once by itself when its student signs in.",
    )
    sums_up = models.BooleanField(
        "sum up by itself",
        default=False,
        db_default=False,
        help_text="Make a summary and a mind map of every video once it is rated. They come after everybody’s rating.",
    )
    has_coach = models.BooleanField(
        default=True,
        db_default=True,
        verbose_name="coach",
        help_text="Students may ask a language model about their own videos. Teachers can read what is asked and"
        " answered; students are told so.",
    )
    coach_priority = models.SmallIntegerField(
        default=0, db_default=0, help_text="Questions of classes with a higher one are answered first."
    )

    asks_consent = models.BooleanField(
        "ask for consent",
        default=False,
        db_default=False,
        help_text="Nothing is handed in before the student has agreed to the class’s text.",
    )
    keeps_videos_days = models.PositiveSmallIntegerField(
        "days that videos are kept",
        null=True,
        blank=True,
        default=KEEP_VIDEOS_DAYS,
        help_text="After the result is released; transcript and rating stay. Empty: until somebody deletes them.",
    )
    keeps_results_until = models.DateField(
        "everything is kept until",
        null=True,
        blank=True,
        default=school_year_end,
        help_text="What was handed in until then is deleted after it, of later years after the same day."
        " Empty: it is kept until somebody deletes it.",
    )

    objects = ClassroomQuerySet.as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        self._must_not_delete_at_once()
        if self.rubric_id:
            try:
                self.rubric.spec().validate()
            except BadRubricError as error:
                raise ValidationError({"rubric": str(error)}) from error

    def _must_not_delete_at_once(self) -> None:
        """A slip in a year would delete all that was handed in before that day at the next upkeep."""
        day, stored = self.keeps_results_until, Classroom.objects.filter(pk=self.pk).first()
        if day and day < localdate() and day != (stored and stored.keeps_results_until):
            words = _("That day is over: everything from before it would be deleted at once.")
            raise ValidationError({"keeps_results_until": words})

    def missing(self) -> models.QuerySet[User]:
        """Its students who have handed in nothing yet."""
        return self.students.filter(is_active=True).exclude(submissions__classroom=self).order_by("username")
