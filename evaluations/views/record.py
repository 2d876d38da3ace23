"""The page on which a student records; its scripts are in static/evaluations/recorder/."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from evaluations.access.permissions import get_attended_classroom, signed_in
from evaluations.errors import catalogue
from evaluations.errors.refusals import RefusedError
from evaluations.models import Classroom
from evaluations.pages import rubric
from evaluations.uploads import limits
from evaluations.uploads.privacy import consents


@never_cache
@login_required
@require_safe
def record(request: HttpRequest, pk: int) -> HttpResponse:
    """The recorder for one class. A student who can't hand in now sees why before recording; recordings kept in the
    browser can still be sent. Where the class asks for a consent that is not there, its text comes first.
    """
    classroom = get_attended_classroom(request, str(pk))
    if consents.is_missing(signed_in(request), classroom):
        context = {"classroom": classroom, "text": consents.current_text(classroom), "to_record": True}
        return render(request, "evaluations/privacy/consent.html", context)
    context = {
        "classroom": classroom,
        "rules": rubric.rules([classroom]),
        "refused": _refusal(signed_in(request), classroom),
        "allowed": limits.allowed(signed_in(request), classroom),
        "max_bytes": settings.UPLOAD_MAX_BYTES,
        "chunk_bytes": settings.UPLOAD_CHUNK_BYTES,
    }
    return render(request, "evaluations/record.html", context)


def _refusal(student: User, classroom: Classroom) -> dict[str, str] | None:
    """Its words, as the API would answer."""
    try:
        limits.check_quota(student, classroom)
        limits.check_room(settings.UPLOAD_CHUNK_BYTES)
    except RefusedError as refused:
        return catalogue.problem(refused.code, id="", detail=refused.detail)
    return None
