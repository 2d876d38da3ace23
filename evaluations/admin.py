"""Classes, rubrics, submissions and results in the admin; teachers who are staff see their own classes only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Concat, NullIf, Trim
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.timezone import localtime

from evaluations.access import limits
from evaluations.access.members.roster import is_plain_student
from evaluations.access.permissions import changeable_rubrics, classrooms_taught, signed_in
from evaluations.actions import trail
from evaluations.errors import catalogue
from evaluations.errors.refusals import RefusedError
from evaluations.models import (
    EVALUATION,
    Classroom,
    CoachQuestion,
    Consent,
    ConsentText,
    Criterion,
    Deletion,
    Evaluation,
    Form,
    Item,
    Receipt,
    Rubric,
    Submission,
    TrailEntry,
    Transcript,
    Upload,
    shown_name,
)
from evaluations.pages.board.export import MIME_TYPES, ExportTable
from evaluations.uploads.privacy import erasing
from evaluations.uploads.privacy.erasing import NotErasedError
from queueing.admin import AttemptAdmin, EventAdmin, TaskAdmin
from queueing.admin.confirmation import MAX_ROWS, AdminAction, ConfirmedActions, ReadOnly, RecentValues
from queueing.admin.tasks import SUMMARY, AttemptInline, EventInline
from queueing.models import Attempt, Event, Task
from queueing.states import State


class OwnClasses:
    """Limits rows to the classes that the user teaches; not for superusers. `teachers` is the lookup path to them."""

    teachers = "submission__classroom__teachers"

    class Media:
        css: ClassVar[dict[str, tuple[str, ...]]] = {"all": ("evaluations/admin.css",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]  # a mixin of ModelAdmin
        if request.user.is_superuser:
            return rows
        to_class = self.teachers.removesuffix("teachers").removesuffix("__") or "pk"
        return rows.filter(**{f"{to_class}__in": classrooms_taught(signed_in(request))})

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)  # type: ignore[misc]
        if found is not None and request.method == "GET":
            trail.looked(found, signed_in(request))
        return found

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "GET" and self.has_view_permission(request):  # type: ignore[attr-defined]
            trail.looked(self.model, signed_in(request))  # type: ignore[attr-defined]
        shown: HttpResponse = super().changelist_view(request, extra_context)  # type: ignore[misc]
        return shown


class OwnClassFilter(admin.RelatedFieldListFilter):
    """The classes that the user teaches, also those without rows: to know which have some, all would be read."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[Any]:
        return [(one.pk, str(one)) for one in classrooms_taught(signed_in(request)).order_by("name")]


def people(to_submission: str) -> tuple[str, ...]:
    """What a search looks for in a student and a class, by the lookup path to the submission."""
    student = ("username", "first_name", "last_name")
    return (
        *(f"{to_submission}student__{name}" for name in student),
        f"{to_submission}classroom__name",
        f"{to_submission}original_name",
    )


class ResultAdmin(OwnClasses, ReadOnly):
    """What a stage produced: never edited, never created by hand."""


class OfSubmission:
    """Rows of one submission each: whose it is, of which class, and a link to its page on the site."""

    @admin.display(description="student", ordering="submission__student__username")
    def student(self, row: Any) -> str:
        return shown_name(row.submission.student)

    @admin.display(description="class", ordering="submission__classroom__name")
    def classroom(self, row: Any) -> str:
        return str(row.submission.classroom)

    @admin.display(description="on the site")
    def on_site(self, row: Any) -> SafeString:
        return page_link(row.submission)


def page_link(submission: Submission) -> SafeString:
    return format_html('<a href="{}">result page</a>', reverse("submission", args=[submission.pk]))


class OfSubmissionAdmin(OfSubmission, ResultAdmin):
    """A result of a submission."""

    list_filter: ClassVar[Any] = (("submission__classroom", OwnClassFilter),)
    list_select_related: ClassVar[Any] = ("submission__student", "submission__classroom")
    search_fields: ClassVar[Any] = ("=submission__id", *people("submission__"))
    readonly_fields: ClassVar[Any] = ("on_site",)


