"""The student's page: what to do, an upload form, and a live list of submissions."""

from __future__ import annotations

import hashlib
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from evaluations.access import welcome
from evaluations.access.permissions import classrooms_taught, signed_in
from evaluations.models import Classroom
from evaluations.pages import rows, rubric
from evaluations.pages.rows import maintenance
from evaluations.uploads import limits
from evaluations.uploads.privacy import consents


@never_cache
@login_required
@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    user = signed_in(request)
    attended = list(Classroom.objects.attended_by(user).select_related("rubric"))
    if not attended and classrooms_taught(user).exists():
        return redirect("classes")
    return render(request, "evaluations/dashboard.html", _context(request, attended))


@never_cache
@login_required
@require_safe
def fragment(request: HttpRequest) -> HttpResponse:
    """The whole list and what is to be said once, polled by pages whose socket is down, and when work goes on again."""
    listed = _list(signed_in(request))
    return render(request, "evaluations/_submissions.html", {**listed, "news": _notices(request, listed)})


@never_cache
@login_required
@require_safe
def unfinished(request: HttpRequest) -> HttpResponse:
    """The student's unfinished uploads. 204 while they are the same as at `state`."""
    context = _unfinished(signed_in(request))
    if request.GET.get("state") == context["unfinished_state"]:
        return HttpResponse(status=204)
    return render(request, "evaluations/_unfinished.html", context)


def _unfinished(user: User) -> dict[str, Any]:
    found = limits.unfinished_of(user)
    facts = repr([(one.pk, one.offset, one.length, one.is_arriving) for one in found])  # type: ignore[attr-defined]
    return {"unfinished": found, "unfinished_state": hashlib.blake2s(facts.encode(), digest_size=8).hexdigest()}


def _context(request: HttpRequest, attended: list[Classroom]) -> dict[str, Any]:
    user = signed_in(request)
    listed = _list(user)
    to_agree = consents.missing(user, attended)
    waiting = {each.classroom_id for each in to_agree}
    ready = [each for each in attended if each.pk not in waiting]
    return {
        **listed,
        "notices": _notices(request, listed),
        "classrooms": attended,
        "to_agree": to_agree,
        "ready": ready,
        "rules": rubric.rules(ready),
        **_unfinished(user),
        "max_bytes": settings.UPLOAD_MAX_BYTES,
        "chunk_bytes": settings.UPLOAD_CHUNK_BYTES,
    }


def _notices(request: HttpRequest, listed: dict[str, Any]) -> list[str]:
    return list(welcome.notices(request.session, came_back=maintenance.came_back(listed["rows"])))


def _list(user: User) -> dict[str, Any]:
    queue = rows.read_queue()
    return {"rows": rows.of_student(user, queue), "queue": queue}
