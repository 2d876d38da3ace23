"""The desk at which a teacher reviews the ratings of a class, one submission after the other."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from evaluations.access import limits
from evaluations.access.permissions import get_taught_classroom, get_taught_submission, signed_in
from evaluations.actions import appeals, corrections, decisions, release
from evaluations.actions.decisions import ConflictError, InvalidDecisionError, Kind
from evaluations.models import Classroom, Submission, shown_name
from evaluations.pages import history, review

HIGHEST_ID: Final = 2**63 - 1
VERBS: Final = ("item", "overall", "comment", "reviewed", "released", "answer", "word", "undo")
ANSWERS: Final = {"yes": True, "no": False, "program": None}


class DecisionForm(forms.Form):
    """What a teacher wants, on which rating, and the newest decision that they had seen."""

    do = forms.ChoiceField(choices=[(name, name) for name in VERBS])
    evaluation = forms.IntegerField(min_value=0, max_value=HIGHEST_ID)
    seen = forms.IntegerField(min_value=0, max_value=HIGHEST_ID)
    key = forms.CharField(required=False, max_length=40)
    value = forms.CharField(required=False, max_length=20)
    text = forms.CharField(required=False, max_length=2000)
    reason = forms.CharField(required=False, max_length=500)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@limits.paced("POST")
def first(request: HttpRequest, pk: int) -> HttpResponse:
    """To the first one that is to be reviewed. POST releases what was reviewed in the class, or all, or hides all."""
    classroom = get_taught_classroom(request, pk)
    if request.method == "POST":
        messages.info(request, _release_class(classroom, signed_in(request), request.POST.get("do", "")))
    entry = review.queue(classroom).at(0)
    if entry is None:
        messages.info(request, _("Nothing is rated yet, so there is nothing to review."))
        return redirect("classroom", pk=pk)
    return redirect("review-submission", pk=pk, submission=entry.submission.pk)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def submission(request: HttpRequest, pk: int, submission: uuid.UUID) -> HttpResponse:
    """One submission; POST decides something on it. To review.js the part that changes is answered alone.

    400: it can't be decided like that. 409: somebody else has decided since; the page says what, and offers to do the
    teacher's own change all the same.
    """
    found = get_taught_submission(request, pk, submission)
    if request.method != "POST":
        return _page(request, found)
    form = DecisionForm(request.POST)
    if not form.is_valid():
        return _page(request, found, status=400, refused=_("This can’t be decided like that. Nothing was changed."))
    wanted = form.cleaned_data
    if wanted["do"] == "released" or wanted["value"] == "release":
        limits.spend_moves(signed_in(request), [found.pk])
    following = review.queue(found.classroom).waiting_after(found.pk) if wanted["do"] == "reviewed" else None
    try:
        said = _decide(found, signed_in(request), wanted)
    except ConflictError as error:
        theirs = history.in_words(error.decisions, found, signed_in(request))
        return _page(request, found, status=409, theirs=theirs, wanted=wanted, conflict=True)
    except (InvalidDecisionError, ValueError):
        return _page(request, found, status=400, refused=_refusal(wanted), wanted=wanted)
    if _is_by_script(request):
        return _page(request, found, said=said)
    messages.info(request, said)
    shown = following.submission if following else found
    return redirect("review-submission", pk=pk, submission=shown.pk)


def _release_class(classroom: Classroom, by: User, do: str) -> str:
    rows = Submission.objects.filter(classroom=classroom)
    if do in ("reviewed", "all"):
        count = release.release(rows, by=by, only_reviewed=do == "reviewed")
        return ngettext("%(count)s result was released.", "%(count)s results were released.", count) % {"count": count}
    if do == "hide":
        count = release.withdraw(rows, by=by)
        return ngettext("%(count)s result was hidden.", "%(count)s results were hidden.", count) % {"count": count}
    return _("Nothing was changed.")


def _page(request: HttpRequest, found: Submission, *, status: int = 200, **more: Any) -> HttpResponse:
    context = review.of(found, signed_in(request)) | more
    template = "_review.html" if _is_by_script(request) else "review.html"
    return render(request, f"evaluations/{template}", context, status=status)


def _is_by_script(request: HttpRequest) -> bool:
    return request.headers.get("X-Part") == "review"


def _decide(found: Submission, by: User, wanted: dict[str, Any]) -> str:
    """Do it, and say what was done.

    Raises:
        ConflictError, InvalidDecisionError: as in `decisions`.
        ValueError: a score is no number.
    """
    at = {"submission_id": found.pk, "evaluation_id": wanted["evaluation"], "by": by, "seen": wanted["seen"]}
    value, reason = wanted["value"], wanted["reason"]
    match wanted["do"]:
        case "item":
            if value not in ANSWERS:
                raise InvalidDecisionError(value)
            decisions.decide(**at, kind=Kind.ITEM, key=wanted["key"], value=ANSWERS[value], reason=reason)
            return _("Saved.")
        case "overall":
            points = None if value == "computed" else round(float(value), 1)
            decisions.decide(**at, kind=Kind.OVERALL, value=points, reason=reason)
            return _("The overall score is saved.")
        case "comment":
            decisions.decide(**at, kind=Kind.COMMENT, value=wanted["text"])
            return _("The comment is saved.")
        case "reviewed":
            return _reviewed(found, at, value)
        case "released":
            return _released(found, at, shown=value == "yes")
        case "answer":
            appeals.answer(**at, text=wanted["text"])
            return _("The answer is saved.")
        case "word":
            corrections.correct(**at, number=int(wanted["key"]), text=wanted["text"])
            return _("The word is corrected.")
    return _("Taken back.") if decisions.undo(**at) else _("There is nothing of yours to take back.")


@transaction.atomic
def _reviewed(found: Submission, at: dict[str, Any], value: str) -> str:
    decisions.decide(**at, kind=Kind.REVIEWED, value=value != "no")
    name = shown_name(found.student)
    if value == "no":
        return _("%(name)s: not reviewed any more.") % {"name": name}
    if value != "release":
        return _("%(name)s: reviewed.") % {"name": name}
    _release(found, at["by"], shown=True)
    return _("%(name)s: reviewed and released.") % {"name": name}


def _released(found: Submission, at: dict[str, Any], *, shown: bool) -> str:
    with decisions.locked(**at):
        _release(found, at["by"], shown=shown)
    return _("The student sees it now.") if shown else _("It is hidden from the student again.")


def _release(found: Submission, by: User, *, shown: bool) -> None:
    rows = Submission.objects.filter(pk=found.pk)
    if shown:
        release.release(rows, by=by)
    else:
        release.withdraw(rows, by=by)


def _refusal(wanted: dict[str, Any]) -> str:
    if wanted["do"] == "overall":
        return _("An overall score is from 1 to 10, and needs a reason. Nothing was changed.")
    if wanted["do"] == "word":
        return _("A corrected word has 1 to 60 characters. Nothing was changed.")
    return _("This can’t be decided like that. Nothing was changed.")