class ErrorFilter(admin.SimpleListFilter):
    """Errors that there were lately, by their titles in the catalogue."""

    title = "error"
    parameter_name = "error_code"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Iterator[tuple[str, str]]:
        newest = model_admin.get_queryset(request).order_by("-pk")
        for code in sorted(set(newest.values_list("error_code", flat=True)[:MAX_ROWS]) - {""}):
            yield code, catalogue.explain(code).title

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(error_code=self.value()) if self.value() else rows


@admin.register(Classroom)
class ClassroomAdmin(OwnClasses, admin.ModelAdmin[Classroom]):
    teachers = "teachers"
    list_display = ("name", "release", "rubric")
    filter_horizontal = ("teachers", "students")
    # A widget to choose users would list all of the site; names, members and limits are the operator's to set.
    operator_fields = ("name", "teachers", "students", "max_duration_seconds", "max_submissions")
    search_fields = ("name",)
    actions = ("retry_failed",)

    @admin.action(description="Retry all failed of this class", permissions=["change"])
    def retry_failed(self, request: HttpRequest, classrooms: QuerySet[Classroom]) -> HttpResponse | None:
        """To the page of tasks that asks before anything is done."""
        of_them = Submission.objects.filter(classroom__in=classrooms.order_by())
        newest = Task.objects.filter(pipeline=EVALUATION, submission__in=of_them.order_by())
        newest = newest.order_by("submission_id", "-pk").distinct("submission_id")
        failed = [str(task.pk) for task in newest if task.state == State.FAILED]
        if not failed:
            self.message_user(request, "Nothing has failed there.", messages.INFO)
            return None
        return HttpResponseRedirect(
            f"{reverse('admin:queueing_task_act', args=['retry'])}?{urlencode({'rows': ','.join(failed)})}"
        )

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"asks_consent": True, **super().get_changeform_initial_data(request)}

    def get_readonly_fields(self, request: HttpRequest, obj: Classroom | None = None) -> tuple[str, ...]:
        return () if request.user.is_superuser else self.operator_fields


class RubricPart:
    """A rubric or a part of one: read-only unless it is one of `changeable_rubrics`."""

    def rubric_of(self, row: Any) -> Rubric | None:
        raise NotImplementedError

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, super().has_change_permission(request, obj), obj)  # type: ignore[misc]  # a mixin

    def has_add_permission(self, request: HttpRequest, *parent: Any) -> bool:
        """An inline is asked with the row that it is part of, a page of its own without."""
        allowed = super().has_add_permission(request, *parent)  # type: ignore[misc]
        return self._may(request, allowed, parent[0] if parent else None)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, super().has_delete_permission(request, obj), obj)  # type: ignore[misc]

    def _may(self, request: HttpRequest, allowed: bool, row: Any) -> bool:
        rubric = None if row is None else self.rubric_of(row)
        if not allowed or rubric is None or not rubric.pk:
            return allowed
        return changeable_rubrics(signed_in(request)).filter(pk=rubric.pk).exists()


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

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """A criterion can be moved to, or made for, no rubric that may not be changed."""
        if db_field.name == "rubric":
            kwargs["queryset"] = changeable_rubrics(signed_in(request))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


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
    change_form_template = "admin/queueing/change_form.html"

    def rubric_of(self, row: Rubric) -> Rubric | None:
        return row

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """With a link for each of the user's classes to where the rubric is tried on it."""
        query = urlencode({"rubric": object_id})
        tools = [
            (f"Try it on {classroom}", f"{reverse('reratings', args=[classroom.pk])}?{query}")
            for classroom in classrooms_taught(signed_in(request))
        ]
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "tools": tools})

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
    list_display = ("named", "classroom", "original_name", "duration", "created_at", "on_site")
    list_filter = (("classroom", OwnClassFilter),)
    list_select_related = ("classroom", "student")
    search_fields = ("=id", *people(""))
    readonly_fields = ("on_site",)

    @admin.display(description="student", ordering="student__username")
    def named(self, submission: Submission) -> str:
        return shown_name(submission.student)

    @admin.display(description="on the site")
    def on_site(self, submission: Submission) -> SafeString:
        return page_link(submission)


@admin.register(Deletion)
class DeletionAdmin(ResultAdmin, admin.ModelAdmin[Deletion]):
    teachers = "classroom__teachers"
    list_display = ("id", "classroom", "student", "handed_in_at", "by", "deleted_at")
    list_filter = (("classroom", OwnClassFilter),)
    list_select_related = ("classroom", "student", "by")
    search_fields = ("=id", "student__username", "student__first_name", "student__last_name", "classroom__name")


