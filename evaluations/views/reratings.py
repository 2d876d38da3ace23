"""Ratings made again, for teachers: order them, compare old and new, adopt, go back."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import TextChoices
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from evaluations.access import limits
from evaluations.access.permissions import get_taught_classroom, get_taught_rerating, get_taught_submission, signed_in
from evaluations.actions import reratings, trail
from evaluations.models import Classroom, Rerating
from evaluations.pages import reratings as pages
from evaluations.rating.rubric import BadRubricError

TRIED_ON: Final = 5


class Which(TextChoices):
    ALL = "all", gettext_lazy("All")
    UNLIKE = "unlike", gettext_lazy("Those that were not rated like the newest one")
    TRY = "try", gettext_lazy("Try it on five, spread over the scores")


class RateAgainForm(forms.Form):
    """By which rubric, and which submissions of a class."""

    rubric = forms.TypedChoiceField(label=gettext_lazy("Rubric"), coerce=int)
    which = forms.ChoiceField(
        label=gettext_lazy("Which recordings"), choices=Which.choices, widget=forms.RadioSelect, initial=Which.TRY
    )
    reason = forms.CharField(label=gettext_lazy("Why (optional)"), max_length=200, required=False)

    def __init__(self, classroom: Classroom, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.classroom = classroom
        self.rubrics = {row.pk: row for row in pages.rubrics(classroom)}
        choices = [(pk, self._named(pk)) for pk in self.rubrics]
        self.fields["rubric"].choices = choices  # type: ignore[attr-defined]  # of a choice field

    def _named(self, pk: int) -> str:
        name = str(self.rubrics[pk])
        return _("%(rubric)s (the class’s)") % {"rubric": name} if pk == self.classroom.rubric_id else name

    def submissions(self) -> list[uuid.UUID]:
        match self.cleaned_data["which"]:
            case Which.TRY:
                return reratings.to_try_on(self.classroom, TRIED_ON)
            case Which.UNLIKE:
                return list(reratings.unlike_the_newest(self.classroom).values_list("pk", flat=True))
        return list(self.classroom.submissions.values_list("pk", flat=True))


class AdoptForm(forms.Form):
    """Whose new ratings count from now on: those that are named, or all."""

    submissions = forms.TypedMultipleChoiceField(coerce=uuid.UUID, required=False)
    all = forms.BooleanField(required=False)
    force = forms.BooleanField(required=False)
    rubric = forms.BooleanField(required=False)

    def __init__(self, order: Rerating, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        keys = [str(pk) for pk in order.submissions.values_list("pk", flat=True)]
        self.fields["submissions"].choices = [(key, key) for key in keys]  # type: ignore[attr-defined]


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@limits.paced("POST")
def reratings_of_class(request: HttpRequest, pk: int) -> HttpResponse:
    """The form and the earlier orders; POST gives an order."""
    classroom = get_taught_classroom(request, pk)
    if request.method == "POST":
        form = RateAgainForm(classroom, request.POST)
        if form.is_valid():
            return _order(request, form)
    else:
        form = RateAgainForm(classroom, initial={"rubric": request.GET.get("rubric", classroom.rubric_id)})
    context = {"classroom": classroom, "form": form, "orders": pages.orders(classroom)}
    return render(request, "evaluations/reratings.html", context, status=400 if form.errors else 200)


def _order(request: HttpRequest, form: RateAgainForm) -> HttpResponse:
    rubric = form.rubrics[form.cleaned_data["rubric"]]
    report = reratings.order(
        classroom=form.classroom,
        rubric=rubric,
        submissions=form.submissions(),
        by=signed_in(request),
        reason=form.cleaned_data["reason"],
    )
    return _to_order(request, form.classroom, report)


@login_required
@require_POST
def rate_one_again(request: HttpRequest, pk: int, submission: uuid.UUID) -> HttpResponse:
    """Order another rating of one submission, with its form, by the rubric that it was rated by."""
    found = get_taught_submission(request, pk, submission)
    limits.spend_moves(signed_in(request), [found.pk])
    rated = found.evaluation
    try:
        report = reratings.order(
            classroom=found.classroom,
            rubric=rated.rubric if rated and rated.rubric else found.classroom.rubric,
            submissions=[found.pk],
            by=signed_in(request),
            extract=True,
        )
    except BadRubricError as error:
        messages.error(request, str(error))
        return redirect("review-submission", pk, found.pk)
    return _to_order(request, found.classroom, report)


@login_required
@require_POST
@limits.paced("POST")
def rate_alike(request: HttpRequest, pk: int) -> HttpResponse:
    """Order that all of the class are rated like the newest one."""
    classroom = get_taught_classroom(request, pk)
    try:
        report = reratings.order_alike(classroom=classroom, by=signed_in(request))
    except BadRubricError as error:
        messages.error(request, str(error))
        return redirect("reratings", classroom.pk)
    return _to_order(request, classroom, report)


def _to_order(request: HttpRequest, classroom: Classroom, report: reratings.OrderReport) -> HttpResponse:
    if report.skipped:
        messages.warning(request, reratings.in_words(report.skipped))
    if report.order is None:
        messages.info(request, _("There is nothing to rate again."))
        return redirect("reratings", classroom.pk)
    return redirect("rerating", report.order.pk)


@never_cache
@login_required
@require_safe
def rerating(request: HttpRequest, pk: int) -> HttpResponse:
    """One order: old and new side by side; for htmx that alone."""
    shown = pages.of(get_taught_rerating(request, pk))
    partial = bool(request.headers.get("HX-Request"))
    page = "evaluations/_rerating.html" if partial else "evaluations/rerating.html"
    return render(request, page, {"view": shown, "partial": partial})


@login_required
@require_POST
@limits.paced("POST")
def adopt(request: HttpRequest, pk: int) -> HttpResponse:
    """Let new ratings count; and, if asked for, rate the class's new recordings by the same rubric."""
    order = get_taught_rerating(request, pk)
    form = AdoptForm(order, request.POST)
    if not form.is_valid():
        messages.error(request, _("Something has changed meanwhile: look again, please."))
        return redirect("rerating", order.pk)
    chosen = None if form.cleaned_data["all"] else form.cleaned_data["submissions"]
    report = reratings.adopt(
        rerating=order, by=signed_in(request), submissions=chosen, force=form.cleaned_data["force"]
    )
    if form.cleaned_data["rubric"] and report.adopted:
        Classroom.objects.filter(pk=order.classroom_id).update(rubric=order.rubric_id)
        trail.record(trail.Verb.SET, order.classroom, what="rubric", rubric=order.rubric_id)
    count = len(report.adopted)
    messages.success(
        request,
        ngettext("%(count)s new rating counts now.", "%(count)s new ratings count now.", count) % {"count": count},
    )
    if report.skipped:
        messages.warning(request, reratings.in_words(report.skipped))
    return redirect("rerating", order.pk)


@login_required
@require_POST
@limits.paced("POST")
def restore(request: HttpRequest, pk: int) -> HttpResponse:
    """Let the ratings count again that counted before; those that people have decided on since if so asked."""
    order = get_taught_rerating(request, pk)
    report = reratings.restore(rerating=order, by=signed_in(request), force="force" in request.POST)
    count = len(report.adopted)
    messages.success(
        request,
        ngettext("%(count)s earlier rating counts again.", "%(count)s earlier ratings count again.", count)
        % {"count": count},
    )
    decided = {key: report.skipped[key] for key in report.decided}
    if decided:
        messages.warning(request, reratings.in_words(decided))
    return redirect("rerating", order.pk)


@login_required
@require_POST
@limits.paced("POST")
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    """Take back what is not rated yet."""
    order = get_taught_rerating(request, pk)
    count = reratings.withdraw(rerating=order, by=signed_in(request))
    messages.info(
        request,
        ngettext("%(count)s recording is not rated again.", "%(count)s recordings are not rated again.", count)
        % {"count": count},
    )
    if Rerating.objects.filter(pk=pk).exists():
        return redirect("rerating", pk)
    return redirect("reratings", order.classroom_id)
