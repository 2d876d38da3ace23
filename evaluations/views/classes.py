"""The teacher's pages: classes, the board of a class, and what can be taken from it."""

from __future__ import annotations

import uuid
from typing import Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import content_disposition_header
from django.utils.timezone import localdate
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from evaluations import actions
from evaluations.access import limits
from evaluations.access.permissions import classrooms_taught, get_taught_classroom, signed_in
from evaluations.actions import reratings, trail
from evaluations.models import Classroom, Submission
from evaluations.models.classroom import CLASSES_SHOWN
from evaluations.pages import board, rubric
from evaluations.pages.board import Choice, export, sheets
from evaluations.pages.lab.first_steps import first_steps
from evaluations.pages.rows import maintenance

MAX_CHOSEN: Final = 1000  # rows of one request


@never_cache
@login_required
@require_safe
def classes(request: HttpRequest) -> HttpResponse:
    """The classes a user teaches, by name; the page has a text for users who teach none."""
    user = signed_in(request)
    taught = classrooms_taught(user).with_figures().select_related("rubric").order_by("name")
    shown = Paginator(taught, CLASSES_SHOWN).get_page(request.GET.get("page"))
    steps = first_steps(list(shown)) if user.is_superuser else []
    return render(request, "evaluations/classes.html", {"classrooms": shown, "steps": steps})


@never_cache
@login_required
@require_safe
def classroom(request: HttpRequest, pk: int) -> HttpResponse:
    """One class, a row per student; for htmx the board alone."""
    found = get_taught_classroom(request, pk)
    shown = board.of(found, Choice.of(request.GET))
    partial = bool(request.headers.get("HX-Request"))
    template = "evaluations/_board.html" if partial else "evaluations/classroom.html"
    # The seals beside the board are read with the page alone: they change with whole orders, not every few seconds.
    seals = [] if partial else reratings.seals_of(found)
    only = "" if partial else rubric.only_understood(found.rubric.language)
    back = maintenance.came_back(row.shown for row in shown.students if row.shown)
    return render(request, template, {"classroom": found, "board": shown, "seals": seals, "only": only, "back": back})


@login_required
@require_POST
def retry(request: HttpRequest, pk: int) -> HttpResponse:
    """Try again with the chosen submissions, `submission` in the form; nothing chosen is nothing done."""
    found = get_taught_classroom(request, pk)
    return _retry(request, found, chosen(request, found))


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def retry_failed(request: HttpRequest, pk: int) -> HttpResponse:
    """GET shows a confirmation, for browsers without scripts; POST tries again with all that failed."""
    found = get_taught_classroom(request, pk)
    shown = board.of(found, Choice.of(request.GET))
    if request.method != "POST":
        return render(request, "evaluations/retry_failed.html", {"classroom": found, "board": shown})
    keys = [row.shown.submission.pk for row in shown.failed if row.shown]
    return _retry(request, found, found.submissions.filter(pk__in=keys))


@never_cache
@login_required
@require_safe
@limits.paced("GET")
def export_file(request: HttpRequest, pk: int, kind: str) -> HttpResponse:
    """The class as a file for spreadsheets, `kind` being one of `export.MIME_TYPES`."""
    found = get_taught_classroom(request, pk)
    file = export.table(found).as_format(kind)
    trail.record(trail.Verb.EXPORTED, found, what=kind)
    name = f"{found.name} {localdate():%Y-%m-%d}.{kind}".replace("/", "-")
    disposition = str(content_disposition_header(as_attachment=True, filename=name))
    return HttpResponse(file, content_type=export.MIME_TYPES[kind], headers={"Content-Disposition": disposition})


@never_cache
@login_required
@require_safe
@limits.paced("GET", unless="student")
def printable(request: HttpRequest, pk: int) -> HttpResponse:
    """A sheet per student to be printed: `?student=` for one, `?all=1` with ratings that are not released."""
    found = get_taught_classroom(request, pk)
    everything, student = request.GET.get("all") == "1", request.GET.get("student", "")
    trail.record(trail.Verb.EXPORTED, found, what="sheets", student=student if student.isdecimal() else "")
    context = {
        "classroom": found,
        "sheets": sheets.of(found, student=student, unreleased=everything),
        "student": student,
        "everything": everything,
    }
    return render(request, "evaluations/sheets.html", context)


def chosen(request: HttpRequest, found: Classroom) -> QuerySet[Submission]:
    """The submissions of the class that the board's form names."""
    return found.submissions.filter(pk__in=_keys(request.POST.getlist("submission")[:MAX_CHOSEN]))


def done(request: HttpRequest, found: Classroom, words: str) -> HttpResponse:
    """What was done to the rows of a class: for htmx as words for the board, which asks for its rows at once."""
    if request.headers.get("HX-Request"):
        return HttpResponse(
            format_html('<p class="notice">{}</p>', words), headers={"HX-Trigger-After-Swap": "board-changed"}
        )
    messages.info(request, words)
    return redirect(reverse("classroom", args=[found.pk]) + Choice.of(request.GET).query())


def _retry(request: HttpRequest, found: Classroom, submissions: QuerySet[Submission]) -> HttpResponse:
    limits.spend_moves(signed_in(request), submissions.order_by().values_list("pk", flat=True))
    report = actions.retry_all(submissions=submissions, by=str(signed_in(request).pk))
    if not (report.moved or report.skipped):
        return done(request, found, _("Nothing was chosen that could be tried again."))
    parts = [ngettext("%(count)s queued", "%(count)s queued", len(report.moved)) % {"count": len(report.moved)}]
    if skipped := len(report.skipped):
        why = ngettext(
            "%(count)s skipped: it neither failed nor was cancelled",
            "%(count)s skipped: they neither failed nor were cancelled",
            skipped,
        )
        parts.append(why % {"count": skipped})
    return done(request, found, ", ".join(parts) + ".")


def _keys(given: list[str]) -> list[uuid.UUID]:
    """Of what a form says to be keys, those that are."""
    found = []
    for key in given:
        try:
            found.append(uuid.UUID(key))
        except ValueError:
            continue
    return found