@admin.register(Consent)
class ConsentAdmin(ResultAdmin, admin.ModelAdmin[Consent]):
    teachers = "text__classroom__teachers"
    list_display = ("student", "text", "text_sha256", "agreed_at", "withdrawn_at")
    list_filter = (("text__classroom", OwnClassFilter),)
    list_select_related = ("student", "text__classroom")
    search_fields = ("student__username", "student__first_name", "student__last_name")


@admin.register(ConsentText)
class ConsentTextAdmin(ResultAdmin, admin.ModelAdmin[ConsentText]):
    """What was agreed to, version by version; another one is made on the class's page."""

    teachers = "classroom__teachers"
    list_display = ("classroom", "version", "made_by", "made_at", "sha256")
    list_filter = (("classroom", OwnClassFilter),)
    list_select_related = ("classroom", "made_by")


@admin.register(Receipt)
class ReceiptAdmin(ResultAdmin, admin.ModelAdmin[Receipt]):
    """What was removed for good. Those of erased students are of no class: superusers see them."""

    teachers = "classroom__teachers"
    list_display = ("id", "what", "whose", "submission", "classroom", "why", "size", "by", "at")
    list_filter = ("what", ("classroom", OwnClassFilter))
    list_select_related = ("classroom", "by")
    search_fields = ("=whose", "=submission")


@admin.register(Transcript)
class TranscriptAdmin(OfSubmissionAdmin, admin.ModelAdmin[Transcript]):
    list_display = ("student", "classroom", "language", "duration", "model", "created_at", "on_site")


@admin.register(Form)
class FormAdmin(OfSubmissionAdmin, admin.ModelAdmin[Form]):
    list_display = ("student", "classroom", "model", "claims", "created_at", "on_site")
    readonly_fields = ("claims", "listed_hobbies", "listed_strengths", "on_site")
    exclude = ("unsupported", "hobbies", "strengths")

    @admin.display(description="claims without evidence")
    def claims(self, form: Form) -> str:
        """What the model answered but the transcript doesn't say, in words."""
        return "; ".join(f"{_field(claim['field'])}: {_listed(claim['value'])}" for claim in form.unsupported)

    @admin.display(description="hobbies")
    def listed_hobbies(self, form: Form) -> str:
        return _listed(form.hobbies)

    @admin.display(description="strengths")
    def listed_strengths(self, form: Form) -> str:
        return _listed(form.strengths)


def _field(name: str) -> str:
    return str(name).replace("_", " ")


