"""Tasks and what happened to them. A task's page shows its history: attempts with their waits, and every event."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin
from django.db.models import F, OuterRef, QuerySet, Subquery, Window
from django.db.models.functions import Coalesce, Lag, Now
from django.http import HttpRequest
from django.utils.timezone import localtime

from queueing import actions, pipelines
from queueing.admin.confirmation import AdminAction, ConfirmedActionsAdmin, ReadOnly, ReasonForm, RecentValues
from queueing.models import Attempt, Event, Task
from queueing.report import durations
from queueing.states import IN_PLACE

_PREVIEWS: Final = {
    "retry": "{} will be queued: each goes on at the stage where it ended; what was found before stays.",
    "cancel": "{} will be cancelled: one that runs stops within seconds; the video and earlier results stay.",
    "requeue": "{} will be queued again: one that runs is taken from its worker, one that waits is due at once.",
    "put_first": "{} will come before all others of their line. Whom they pass reads your reason on their page.",
    "put_last": "{} will come after all who are in the line now. Their students read your reason on their page.",
}


def _preview(verb: str, tasks: Sequence[Task]) -> list[str]:
    found = actions.forecast(verb, tasks=tasks)
    return [_PREVIEWS[verb].format(len(found.moved)), *([f"{found.skips}."] if found.skips else [])]


def _run(verb: str, tasks: Sequence[Task], *, by: str, reason: str) -> tuple[str, bool]:
    report = actions.act(verb, tasks=tasks, by=by, reason=reason)
    return str(report), not report.skipped


def _action(name: str, label: str) -> AdminAction:
    form = ShownReasonForm if name in actions.PUT else ReasonForm
    return AdminAction(label, partial(_preview, name), partial(_run, name), form, partial(actions.fits, name))


class ShownReasonForm(ReasonForm):
    """Why somebody does it, in words for the students whom it concerns."""

    reason = forms.CharField(max_length=300, widget=forms.TextInput({"class": "vTextField"}))


class Erring:
    """Rows that may have an error; an app with a text for its code overrides this."""

    @admin.display(description="error", ordering="error_code")
    def error(self, row: Task | Attempt) -> str:
        return row.error_code


class AttemptInline(Erring, ReadOnly, admin.TabularInline[Attempt, Task]):
    model = Attempt
    extra = 0
    fields = readonly_fields = ("worker", "waited", "began", "took", "computed", "outcome", "error", "detail")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Attempt]:
        """With `queued_at`: when the wait for this attempt began."""
        before = Event.objects.filter(task=OuterRef("task"), at__lt=OuterRef("began_at"))
        queued = before.exclude(kind__in=("claim", *IN_PLACE)).order_by("-sequence").values("at")[:1]
        # To the database's clock: while it runs, what has passed so far.
        until = Coalesce("ended_at", Now())
        found = super().get_queryset(request).select_related("worker")
        return found.annotate(wait=F("began_at") - Subquery(queued), lasted=until - F("began_at"))

    @admin.display(description="waited")
    def waited(self, attempt: Attempt) -> str:
        return _spoken(getattr(attempt, "wait", None))

    @admin.display(description="began")
    def began(self, attempt: Attempt) -> str:
        return _clock(attempt.began_at)

    @admin.display(description="took")
    def took(self, attempt: Attempt) -> str:
        return _spoken(getattr(attempt, "lasted", None))

    @admin.display(description="computing")
    def computed(self, attempt: Attempt) -> str:
        return "" if attempt.compute_seconds is None else f"{attempt.compute_seconds:.1f} s"


class EventInline(ReadOnly, admin.TabularInline[Event, Task]):
    model = Event
    extra = 0
    fields = readonly_fields = ("sequence", "clock", "after", "kind", "stage", "state", "details")
    ordering = ("sequence",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        earlier = Window(Lag("at"), partition_by="task", order_by="sequence")
        return super().get_queryset(request).annotate(gap=F("at") - earlier)

    @admin.display(description="at")
    def clock(self, event: Event) -> str:
        return _clock(event.at)

    @admin.display(description="after")
    def after(self, event: Event) -> str:
        return _spoken(getattr(event, "gap", None))

    @admin.display(description="who and why")
    def details(self, event: Event) -> str:
        return ", ".join(f"{key}: {value}" for key, value in event.detail.items())


SUMMARY: Final = ("submission", "stage", "status_word", "error", "error_detail", "created_at", "in_all")
_WHERE: Final = ("batch", "worker", "progress_done", "progress_total", "staged_at", "claimed_at", "finished_at")
_KEPT: Final = ("pipeline", "state", "failures", "crashes", "retried", "turn", "own_turn")
_CLAIM: Final = ("not_before", "lease_until", "epoch", "sequence")


class TaskAdmin(Erring, ConfirmedActionsAdmin[Task]):
    list_display: tuple[str, ...] = (
        "id",
        "pipeline",
        "stage",
        "state",
        "status_word",
        "failures",
        "crashes",
        "error",
        "created_at",
    )
    list_filter: ClassVar[tuple[Any, ...]] = (
        "state",
        ("stage", RecentValues),
        ("pipeline", RecentValues),
        ("error_code", RecentValues),
    )
    list_select_related: ClassVar[tuple[str, ...]] = ("batch",)
    search_fields: ClassVar[tuple[str, ...]] = ("=id", "=submission__id")
    inlines = (AttemptInline, EventInline)
    fieldsets = (
        (None, {"fields": SUMMARY}),
        ("Where it is", {"classes": ("collapse",), "fields": _WHERE}),
        ("How the queue keeps it", {"classes": ("collapse",), "fields": (*_KEPT, *_CLAIM)}),
    )
    readonly_fields: ClassVar[tuple[str, ...]] = ("status_word", "error", "in_all")
    confirmed_actions = {
        "retry": _action("retry", "Retry from the stage that failed"),
        "cancel": _action("cancel", "Cancel"),
        "requeue": _action("requeue", "Requeue"),
        "put_first": _action("put_first", "Put first in its line"),
        "put_last": _action("put_last", "Put last in its line"),
    }

    @admin.display(description="status")
    def status_word(self, task: Task) -> str:
        return str(task.status.label)

    @admin.display(description="in all")
    def in_all(self, task: Task) -> str:
        """From its beginning to its end; nothing while it is under way."""
        return _spoken(task.finished_at - task.created_at) if task.finished_at else ""

    def describe(self, row: Task) -> str:
        error = f" ({row.error_code})" if row.error_code else ""
        return f"task {row.pk}, {pipelines.spec_of(row.stage).verbose_name}: {row.status.label}{error}"


class AttemptAdmin(Erring, ReadOnly, admin.ModelAdmin[Attempt]):
    list_display: tuple[str, ...] = (
        *("task", "stage", "epoch", "outcome", "error", "began_at", "ended_at", "compute_seconds"),
    )
    list_filter: ClassVar[tuple[Any, ...]] = (("outcome", RecentValues), ("stage", RecentValues))
    list_select_related = ("task",)
    ordering = ("-pk",)


class EventAdmin(ReadOnly, admin.ModelAdmin[Event]):
    list_display = ("at", "task", "node", "sequence", "kind", "stage", "state", "detail")
    list_filter = (("kind", RecentValues),)
    list_select_related = ("task",)
    ordering = ("-pk",)


def _clock(at: datetime) -> str:
    return f"{localtime(at):%d %b, %H:%M:%S}"


def _spoken(span: timedelta | None) -> str:
    if span is None:
        return ""
    seconds = span.total_seconds()
    return f"{seconds:.1f} s" if seconds < 10 else durations.spoken(seconds)


admin.site.register(Task, TaskAdmin)
admin.site.register(Attempt, AttemptAdmin)
admin.site.register(Event, EventAdmin)
