"""Classes, rubrics, submissions and results in the admin; teachers who are staff see their own classes only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.forms import BaseInlineFormSet, ModelForm
from django.http import HttpRequest

from evaluations.errors import catalogue
from evaluations.models import Classroom, Criterion, Deletion, Evaluation, Form, Rubric, Submission, Transcript, Upload
from queueing.admin import AttemptAdmin, EventAdmin, TaskAdmin
from queueing.admin.confirmation import ReadOnly
from queueing.admin.tasks import AttemptInline, EventInline
from queueing.models import Attempt, Event, Task


class OwnClasses:
    """Limits rows to the classes that the user teaches; not for superusers. `teachers` is the lookup path to them."""

    teachers = "submission__classroom__teachers"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]  # a mixin of ModelAdmin
        if request.user.is_superuser:
            return rows
        return rows.filter(Q(**{self.teachers: request.user.pk})).distinct()


class ResultAdmin(OwnClasses, ReadOnly):
    """What a stage produced: never edited, never created by hand."""


@admin.register(Classroom)
class ClassroomAdmin(OwnClasses, admin.ModelAdmin[Classroom]):
    teachers = "teachers"
    list_display = ("name", "release", "rubric")
    filter_horizontal = ("teachers", "students")
    # A widget to choose users would list all of the site; names, members and limits are the operator's to set.
    operator_fields = ("name", "teachers", "students", "max_duration_seconds", "max_submissions")

    def get_readonly_fields(self, request: HttpRequest, obj: Classroom | None = None) -> tuple[str, ...]:
        return () if request.user.is_superuser else self.operator_fields


class CriteriaFormSet(BaseInlineFormSet[Criterion, Rubric, ModelForm[Criterion]]):
    """Refuses a rubric without a scorable criterion: the mean of nothing is no score."""

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return  # shown beside the criterion already
        kept = [form.cleaned_data for form in self.forms if not form.cleaned_data.get("DELETE")]
        if all(each.get("basis", Criterion.Basis.COMPUTED) == Criterion.Basis.COMPUTED for each in kept):
            raise ValidationError("At least one criterion must be judged or measured.")


class CriterionInline(admin.StackedInline[Criterion, Rubric]):
    model = Criterion
    formset = CriteriaFormSet
    extra = 0


@admin.register(Rubric)
class RubricAdmin(admin.ModelAdmin[Rubric]):
    inlines = (CriterionInline,)


@admin.register(Submission)
class SubmissionAdmin(ResultAdmin, admin.ModelAdmin[Submission]):
    teachers = "classroom__teachers"
    list_display = ("id", "classroom", "student", "original_name", "size", "duration", "created_at")
    list_filter = (("classroom", admin.RelatedOnlyFieldListFilter),)
    list_select_related = ("classroom", "student")
    search_fields = ("=id", "student__username", "original_name")


@admin.register(Deletion)
class DeletionAdmin(ResultAdmin, admin.ModelAdmin[Deletion]):
    teachers = "classroom__teachers"
    list_display = ("id", "classroom", "student", "handed_in_at", "by", "deleted_at")
    list_filter = (("classroom", admin.RelatedOnlyFieldListFilter),)
    list_select_related = ("classroom", "student", "by")


@admin.register(Transcript)
class TranscriptAdmin(ResultAdmin, admin.ModelAdmin[Transcript]):
    list_display = ("submission", "language", "duration", "engine", "model", "simulated", "created_at")


@admin.register(Form)
class FormAdmin(ResultAdmin, admin.ModelAdmin[Form]):
    list_display = ("submission", "engine", "model", "simulated", "created_at")


@admin.register(Evaluation)
class EvaluationAdmin(ResultAdmin, admin.ModelAdmin[Evaluation]):
    list_display = ("submission", "overall", "demo_quality", "model", "released_at", "created_at")


@admin.register(Upload)
class UploadAdmin(ResultAdmin, admin.ModelAdmin[Upload]):
    teachers = "classroom__teachers"
    list_display = ("id", "student", "classroom", "offset", "length", "submission", "created_at")


admin.site.unregister((Task, Attempt, Event))


class ErrorTitle:
    """Shows an error by its title in the catalogue, as students and the API see it, with the code to search for."""

    @admin.display(description="error", ordering="error_code")
    def error(self, row: Task | Attempt) -> str:
        return f"{catalogue.explain(row.error_code).title} ({row.error_code})" if row.error_code else ""


class ClassAttemptInline(ErrorTitle, AttemptInline):
    pass


@admin.register(Task)
class ClassTaskAdmin(ErrorTitle, OwnClasses, TaskAdmin):
    """The queue's own admin, limited to the teacher's classes; a task is shown as a student's video."""

    list_display = ("id", "student", "video", "stage", "status_word", "error", "created_at")
    inlines = (ClassAttemptInline, EventInline)
    list_select_related = (*TaskAdmin.list_select_related, "submission__student")
    search_fields = (*TaskAdmin.search_fields, "submission__student__username", "submission__original_name")

    @admin.display(ordering="submission__student__username")
    def student(self, task: Task) -> str:
        student = task.submission.student
        return student.get_full_name() or student.username

    @admin.display(ordering="submission__original_name")
    def video(self, task: Task) -> str:
        return task.submission.original_name

    def describe(self, row: Task) -> str:
        return f"{self.student(row)}, {self.video(row)}: {super().describe(row)}"


@admin.register(Attempt)
class ClassAttemptAdmin(ErrorTitle, OwnClasses, AttemptAdmin):
    teachers = "task__submission__classroom__teachers"


@admin.register(Event)
class ClassEventAdmin(OwnClasses, EventAdmin):
    """Events of tasks; those of nodes are shown to superusers only."""

    teachers = "task__submission__classroom__teachers"