def _listed(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


@admin.register(Evaluation)
class EvaluationAdmin(OfSubmissionAdmin, admin.ModelAdmin[Evaluation]):
    list_display = ("student", "classroom", "overall", "rubric", "model", "released_at", "created_at", "on_site")
    list_filter = (*OfSubmissionAdmin.list_filter, ("method", RecentValues))
    list_select_related = (*OfSubmissionAdmin.list_select_related, "rubric")


@admin.register(CoachQuestion)
class CoachQuestionAdmin(OfSubmissionAdmin, admin.ModelAdmin[CoachQuestion]):
    """What students asked the coach, and what they were shown."""

    list_display = ("asked_at", "named", "classroom", "beginning", "status", "end", "why", "model", "on_site")
    list_display_links = ("asked_at", "beginning")
    list_filter = (*OfSubmissionAdmin.list_filter, "end", ("why", RecentValues), ("model", RecentValues))
    list_select_related = (*OfSubmissionAdmin.list_select_related, "student", "task__batch")
    search_fields = ("=id", *OfSubmissionAdmin.search_fields, "text", "answer")
    ordering = ("-asked_at", "-pk")
    readonly_fields = ("status", "on_site")

    @admin.display(description="student", ordering="student__username")
    def named(self, question: CoachQuestion) -> str:
        return shown_name(question.student)

    @admin.display(description="question", ordering="text")
    def beginning(self, question: CoachQuestion) -> str:
        return Truncator(question.text).chars(80)

    @admin.display(description="status")
    def status(self, question: CoachQuestion) -> str:
        return str(question.task.status.label)


@admin.register(Upload)
class UploadAdmin(ResultAdmin, admin.ModelAdmin[Upload]):
    teachers = "classroom__teachers"
    list_display = ("id", "student", "classroom", "offset", "length", "submission", "created_at")
    list_filter = (("classroom", OwnClassFilter),)
    list_select_related = ("student", "classroom", "submission")


admin.site.unregister((Task, Attempt, Event))


class ErrorTitle:
    """Shows an error by its title in the catalogue, as students and the API see it, with the code to search for."""

    @admin.display(description="error", ordering="error_code")
    def error(self, row: Task | Attempt) -> str:
        return f"{catalogue.explain(row.error_code).title} ({row.error_code})" if row.error_code else ""


class ClassAttemptInline(ErrorTitle, AttemptInline):
    pass


@admin.register(Task)
class ClassTaskAdmin(ErrorTitle, OfSubmission, OwnClasses, TaskAdmin):
    """The queue's own admin, limited to the teacher's classes; a task is shown as a student's video."""

    list_display = ("id", "student", "classroom", "video", "status_word", "error", "created_at", "on_site")
    list_filter = (("submission__classroom", OwnClassFilter), "state", ("stage", RecentValues), ErrorFilter)
    inlines = (ClassAttemptInline, EventInline)
    list_select_related = (*TaskAdmin.list_select_related, "submission__student", "submission__classroom")
    search_fields = (*TaskAdmin.search_fields, *people("submission__"))
    readonly_fields = (*TaskAdmin.readonly_fields, "on_site", "explained")
    fieldsets = ((None, {"fields": (*SUMMARY, "explained", "on_site")}), *TaskAdmin.fieldsets[1:])

    @admin.display(ordering="submission__original_name")
    def video(self, task: Task) -> str:
        return task.submission.original_name

    @admin.display(description="what it means")
    def explained(self, task: Task) -> str:
        """The error as the student reads it."""
        if not task.error_code:
            return ""
        words = catalogue.explain(task.error_code)
        return f"{words.what} {words.todo}"

    def act(self, request: HttpRequest, name: str) -> HttpResponse:
        if request.method == "POST" and self.has_act_permission(request):
            limits.spend_moves(signed_in(request), {task.submission_id for task in self._rows(request)})
        return super().act(request, name)

    def describe(self, row: Task) -> str:
        return f"{self.student(row)}, {self.video(row)}: {super().describe(row)}"


@admin.register(Attempt)
class ClassAttemptAdmin(ErrorTitle, OwnClasses, AttemptAdmin):
    teachers = "task__submission__classroom__teachers"
    list_display = ("task", "stage", "outcome", "error", "began_at", "ended_at", "compute_seconds")
    list_filter = (("outcome", RecentValues), ("stage", RecentValues), ErrorFilter)


@admin.register(Event)
class ClassEventAdmin(OwnClasses, EventAdmin):
    """Events of tasks; those of nodes are shown to superusers only."""

    teachers = "task__submission__classroom__teachers"


def _erasure(students: Sequence[User]) -> list[str]:
    found = erasing.candidates(User(is_superuser=True), User.objects.filter(pk__in=[one.pk for one in students]))
    others, videos = len(students) - len(found), sum(one.videos for one in found)
    goes = (
        f"{len(found)} student accounts go for good, with {videos} videos and all that came of them: transcripts,"
        " forms, results, questions to the coach, decisions. Work on them stops. This can't be undone; a receipt"
        " without a name stays."
    )
    backups = "Backups that were made before still have everything: delete those, or keep them no longer than you may."
    return [goes, backups, *([f"{others} of these accounts are no student's and are left alone."] if others else [])]


def _erase(students: Sequence[User], *, by: str) -> tuple[str, bool]:
    person = User.objects.get(pk=int(by.removeprefix("admin:")))
    receipts, left = [], 0
    for student in students:
        try:
            receipts.append(str(erasing.erase(student=student, by=person).pk))
        except (NotErasedError, RefusedError):  # of the staff, or handing something in at this moment
            left += 1
    parts = [f"{len(receipts)} erased, receipts {', '.join(receipts)}" if receipts else "None erased"]
    parts += [f"{left} left: no student's account, or handing something in at this moment"] if left else []
    return "; ".join(parts) + ".", not left


admin.site.unregister(User)


@admin.register(User)
class AccountAdmin(ConfirmedActions[User], UserAdmin[User]):
    """Django's own, which can't delete a student: what they handed in and where they are named would stay."""

    confirmed_actions = {"erase": AdminAction("Erase for good", _erasure, _erase, forms.Form, is_plain_student)}

    def has_act_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj and is_plain_student(obj))

    def describe(self, row: User) -> str:
        return f"{shown_name(row)} ({row.username})"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "has_history": True})


