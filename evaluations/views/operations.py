"""Summary and mind map of a submission: what a result page shows of them, the requests for them, the map as a file."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_stubs_ext import StrOrPromise

from evaluations.access import limits
from evaluations.access.permissions import get_taught_classroom, get_visible_submission
from evaluations.actions import trail
from evaluations.coaching.operations import files, joined, requests
from evaluations.coaching.operations.files import Outline
from evaluations.coaching.operations.prompts import MAX_LEAVES
from evaluations.errors import catalogue
from evaluations.models import MIND_MAP, SUMMARY, Form, MindMap, Submission, Summary, Topic
from evaluations.pages import charts
from queueing.models import Task
from queueing.states import LIVE, State


@dataclass(frozen=True, slots=True)
class OperationWords:
    """One of the two, as its button and its line say it."""

    pipeline: str
    button: StrOrPromise
    under_way: StrOrPromise
    again: StrOrPromise


WORDS: Final = (
    OperationWords(
        SUMMARY,
        gettext_lazy("Summarise"),
        gettext_lazy("The summary is being written; it comes after the ratings that wait."),
        gettext_lazy("Summarise again"),
    ),
    OperationWords(
        MIND_MAP,
        gettext_lazy("Draw a mind map"),
        gettext_lazy("The mind map is being drawn; it comes after the ratings that wait."),
        gettext_lazy("Draw the mind map again"),
    ),
)


def of(found: Submission) -> dict[str, Any]:
    """The context of `_operations.html`, which is shown where there is a transcript."""
    summary, drawn = Summary.objects.filter(submission=found).first(), MindMap.objects.filter(submission=found).first()
    newest: dict[str, Task] = {
        task.pipeline: task
        for task in Task.objects.filter(submission=found, pipeline__in=requests.PIPELINES).order_by("pk")
    }
    made = {SUMMARY: summary is not None, MIND_MAP: drawn is not None}
    lines = [_line(words, newest.get(words.pipeline), is_there=made[words.pipeline]) for words in WORDS]
    return {
        "operations": lines,
        "are_under_way": any(line["is_live"] for line in lines),
        "operation_words": " ".join(line["words"] for line in lines if line["words"]),
        "summary": summary,
        "mind_map": drawn,
        "map_outline": outline(found, drawn) if drawn else None,
        "map_drawing": drawing(found, drawn) if drawn else None,
    }


def _line(words: OperationWords, task: Task | None, *, is_there: bool) -> dict[str, Any]:
    is_live = task is not None and task.state in LIVE
    said = str(words.under_way) if is_live else ""
    if task is not None and task.state == State.FAILED:
        said = _("It did not work: %(why)s.") % {"why": catalogue.explain(task.error_code).title}
    return {
        "name": words.pipeline.replace("_", "-"),
        "url": f"submission-{words.pipeline.replace('_', '-')}",
        "button": words.again if is_there else words.button,
        "is_live": is_live,
        "words": said,
    }


def outline(found: Submission, drawn: MindMap) -> Outline:
    form = Form.objects.filter(submission=found).first()
    title = files.legal(form.name) if form and form.name else _("Introduction")
    return Outline(title, [(str(Topic(one["topic"]).label), one["leaves"]) for one in drawn.branches])


def drawing(found: Submission, drawn: MindMap) -> charts.MapDrawing | None:
    """None where no leaf is left."""
    words = outline(found, drawn)
    if not words.branches:
        return None
    branches = [(title, [(leaf["text"], leaf["start"]) for leaf in leaves]) for title, leaves in words.branches]
    return charts.mind_map(words.title, branches)


@never_cache
@login_required
@require_safe
def operations(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The part of the result page that it asks for again while something is under way."""
    found = get_visible_submission(request, pk)
    return render(request, "evaluations/_operations.html", {"submission": found, **of(found)})


@login_required
@require_POST
def begin(request: HttpRequest, pk: uuid.UUID, pipeline: str) -> HttpResponse:
    """Ask for one of them: the part as it is then for htmx, else a redirect to the page."""
    found = get_visible_submission(request, pk)
    if not requests.can_be_made(found):
        words = catalogue.explain("no_transcript").title
    elif requests.request(submission=found, pipeline=pipeline):
        trail.record_for_others(trail.Verb.MOVED, found, what=pipeline)
        words = _("It is being made.")
    else:
        words = _("It is being made already: nothing new was begun.")
    if request.headers.get("HX-Request"):
        return render(request, "evaluations/_operations.html", {"submission": found, "asked": words, **of(found)})
    messages.info(request, words)
    return redirect("submission", pk=found.pk)


@never_cache
@login_required
@require_safe
@limits.paced("GET")
def class_in_short(request: HttpRequest, pk: int) -> HttpResponse:
    """What a class's students said about themselves, joined, and as a mind map."""
    found = get_taught_classroom(request, pk)
    in_short = joined.of_class(found)
    branches: charts.MapWords = [
        (str(topic.label), [(answer.words, None) for answer in answers[:MAX_LEAVES]])
        for topic, answers in in_short.topics
    ]
    drawn = charts.mind_map(found.name, branches) if branches else None
    context = {"classroom": found, "in_short": in_short, "map_drawing": drawn}
    return render(request, "evaluations/classroom_in_short.html", context)


@never_cache
@login_required
@require_safe
def download(request: HttpRequest, pk: uuid.UUID, kind: str) -> HttpResponse:
    """The mind map as a file: svg, md or opml. 404 until there is one with a leaf."""
    found = get_visible_submission(request, pk)
    drawn = get_object_or_404(MindMap.objects.exclude(branches=[]), submission=found)
    words = outline(found, drawn)
    match kind:
        case "svg":
            response = render(
                request,
                "evaluations/mind_map.svg",
                {"map_drawing": drawing(found, drawn), "map_title": words.title},
                content_type="image/svg+xml",
            )
        case "md":
            response = HttpResponse(files.markdown(words), content_type="text/markdown; charset=utf-8")
        case _:
            response = HttpResponse(files.opml(words), content_type="text/x-opml; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="mind-map.{kind}"'
    return response
