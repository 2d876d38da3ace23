"""The queue in the admin: to be read, and acted on through the verbs only. States are never edited by hand."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from queueing.models import Attempt, Batch, Event, Phase, Task, Worker


class ReadOnly:
    """Nothing is added, changed or deleted here."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class AttemptInline(ReadOnly, admin.TabularInline[Attempt, Task]):
    model = Attempt
    extra = 0


class EventInline(ReadOnly, admin.TabularInline[Event, Task]):
    model = Event
    extra = 0
    fields = ("sequence", "kind", "stage", "state", "detail", "at")


@admin.register(Task)
class TaskAdmin(ReadOnly, admin.ModelAdmin[Task]):
    list_display = (
        "id",
        "pipeline",
        "stage",
        "state",
        "status_word",
        "failures",
        "crashes",
        "error_code",
        "created_at",
    )
    list_filter = ("state", "stage", "pipeline", "error_code")
    list_select_related = ("batch",)
    search_fields = ("=id", "=submission__id")
    inlines = (AttemptInline, EventInline)
    actions = ("retry", "cancel")

    @admin.display(description="status")
    def status_word(self, task: Task) -> str:
        return task.status.label

    @admin.action(description="Retry from the stage that failed")
    def retry(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        self._report(
            request,
            "queued again",
            "not failed or cancelled",
            [t.retry(by=f"admin:{request.user.pk}") for t in queryset],
        )

    @admin.action(description="Cancel")
    def cancel(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        self._report(request, "cancelled", "already ended", [t.cancel(by=f"admin:{request.user.pk}") for t in queryset])

    def _report(self, request: HttpRequest, done: str, why_not: str, moved: list[bool]) -> None:
        skipped = len(moved) - sum(moved)
        text = f"{sum(moved)} {done}" + (f", {skipped} skipped: {why_not}" if skipped else "")
        self.message_user(request, text, messages.WARNING if skipped else messages.SUCCESS)


@admin.register(Attempt)
class AttemptAdmin(ReadOnly, admin.ModelAdmin[Attempt]):
    list_display = ("task", "stage", "epoch", "outcome", "error_code", "began_at", "ended_at", "compute_seconds")
    list_filter = ("outcome", "stage")
    list_select_related = ("task",)


@admin.register(Phase)
class PhaseAdmin(ReadOnly, admin.ModelAdmin[Phase]):
    list_display = ("node", "step", "name", "target", "reason", "since")


@admin.register(Batch)
class BatchAdmin(ReadOnly, admin.ModelAdmin[Batch]):
    list_display = ("id", "node", "phase", "opened_at")


@admin.register(Worker)
class WorkerAdmin(ReadOnly, admin.ModelAdmin[Worker]):
    list_display = ("id", "node", "pid", "started_at", "last_heartbeat_at", "stopped_at")


@admin.register(Event)
class EventAdmin(ReadOnly, admin.ModelAdmin[Event]):
    list_display = ("at", "task", "node", "sequence", "kind", "stage", "state")
    list_filter = ("kind",)
    list_select_related = ("task",)
