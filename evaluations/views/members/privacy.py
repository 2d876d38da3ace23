"""What happens with one's videos, for whoever they are of: agreeing to it, taking that back, taking the data along."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from evaluations.access import limits
from evaluations.access.permissions import classes_of, get_attended_classroom, signed_in
from evaluations.errors import catalogue
from evaluations.errors.refusals import RefusedError
from evaluations.models import Classroom, Submission, Upload
from evaluations.uploads.privacy import consents, erasing, exporting, facts


@never_cache
@login_required
@require_safe
def what_happens(request: HttpRequest) -> HttpResponse:
    user = signed_in(request)
    found = Classroom.objects.filter(pk__in=classes_of(user)).select_related("rubric")
    classrooms = [(each, consents.standing(user, each)) for each in found]
    attended = set(Classroom.objects.attended_by(user).values_list("pk", flat=True))
    context = {
        "school": settings.SCHOOL,
        "processing": facts.processing(),
        "classrooms": classrooms,
        "attended": attended,
        "can_take_back": any(given and each.pk in attended for each, given in classrooms),
        "is_asked": any(each.asks_consent and each.pk in attended for each, _given in classrooms),
    }
    return render(request, "evaluations/privacy/what_happens.html", context)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def consent(request: HttpRequest, pk: int) -> HttpResponse:
    """The class's text. POST: `agree` (to the words with the checksum in it), `withdraw`, or after that `delete`."""
    user, found = signed_in(request), get_attended_classroom(request, str(pk))
    if request.method == "POST":
        return _answered(request, user, found)
    context = {
        "classroom": found,
        "text": consents.current_text(found),
        "given": consents.standing(user, found),
        "handed_in": Submission.objects.filter(student=user, classroom=found).count(),
        "coming": Upload.objects.filter(student=user, classroom=found, submission=None).count(),
    }
    return render(request, "evaluations/privacy/consent.html", context)


def _answered(request: HttpRequest, user: User, found: Classroom) -> HttpResponse:
    if sha256 := request.POST.get("agree"):
        if not consents.agree(student=user, classroom=found, sha256=sha256):
            messages.warning(request, _("The text has changed since. Please read it again."))
            return redirect("consent", pk=found.pk)
        messages.info(request, _("Thank you. You can take your consent back at any time."))
        return redirect("record", pk=found.pk) if "record" in request.POST else redirect("dashboard")
    try:
        if "withdraw" in request.POST:
            consents.withdraw(student=user, classroom=found)
            erasing.discard_uploads(user, found)
            messages.info(request, _withdrawn(found))
        elif "delete" in request.POST:
            count = erasing.delete_everything(student=user, classroom=found, by=user)
            messages.info(request, _("What you handed in is deleted: %(count)s.") % {"count": count})
    except RefusedError as refused:
        messages.warning(request, catalogue.explain(refused.code).what)
    return redirect("consent", pk=found.pk)


def _withdrawn(found: Classroom) -> str:
    if found.asks_consent:
        return _("Your consent is taken back. Nothing new can be handed in for this class.")
    return _("Your consent is taken back. This class does not ask for it: you can still hand in.")


@never_cache
@login_required
@require_safe
@limits.paced("GET")
def own_data(request: HttpRequest) -> HttpResponseBase:
    """Everything that is kept of whoever asks, as a zip."""
    user = signed_in(request)
    return download(request, user, viewer=user)


def download(request: HttpRequest, student: User, viewer: User) -> HttpResponseBase:
    found = exporting.members(student, viewer)
    content: Any = exporting.pieces_async(found) if isinstance(request, ASGIRequest) else exporting.pieces(found)
    headers = {
        "Content-Disposition": f'attachment; filename="{exporting.file_name(student)}"',
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingHttpResponse(content, content_type="application/zip", headers=headers)
