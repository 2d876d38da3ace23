"""Teachers mark submissions blind, see how far the program agrees, and let it be fitted to their marks."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from evaluations.access import limits
from evaluations.access.permissions import get_taught_classroom, signed_in
from evaluations.actions import marking, trail
from evaluations.models import Classroom, Transcript
from evaluations.pages import calibration


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@limits.paced("POST")
def overview(request: HttpRequest, pk: int) -> HttpResponse:
    """How far marks and ratings agree; POST fits the probabilities to the marks."""
    found = get_taught_classroom(request, pk)
    if request.method == "POST":
        _fit(request, found)
        return redirect("calibration", pk=pk)
    return render(request, "evaluations/calibration.html", calibration.of(found, signed_in(request)))


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def mark(request: HttpRequest, pk: int, submission: uuid.UUID) -> HttpResponse:
    """One submission, without the program's answers. POST stores the marks and goes on to the next one."""
    found = get_taught_classroom(request, pk)
    rating = get_object_or_404(marking.counting_ratings(found), submission=submission)
    trail.looked(rating, signed_in(request))
    questions = calibration.questions(rating)
    answers = {item["key"]: request.POST.get(f"item-{item['key']}", "") for item in questions}
    if request.method == "POST" and all(answer in ("yes", "no") for answer in answers.values()):
        marks = {key: answer == "yes" for key, answer in answers.items()}
        marking.mark(submission_id=submission, evaluation_id=rating.pk, items=marks, by=signed_in(request))
        left = next((one for one in calibration.to_mark(found, signed_in(request)) if not one.is_marked), None)
        if left is None:
            messages.info(request, _("All are marked. Thank you."))
            return redirect("calibration", pk=pk)
        return redirect("calibration-mark", pk=pk, submission=left.evaluation.submission_id)
    for item in questions:
        item["answer"] = answers[item["key"]]
    context = {
        "classroom": found,
        "submission": rating.submission,
        "transcript": Transcript.objects.filter(submission=submission).first(),
        "questions": questions,
        "is_incomplete": request.method == "POST",
        "places": calibration.to_mark(found, signed_in(request)),
    }
    return render(
        request, "evaluations/calibration_mark.html", context, status=400 if request.method == "POST" else 200
    )


def _fit(request: HttpRequest, classroom: Classroom) -> None:
    if marking.marked_count(classroom) < calibration.COUNT:
        messages.warning(request, _("%(count)s marked submissions are needed.") % {"count": calibration.COUNT})
        return
    try:
        fitted = marking.fit(classroom, signed_in(request))
    except marking.NothingToFitError:
        messages.warning(
            request, _("These marks can’t be used: no rating has a model’s probabilities, or all marks are alike.")
        )
        return
    count = max(row.submissions for row in fitted)
    words = ngettext(
        "Fitted to %(count)s submission. New ratings use it; those there are stay as they are.",
        "Fitted to %(count)s submissions. New ratings use it; those there are stay as they are.",
        count,
    )
    messages.info(request, words % {"count": count})
