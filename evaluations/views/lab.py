"""The operators' page: staff may look; acting needs the permissions that it needs in the admin, and is confirmed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from evaluations.access import limits
from evaluations.access.permissions import operable_tasks, signed_in
from evaluations.models import EVALUATION
from evaluations.pages import lab as pages
from evaluations.pages import rows
from evaluations.pages.lab import graphs, phases, tasks
from evaluations.pages.lab.tasks import TaskChoice
from queueing import actions
from queueing.models import Alert, Pause, Phase
from queueing.report import durations, figures, lesson
from queueing.states import PhaseName

CHANGE_TASKS: Final = "queueing.change_task"
CHANGE_NODES: Final = "queueing.change_phase"
CHANGE_ALERTS: Final = "queueing.change_alert"
HOLD_SECONDS: Final = 300.0  # that an asked-for phase is kept, if no time is given
PARTS: Final = {"live": "evaluations/_lab_live.html", "graphs": "evaluations/_lab_graphs.html"}


@never_cache
@login_required
@require_safe
def lab(request: HttpRequest) -> HttpResponse:
    """The whole page; with `?part=` the part that a poll asks for."""
    _staff_only(request)
    part = request.GET.get("part", "")
    context: dict[str, Any] = {"may": _may(request), "choice": TaskChoice.of(request.GET), "span": _span(request)}
    if part != "graphs":
        context |= {"lab": pages.of(figures.status(), lesson.last_kept(EVALUATION)), "queue": rows.read_queue()}
    if part != "live":
        now = timezone.now()
        span = context["span"]
        context |= {"graphs": graphs.of(span, now), "spans": list(graphs.LookBack)}
        # The history of a month would be as many bars as hand-overs: too many to be told apart.
        context["phases"] = phases.read(now - min(span.length, graphs.LookBack.DAY.length), now)
    if not part:
        context["tasks"] = tasks.read(context["choice"], operable_tasks(request))
        context["control"] = LabControl()
    return render(request, PARTS.get(part, "evaluations/lab.html"), context)


@login_required
@require_POST
def act_on_tasks(request: HttpRequest) -> HttpResponse:
    """Act on the chosen tasks, or all that match: first what would happen, then, `confirmed`, does it.

    Who is put first or last is so for a reason, which others read.
    """
    _staff_only(request, CHANGE_TASKS)
    verb = request.POST.get("verb", "")
    found = tasks.chosen(request.POST, operable_tasks(request))
    back = reverse("lab") + TaskChoice.of(request.POST).query() + "#tasks"
    if verb not in _VERBS or not found:
        messages.info(request, _("Nothing was chosen."))
        return redirect(back)
    reason, is_shown = request.POST.get("reason", "").strip()[:300], verb in actions.PUT
    if "confirmed" not in request.POST or (is_shown and not reason):
        would = actions.forecast(verb, tasks=found)
        return _confirm(
            request,
            title=_VERBS[verb],
            lines=[*_counted(verb, would), _EFFECTS[verb]],
            action=reverse("lab-tasks"),
            # Those that were counted, not what may match since.
            fields=[("verb", verb), *TaskChoice.of(request.POST).fields(), *(("task", pk) for pk in would.moved)],
            back=back,
            can=bool(would.moved),
            must_say_why=is_shown,
        )
    limits.spend_moves(signed_in(request), {task.submission_id for task in found})
    report = actions.act(verb, tasks=found, by=_by(request), reason=reason)
    messages.info(request, " ".join(_counted(verb, report, done=True)))
    return redirect(back)


@login_required
@require_POST
def control(request: HttpRequest) -> HttpResponse:
    """Pause, resume, drain or switch machines: first what it means, then, `confirmed`, does it."""
    _staff_only(request, CHANGE_NODES)
    form = LabControl(request.POST)
    if not form.is_valid():
        messages.error(request, " ".join(str(error) for errors in form.errors.values() for error in errors))
        return redirect("lab")
    what, given = form.cleaned_data["what"], form.cleaned_data
    if "confirmed" not in request.POST:
        where = given["node"] or _("all machines")
        return _confirm(
            request,
            title=f"{_CONTROLS[what]}: {where}",
            lines=[_MEANING[what.partition(" ")[0]]],
            action=reverse("lab-control"),
            fields=[(name, request.POST.get(name, "")) for name in form.fields],
            back=reverse("lab"),
            can=True,
        )
    messages.info(request, _control(given, by=_by(request)))
    return redirect("lab")


@login_required
@require_POST
def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    """Somebody knows of the alert: it stays until its cause ends."""
    _staff_only(request, CHANGE_ALERTS)
    if not Alert.objects.filter(pk=pk).acknowledge(by=signed_in(request).get_username()):
        messages.info(request, _("That alert is over, or somebody knew of it already."))
    return redirect("lab")


class LabControl(forms.Form):
    """What to do to one machine, or to all of them."""

    what = forms.ChoiceField(label=gettext_lazy("What"))
    node = forms.ChoiceField(label=gettext_lazy("Machine"), required=False)
    seconds = forms.CharField(
        label=gettext_lazy("For how long"),
        required=False,
        max_length=20,
        help_text=gettext_lazy("Such as 90s, 10m or 2h; empty: until somebody ends it."),
    )
    reason = forms.CharField(
        label=gettext_lazy("Why"), max_length=300, help_text=gettext_lazy("Everybody who waits can read it.")
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        nodes = Phase.objects.order_by("node").values_list("node", flat=True)
        self.fields["what"].choices = list(_CONTROLS.items())  # type: ignore[attr-defined]
        self.fields["node"].choices = [("", _("all machines")), *((node, node) for node in nodes)]  # type: ignore[attr-defined]

    def clean_seconds(self) -> float | None:
        given = self.cleaned_data["seconds"]
        try:
            return durations.parse(given) if given else None
        except ValueError:
            raise forms.ValidationError(_("That is no length of time: write 90s, 10m or 2h.")) from None


_CONTROLS: Final = {
    "pause everything": gettext_lazy("Pause everything"),
    "pause stt": gettext_lazy("Pause speech to text"),
    "pause eval": gettext_lazy("Pause evaluation"),
    "drain": gettext_lazy("Drain"),
    "resume": gettext_lazy("Resume"),
    "switch stt": gettext_lazy("Switch to speech to text"),
    "switch eval": gettext_lazy("Switch to evaluation"),
}
_MEANING: Final = {
    "pause": gettext_lazy("What runs is finished; nothing new begins. Uploads are taken all the same."),
    "drain": gettext_lazy("What runs is finished, then the models are unloaded; nothing begins until you resume."),
    "resume": gettext_lazy("Pauses and drains are lifted, and no phase is asked for any longer. Work goes on at once."),
    "switch": gettext_lazy("What runs is finished; then the models are changed, whatever else waits."),
}
_VERBS: Final = {
    "retry": pgettext_lazy("tasks", "Try again"),
    "cancel": pgettext_lazy("tasks", "Cancel tasks"),
    "put_first": pgettext_lazy("tasks", "Put first"),
    "put_last": pgettext_lazy("tasks", "Put last"),
}
_EFFECTS: Final = {
    "retry": gettext_lazy("Each goes on at the stage where it ended; what was found before stays."),
    "cancel": gettext_lazy("What is in work stops within seconds. Videos and earlier results stay."),
    "put_first": gettext_lazy("They come before all others of their line. Whoever is passed reads your reason."),
    "put_last": gettext_lazy("All who are in the line now come before them. Their students read your reason."),
}


def _control(given: dict[str, Any], *, by: str) -> str:
    """Do it; returns what was done, in words."""
    verb, _space, kind = given["what"].partition(" ")
    node, reason, seconds = given["node"], given["reason"], given["seconds"]
    where = node or _("all machines")
    if verb in ("pause", "drain"):
        what = Pause.What(kind) if kind else Pause.What.EVERYTHING
        Pause.objects.start(what, node=node, drain=verb == "drain", by=by, reason=reason, seconds=seconds)
        return _("%(what)s: %(where)s.") % {"what": _CONTROLS[given["what"]], "where": where}
    machines = Phase.objects.filter(node=node) if node else Phase.objects.all()
    if verb == "resume":
        here = Pause.objects.active().filter(node__in=["", node]) if node else Pause.objects.active()
        lifted = here.end(by=by, reason=reason)
        wishes = machines.wished().end_wishes(by=by, reason=reason)
        return _("Lifted: %(count)s.") % {"count": lifted + wishes}
    for machine in machines:
        hold = HOLD_SECONDS if seconds is None else seconds
        Phase.request(PhaseName(kind), node=machine.node, hold_seconds=hold, by=by, reason=reason)
    return _("%(what)s: %(where)s. What runs is finished first.") % {"what": _CONTROLS[given["what"]], "where": where}


def _counted(verb: str, report: actions.Report, *, done: bool = False) -> list[str]:
    moved, skipped = len(report.moved), len(report.skipped)
    words: dict[str, Callable[[], str]] = {
        "retry": lambda: ngettext("%(count)s task is queued again.", "%(count)s tasks are queued again.", moved),
        "cancel": lambda: ngettext("%(count)s task is cancelled.", "%(count)s tasks are cancelled.", moved),
        "put_first": lambda: ngettext("%(count)s task comes first.", "%(count)s tasks come first.", moved),
        "put_last": lambda: ngettext("%(count)s task comes last.", "%(count)s tasks come last.", moved),
    }
    left = ngettext("%(count)s is left as it is.", "%(count)s are left as they are.", skipped) % {"count": skipped}
    return [words[verb]() % {"count": moved}, *([left] if skipped else [])]


def _confirm(
    request: HttpRequest,
    *,
    title: object,
    lines: Sequence[object],
    action: str,
    fields: Sequence[tuple[str, object]],
    back: str,
    can: bool,
    must_say_why: bool = False,
) -> HttpResponse:
    why = {"asks_why": not any(name == "reason" for name, _value in fields), "must_say_why": must_say_why}
    context = {"title": title, "lines": lines, "action": action, "fields": fields, "back": back, "can": can}
    return render(request, "evaluations/lab_confirm.html", context | why)


def _staff_only(request: HttpRequest, permission: str = "") -> None:
    """
    Raises:
        Http404: the user may not look here, or not do that.
    """
    user = signed_in(request)
    if not user.is_staff or (permission and not user.has_perm(permission)):
        raise Http404


def _may(request: HttpRequest) -> dict[str, bool]:
    user = signed_in(request)
    permissions = {"tasks": CHANGE_TASKS, "nodes": CHANGE_NODES, "alerts": CHANGE_ALERTS}
    return {name: user.has_perm(permission) for name, permission in permissions.items()}


def _span(request: HttpRequest) -> graphs.LookBack:
    wanted = request.GET.get("span", "")
    return graphs.LookBack(wanted) if wanted in set(graphs.LookBack) else graphs.LookBack.HOUR


def _by(request: HttpRequest) -> str:
    return f"page:{signed_in(request).pk}"
