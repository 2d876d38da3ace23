"""The nodes: alerts, phases, pauses, breakers, batches and workers. For operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import F, OuterRef, Q, QuerySet
from django.http import HttpRequest

from queueing.admin.confirmation import AdminAction, ConfirmedActionsAdmin, ReadOnly, ReasonForm
from queueing.models import Alert, Batch, Breaker, Pause, Phase, Worker
from queueing.models.nodes import forget
from queueing.models.phase import PhaseQuerySet
from queueing.report import durations
from queueing.states import PhaseName


class LengthField(forms.CharField):
    """A length of time as people type it; in seconds, or None."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(help_text="Such as 90s, 10m or 2h.", **kwargs)

    def clean(self, value: Any) -> float | None:
        text = super().clean(value)
        try:
            return durations.parse(text) if text else None
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None


class PauseForm(ReasonForm):
    what = forms.ChoiceField(choices=[(each.value, each.label) for each in Pause.WORK])
    seconds = LengthField(label="For how long", required=False)
    reason = forms.CharField(
        max_length=300,
        widget=forms.TextInput({"class": "vTextField"}),
        help_text="Everybody who waits can read it.",
    )
    field_order = ("what", "reason", "seconds")


class DrainForm(PauseForm):
    what = None  # type: ignore[assignment]  # how a form drops a field: nothing may stay loaded


class SwitchForm(ReasonForm):
    phase = forms.ChoiceField(choices=PhaseName.choices)
    hold_seconds = LengthField(label="Keep it for at most, while it has work", initial="5m")
    field_order = ("phase", "hold_seconds", "reason")


def _on(nodes: Sequence[Phase]) -> str:
    return ", ".join(phase.node for phase in nodes)


def _holding_up(nodes: Sequence[Phase]) -> list[Pause]:
    return list(Pause.objects.active().filter(node__in=["", *(phase.node for phase in nodes)]))


def _pause(
    nodes: Sequence[Phase], *, by: str, reason: str, seconds: float | None, what: str = Pause.What.EVERYTHING
) -> tuple[str, bool]:
    for phase in nodes:
        Pause.objects.start(what, node=phase.node, by=by, reason=reason, seconds=seconds)
    return f"{Pause.What(what).label.capitalize()} is paused on {_on(nodes)}.", True


def _drain(nodes: Sequence[Phase], *, by: str, reason: str, seconds: float | None) -> tuple[str, bool]:
    for phase in nodes:
        Pause.objects.start(Pause.What.EVERYTHING, node=phase.node, drain=True, by=by, reason=reason, seconds=seconds)
    return f"{_on(nodes)}: what runs is finished, then the models are unloaded.", True


def _resume(nodes: Sequence[Phase], *, by: str, reason: str) -> tuple[str, bool]:
    lifted = Pause.objects.filter(pk__in=[pause.pk for pause in _holding_up(nodes)]).end(by=by, reason=reason)
    wishes = _wished(nodes).end_wishes(by=by, reason=reason)
    said = f"{lifted} pauses lifted." if lifted != 1 else "1 pause lifted."
    said += f" What was asked of {wishes} of the nodes is ended." if wishes else ""
    return said, bool(lifted or wishes)


def _wished(nodes: Sequence[Phase]) -> PhaseQuerySet:
    return Phase.objects.filter(pk__in=[phase.pk for phase in nodes]).wished()


def _lifted_by_resuming(nodes: Sequence[Phase]) -> list[str]:
    pauses = [f"This is lifted: {pause}." for pause in _holding_up(nodes)]
    wishes = [f"{row.node} is no longer asked for {row.get_wanted_display()}." for row in _wished(nodes)]
    return pauses + wishes or ["No pause is active, and no phase was asked for."]


def _switch(nodes: Sequence[Phase], *, by: str, reason: str, phase: str, hold_seconds: float) -> tuple[str, bool]:
    for node in nodes:
        Phase.request(PhaseName(phase), node=node.node, hold_seconds=hold_seconds, by=by, reason=reason)
    return f"{_on(nodes)}: {PhaseName(phase).label} was asked for. What runs is finished first.", True


def _forget(nodes: Sequence[Phase], *, by: str, reason: str) -> tuple[str, bool]:
    forgotten = forget((phase.node for phase in nodes), by=by, reason=reason)
    skipped = len(nodes) - len(forgotten)
    said = f"{', '.join(forgotten) or 'Nothing'} forgotten."
    return said + (f" {skipped} skipped: a worker is alive there." if skipped else ""), not skipped


