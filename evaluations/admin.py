"""Classes, rubrics, submissions and results in the admin; teachers who are staff see their own classes only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from evaluations.errors import catalogue
from evaluations.models import (
    Classroom,
    Criterion,
    Deletion,
    Evaluation,
    Form,
    Item,
    Rubric,
    Submission,
    Transcript,
    Upload,
)
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


class RubricPart:
    """A rubric or a part of one: read-only as soon as something was rated by it."""

    def rubric_of(self, row: Any) -> Rubric | None:
        raise NotImplementedError

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(super().has_change_permission(request, obj), obj)  # type: ignore[misc]  # a mixin

    def has_add_permission(self, request: HttpRequest, *parent: Any) -> bool:
        """An inline is asked with the row that it is part of, a page of its own without."""
        allowed = super().has_add_permission(request, *parent)  # type: ignore[misc]
        return self._may(allowed, parent[0] if parent else None)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(super().has_delete_permission(request, obj), obj)  # type: ignore[misc]

    def _may(self, allowed: bool, row: Any) -> bool:
        rubric = None if row is None else self.rubric_of(row)
        return allowed and not (rubric is not None and rubric.pk and rubric.is_used)


class ItemInline(RubricPart, admin.StackedInline[Item, Criterion]):
    model = Item
    extra = 0

    def rubric_of(self, row: Criterion) -> Rubric | None:
        return row.rubric


@admin.register(Criterion)
class CriterionAdmin(RubricPart, admin.ModelAdmin[Criterion]):
    """The items of one criterion; reached from its rubric."""

    list_display = ("title", "rubric", "weight")
    list_filter = (("rubric", admin.RelatedOnlyFieldListFilter),)
    inlines = (ItemInline,)

    def rubric_of(self, row: Criterion) -> Rubric | None:
        return row.rubric


class CriterionInline(RubricPart, admin.TabularInline[Criterion, Rubric]):
    model = Criterion
    extra = 0
    show_change_link = True  # to its items

    def rubric_of(self, row: Rubric) -> Rubric | None:
        return row


@admin.register(Rubric)
class RubricAdmin(RubricPart, admin.ModelAdmin[Rubric]):
    list_display = ("name", "version", "language", "is_used")
    inlines = (CriterionInline,)
    actions = ("make_new_version",)

    def rubric_of(self, row: Rubric) -> Rubric | None:
        return row

    @admin.display(boolean=True, description="used")
    def is_used(self, rubric: Rubric) -> bool:
        return rubric.is_used

    @admin.action(description="Copy as a new version, to be changed", permissions=["add"])
    def make_new_version(self, request: HttpRequest, rubrics: QuerySet[Rubric]) -> None:
        for rubric in rubrics:
            made = rubric.new_version()
            self.message_user(request, f"Made {made}. Classes go on with theirs until you choose it for them.")


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
    list_display = ("submission", "overall", "method", "rubric", "model", "released_at", "created_at")
    list_select_related = ("rubric",)


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
