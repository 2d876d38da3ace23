"""The coach below a result: ask, read along, stop. Teachers of the class read."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import replace
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from evaluations.access import limits
from evaluations.access.permissions import get_own_question, get_own_submission, get_visible_submission, signed_in
from evaluations.coaching.questions import asking
from evaluations.errors import catalogue
from evaluations.errors.refusals import RefusedError
from evaluations.live.answers import AnswerReader
from evaluations.models import MAX_QUESTION, CoachQuestion, Submission, Transcript

SUGGESTIONS: Final = (
    _("What can I do better next time?"),
    _("How could I show more confidence?"),
    _("What was good about how I spoke?"),
)


@never_cache
@login_required
@require_safe
def conversation(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """What was asked and answered so far. 204 while it is the same as at `state`."""
    context = of(get_visible_submission(request, pk), request)
    if request.GET.get("state") == context["coach_state"]:
        return HttpResponse(status=204)
    return render(request, "evaluations/_conversation.html", context)


@login_required
@require_POST
def ask(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    found, text = get_own_submission(request, pk), request.POST.get("question", "")
    problem: catalogue.Explanation | None = None
    try:
        language = getattr(request, "LANGUAGE_CODE", "en")
        limits.spend_question(signed_in(request))
        asking.ask(submission=found, student=signed_in(request), text=text, language=language)
    except RefusedError as refused:
        words = catalogue.explain(refused.code)
        problem = replace(words, what=f"{words.what} {refused.detail}".strip())
        if not request.headers.get("HX-Request"):
            messages.error(request, f"{problem.title}. {problem.what} {problem.todo}")
    if not request.headers.get("HX-Request"):
        return redirect(f"{_address(found)}#coach")
    context = {**of(found, request), "problem": problem, "draft": text if problem else ""}
    return render(request, "evaluations/_coach.html", context)


@login_required
@require_POST
def stop(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    question = get_own_question(request, pk)
    asking.stop(question, by=signed_in(request))  # one that has ended meanwhile is shown as it is
    if not request.headers.get("HX-Request"):
        return redirect(f"{_address(question.submission)}#coach")
    # Not all of the panel: what is being typed below stays.
    return render(request, "evaluations/_conversation.html", of(question.submission, request))


def of(found: Submission, request: HttpRequest) -> dict[str, Any]:
    """The context of `_coach.html`."""
    asked = list(CoachQuestion.objects.filter(submission=found).values_list("pk", flat=True))
    read = AnswerReader().read(asked)
    states = [read[key] for key in asked if key in read]
    is_own = found.student_id == signed_in(request).pk
    shown = [replace(one, estimate=None) for one in states]  # which changes all the time, and is not on the page
    return {
        "submission": found,
        "conversation": states,
        "is_own": is_own,
        "may_ask_coach": is_own and asking.is_offered(found.classroom) and _is_transcribed(found),
        "is_answering": any(not one.has_ended for one in states),
        "coach_state": hashlib.blake2s(repr(shown).encode(), digest_size=8).hexdigest(),
        "coach_status": states[-1].status_words if states else "",
        "suggested": SUGGESTIONS,
        "max_question": MAX_QUESTION,
    }


def _is_transcribed(found: Submission) -> bool:
    return Transcript.objects.filter(submission=found).exists()


def _address(found: Submission) -> str:
    return reverse("submission", args=[found.pk])