class PhaseAdmin(ConfirmedActionsAdmin[Phase]):
    list_display = ("node", "step", "name", "target", "reason", "since", "paused", "wanted", "wanted_until")
    readonly_fields = ("paused",)
    confirmed_actions = {
        "pause": AdminAction("Pause", lambda nodes: ["What runs is finished; nothing new begins."], _pause, PauseForm),
        "resume": AdminAction("Resume", _lifted_by_resuming, _resume),
        "drain": AdminAction(
            "Drain",
            lambda nodes: ["What runs is finished, then the models are unloaded; nothing new begins until you resume."],
            _drain,
            DrainForm,
        ),
        "switch": AdminAction(
            "Switch to…",
            lambda nodes: ["What runs is finished; then the models are changed, whatever else waits."],
            _switch,
            SwitchForm,
        ),
        "forget": AdminAction(
            "Forget",
            lambda nodes: ["For machines that will not come back. Their pauses end; tasks are not touched."],
            _forget,
        ),
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[Phase]:
        here = Pause.objects.active().filter(Q(node="") | Q(node=OuterRef("node")))
        return super().get_queryset(request).annotate(pauses=ArraySubquery(here.values_list("what", flat=True)))

    @admin.display(description="paused")
    def paused(self, phase: Phase) -> str:
        return ", ".join(Pause.What(what).label for what in getattr(phase, "pauses", ()))


def _lift(pauses: Sequence[Pause], *, by: str, reason: str) -> tuple[str, bool]:
    lifted = Pause.objects.filter(pk__in=[pause.pk for pause in pauses]).end(by=by, reason=reason)
    skipped = len(pauses) - lifted
    return f"{lifted} lifted" + (f", {skipped} skipped: already over" if skipped else ""), not skipped


class PauseAdmin(ConfirmedActionsAdmin[Pause]):
    list_display = ("what", "active", "node", "drain", "reason", "by", "since", "until", "lifted_at", "lifted_by")
    readonly_fields = ("active",)
    confirmed_actions = {
        "lift": AdminAction(
            "Lift",
            lambda pauses: ["The work goes on at once."],
            _lift,
            fits=lambda pause: pause.lifted_at is None,
        )
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[Pause]:
        active = Q(pk__in=Pause.objects.active().values("pk"))
        return super().get_queryset(request).annotate(on=active).order_by(F("on").desc(), "-since")

    @admin.display(description="active", boolean=True)
    def active(self, pause: Pause) -> bool:
        return bool(getattr(pause, "on", False))


def _acknowledge(alerts: Sequence[Alert], *, by: str, reason: str) -> tuple[str, bool]:
    done = Alert.objects.filter(pk__in=[alert.pk for alert in alerts]).acknowledge(by=by)
    skipped = len(alerts) - done
    return f"{done} acknowledged" + (f", {skipped} skipped: over, or known already" if skipped else ""), not skipped


def _close(breakers: Sequence[Breaker], *, by: str, reason: str) -> tuple[str, bool]:
    closed = Breaker.objects.filter(pk__in=[breaker.pk for breaker in breakers]).close(by=by, reason=reason)
    skipped = len(breakers) - closed
    return f"{closed} closed" + (f", {skipped} skipped: closed already" if skipped else ""), not skipped


class BreakerAdmin(ConfirmedActionsAdmin[Breaker]):
    list_display = ("server", "is_open", "failures", "open_until", "error", "restarts", "opened_at", "closed_at")
    readonly_fields = ("is_open",)
    confirmed_actions = {
        "close": AdminAction(
            "Close",
            lambda breakers: [
                "Tasks call the server again at once. If it still does not answer, it is left alone again.",
                "Restarts of the last ten minutes still count.",
            ],
            _close,
            fits=lambda breaker: breaker.openings > 0,
        )
    }

    @admin.display(description="open", boolean=True)
    def is_open(self, breaker: Breaker) -> bool:
        return breaker.openings > 0


class AlertAdmin(ConfirmedActionsAdmin[Alert]):
    list_display = ("severity", "text", "since", "last_seen", "resolved_at", "acknowledged_by", "cure")
    list_filter = ("severity", "kind", ("resolved_at", admin.EmptyFieldListFilter))
    search_fields = ("text",)
    ordering = (F("resolved_at").desc(nulls_first=True), "-since")
    confirmed_actions = {
        "acknowledge": AdminAction(
            "Acknowledge",
            lambda alerts: ["They stay until their cause ends, and are resolved by themselves then."],
            _acknowledge,
            fits=lambda alert: alert.resolved_at is None and alert.acknowledged_at is None,
        )
    }


class BatchAdmin(ReadOnly, admin.ModelAdmin[Batch]):
    list_display = ("id", "node", "phase", "opened_at")


class WorkerAdmin(ReadOnly, admin.ModelAdmin[Worker]):
    list_display = ("id", "node", "pid", "alive", "started_at", "last_heartbeat_at", "stopped_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        alive = Q(pk__in=Worker.objects.alive().values("pk"))
        return super().get_queryset(request).annotate(lives=alive)

    @admin.display(description="alive", boolean=True)
    def alive(self, worker: Worker) -> bool:
        return bool(getattr(worker, "lives", False))


admin.site.register(Phase, PhaseAdmin)
admin.site.register(Pause, PauseAdmin)
admin.site.register(Breaker, BreakerAdmin)
admin.site.register(Alert, AlertAdmin)
admin.site.register(Batch, BatchAdmin)
admin.site.register(Worker, WorkerAdmin)
