"""Classes, rubrics, submissions and results in the admin; teachers who are staff see their own classes only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from evaluations.models import Classroom, Criterion, Evaluation, Form, Rubric, Submission, Transcript, Upload
from queueing.admin import TaskAdmin
from queueing.models import Task


class OwnClasses:
    """Rows of the classes that the user teaches; everything for a superuser. `teachers` is the path to them."""

    teachers = "submission__classroom__teachers"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]  # a mixin of ModelAdmin
        if request.user.is_superuser:
            return rows
        return rows.filter(Q(**{self.teachers: request.user.pk})).distinct()


class Result(OwnClasses):
    """What a stage produced: never edited, never made by hand."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Classroom)
class ClassroomAdmin(OwnClasses, admin.ModelAdmin[Classroom]):
    teachers = "teachers"
    list_display = ("name", "release", "rubric")
    filter_horizontal = ("teachers", "students")


class CriterionInline(admin.StackedInline[Criterion, Rubric]):
    model = Criterion
    extra = 0


@admin.register(Rubric)
class RubricAdmin(admin.ModelAdmin[Rubric]):
    inlines = (CriterionInline,)


@admin.register(Submission)
class SubmissionAdmin(Result, admin.ModelAdmin[Submission]):
    teachers = "classroom__teachers"
    list_display = ("id", "classroom", "student", "original_name", "size", "duration", "created_at")
    list_filter = ("classroom",)
    list_select_related = ("classroom", "student")
    search_fields = ("=id", "student__username", "original_name")


@admin.register(Transcript)
class TranscriptAdmin(Result, admin.ModelAdmin[Transcript]):
    list_display = ("submission", "language", "duration", "engine", "model", "simulated", "created_at")


@admin.register(Form)
class FormAdmin(Result, admin.ModelAdmin[Form]):
    list_display = ("submission", "engine", "model", "simulated", "created_at")


@admin.register(Evaluation)
class EvaluationAdmin(Result, admin.ModelAdmin[Evaluation]):
    list_display = ("submission", "overall", "demo_quality", "model", "released_at", "created_at")


@admin.register(Upload)
class UploadAdmin(Result, admin.ModelAdmin[Upload]):
    teachers = "classroom__teachers"
    list_display = ("id", "student", "classroom", "offset", "length", "submission", "created_at")


admin.site.unregister(Task)


@admin.register(Task)
class ClassTaskAdmin(OwnClasses, TaskAdmin):
    """The queue's own admin, narrowed to the teacher's classes."""
