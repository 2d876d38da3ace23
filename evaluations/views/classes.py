"""The teacher's pages: classes, and the submissions of a class."""

from __future__ import annotations

from typing import Final

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from evaluations.access.permissions import classrooms_taught, signed_in
from evaluations.models import Submission
from evaluations.pages import rows

PAGE_SIZE: Final = 100


@never_cache
@login_required
@require_safe
def classes(request: HttpRequest) -> HttpResponse:
    """The classes a user teaches; the page has a text for users who teach none."""
    found = classrooms_taught(signed_in(request)).with_figures().order_by("name")
    return render(request, "evaluations/classes.html", {"classrooms": found})


@never_cache
@login_required
@require_safe
def classroom(request: HttpRequest, pk: int) -> HttpResponse:
    """One class; for htmx the table alone."""
    found = get_object_or_404(classrooms_taught(signed_in(request)), pk=pk)
    submissions = Submission.objects.filter(classroom=found).select_related("evaluation")
    page = Paginator(submissions, PAGE_SIZE).get_page(request.GET.get("page"))
    queue = rows.read_queue()
    context = {
        "classroom": found,
        "page": page,
        "rows": rows.of(submissions.filter(pk__in=[row.pk for row in page.object_list]), queue),
        "queue": queue,
        "missing": found.missing(),
    }
    partial = bool(request.headers.get("HX-Request"))
    return render(request, "evaluations/_classroom.html" if partial else "evaluations/classroom.html", context)
