"""A class list: pasted or uploaded, shown with what it would do, and done once somebody says so."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from evaluations.access.members import roster, tables
from evaluations.access.members.roster import ChangedMeanwhileError, RosterPlan
from evaluations.access.members.tables import NameList, UnreadableListError
from evaluations.access.permissions import classrooms_taught, get_taught_classroom, signed_in
from evaluations.actions import trail
from evaluations.models import Classroom


class ListForm(forms.Form):
    """The list as text, or as a file instead; what is shown again is always text, to be mended in place."""

    text = forms.CharField(
        required=False,
        strip=False,
        max_length=tables.MAX_BYTES,
        label=gettext_lazy("Names, one in a row"),
        widget=forms.Textarea({"rows": 12, "spellcheck": "false", "autocomplete": "off"}),
    )
    file = forms.FileField(
        required=False,
        allow_empty_file=True,
        label=gettext_lazy("Or a file instead (.xlsx, .csv, .txt)"),
        widget=forms.ClearableFileInput({"accept": ".xlsx,.csv,.tsv,.txt"}),
    )
    deactivates = forms.BooleanField(
        required=False, label=gettext_lazy("Who is not on the list leaves the class; what they handed in stays")
    )
    moves = forms.BooleanField(
        required=False, label=gettext_lazy("Who comes from another of my classes leaves that one")
    )

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        try:
            if file := given.get("file"):
                given["text"] = tables.of_file(file.read(tables.MAX_BYTES + 1))
            given["list"] = tables.read(given.get("text", ""))
        except UnreadableListError as error:
            raise forms.ValidationError(str(error)) from error
        return given


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def import_list(request: HttpRequest, pk: int) -> HttpResponse:
    """GET: the form. POST: what the list would do; with `confirm`, the mark of that plan, it is done."""
    found = get_taught_classroom(request, pk)
    form = ListForm(request.POST, request.FILES) if request.method == "POST" else ListForm()
    if request.method != "POST" or not form.is_valid():
        context = {"classroom": found, "form": form, "limit": tables.MAX_ROWS}
        return render(request, "evaluations/members/import.html", context, status=400 if form.errors else 200)
    given = form.cleaned_data
    if mark := request.POST.get("confirm"):
        try:
            return _done(request, found, _apply(request, found, given, mark))
        except ChangedMeanwhileError:
            messages.warning(request, _("The class has changed since. Look again, then confirm."))
    return _preview(request, found, given)


def _apply(request: HttpRequest, found: Classroom, given: dict[str, Any], mark: str) -> RosterPlan:
    taught = classrooms_taught(signed_in(request))
    return roster.apply(found, given["list"], taught, mark=mark, deactivates=given["deactivates"], moves=given["moves"])


def _preview(request: HttpRequest, found: Classroom, given: dict[str, Any]) -> HttpResponse:
    names: NameList = given["list"]
    taught = classrooms_taught(signed_in(request))
    wanted = roster.plan(found, names, taught, deactivates=given["deactivates"], moves=given["moves"])
    # The form as text, whatever it came as.
    again = ListForm(initial={key: given[key] for key in ("text", "deactivates", "moves")})
    context = {
        "classroom": found,
        "form": again,
        "plan": wanted,
        "names": names,
        "given": given,
        "limit": tables.MAX_ROWS,
    }
    return render(request, "evaluations/members/import.html", context)


def _done(request: HttpRequest, found: Classroom, done: RosterPlan) -> HttpResponse:
    counts = done.counts
    trail.record(
        trail.Verb.ENROLLED, found, what="list", counts=counts, left=len(done.missing) if done.deactivates else 0
    )
    added = counts["new"] + counts["comes"] + counts["back"]
    parts = [ngettext("%(count)s student added", "%(count)s students added", added) % {"count": added}]
    if counts["changed"]:
        words = ngettext("%(count)s changed", "%(count)s changed", counts["changed"])
        parts.append(words % {"count": counts["changed"]})
    if done.deactivates and done.missing:
        gone = len(done.missing)
        parts.append(ngettext("%(count)s left the class", "%(count)s left the class", gone) % {"count": gone})
    messages.info(request, ", ".join(parts) + ".")
    return redirect("members", pk=found.pk)