def name_of(column: str) -> Subquery:
    """The name of the user whose id is in a column; NULL where there is none, or none any more."""
    whole = Trim(Concat("first_name", Value(" "), "last_name"))
    named = User.objects.filter(pk=OuterRef(column)).annotate(shown=Coalesce(NullIf(whole, Value("")), "username"))
    return Subquery(named.values("shown"))


class PersonFilter(admin.SimpleListFilter):
    """The people whom the newest entries name; those who are gone, by number."""

    column: ClassVar[str]

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        newest = model_admin.get_queryset(request).order_by("-pk").exclude(**{f"{self.column}_id": None})
        found = {
            key: name or f"no. {key}" for key, name in newest.values_list(f"{self.column}_id", self.column)[:MAX_ROWS]
        }
        return sorted(((str(key), name) for key, name in found.items()), key=lambda each: each[1])

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        wanted = self.value() or ""
        return rows.filter(**{f"{self.column}_id": int(wanted)}) if wanted.isdigit() and len(wanted) < 10 else rows


class ActorFilter(PersonFilter):
    title, parameter_name, column = "who", "who", "actor"


class StudentFilter(PersonFilter):
    title, parameter_name, column = "student", "student", "student"


@admin.register(TrailEntry)
class TrailEntryAdmin(ReadOnly, admin.ModelAdmin[TrailEntry]):
    """The audit trail, for superusers: a list with filters, and what they leave of it as CSV."""

    list_display = ("moment", "who", "verb", "kind", "key", "whose", "classroom_id", "address", "detail")
    list_display_links = None
    list_filter = ("verb", ActorFilter, StudentFilter, ("kind", RecentValues))
    date_hierarchy = "at"
    search_fields = ("=key", "=address", "program")
    ordering = ("-pk",)
    change_list_template = "admin/trail.html"

    def has_view_permission(self, request: HttpRequest, obj: TrailEntry | None = None) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[TrailEntry]:
        """With the names of those whom the rows name by id."""
        rows = super().get_queryset(request)
        return rows.annotate(actor=name_of("actor_id"), student=name_of("student_id"))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(limits.paced("GET")(self.as_csv))
        as_csv = path("csv/", view, name="evaluations_trailentry_csv")
        return [as_csv, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "query": request.GET.urlencode()})

    def as_csv(self, request: HttpRequest) -> HttpResponse:
        """All rows that the list's filters leave."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.get_changelist_instance(request).get_queryset(request)
        cells = [
            [
                _moment(row),
                *(self.who(row), row.verb, row.kind, row.key, self.whose(row)),
                *(row.classroom_id, row.address, json.dumps(row.detail)),
            ]
            for row in rows.iterator()
        ]
        trail.record_kind(trail.Verb.EXPORTED, "trailentry", filters=sorted(request.GET))
        head = ["at", "who", "verb", "kind", "key", "student", "class", "address", "detail"]
        file = ExportTable("audit trail", head, cells).as_format("csv")
        disposition = {"Content-Disposition": 'attachment; filename="audit-trail.csv"'}
        return HttpResponse(file, content_type=MIME_TYPES["csv"], headers=disposition)

    @admin.display(description="at", ordering="at")
    def moment(self, entry: TrailEntry) -> str:
        return f"{localtime(entry.at):%Y-%m-%d %H:%M:%S}"

    @admin.display(description="who", ordering="actor_id")
    def who(self, entry: TrailEntry) -> str:
        return entry.program or getattr(entry, "actor", None) or f"no. {entry.actor_id}"

    @admin.display(description="student", ordering="student_id")
    def whose(self, entry: TrailEntry) -> str:
        name: str | None = getattr(entry, "student", None)
        return name or ("" if entry.student_id is None else f"no. {entry.student_id}")


def _moment(entry: TrailEntry) -> datetime:
    return localtime(entry.at).replace(tzinfo=None, microsecond=0)
