"""One submission: its result, its media, and retry, cancel and delete."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.cache import get_conditional_response
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from evaluations import actions
from evaluations.access import limits
from evaluations.access.permissions import get_own_submission, get_visible_submission, signed_in
from evaluations.actions import appeals
from evaluations.actions.decisions import InvalidDecisionError
from evaluations.media import seekable as players
from evaluations.media import serve, store
from evaluations.models import Submission, Transcript, corrected
from evaluations.pages import result, rows
from evaluations.pages.captions import webvtt
from evaluations.rating import speech
from evaluations.uploads.privacy import retention
from evaluations.views import coach, operations
from queueing.exceptions import Permanent
from queueing.models.connections import give_back


class AppealForm(forms.Form):
    sentence = forms.CharField(
        min_length=appeals.MIN_CHARACTERS,
        max_length=appeals.MAX_CHARACTERS,
        label=gettext_lazy("What should your teacher look at again? You can ask once."),
        widget=forms.Textarea({"rows": 3}),
    )


@never_cache
@login_required
@require_safe
def submission(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    found = get_visible_submission(request, pk)
    context = {**_progress(request, found), **_results(request, found), **coach.of(found, request)}
    shown = context["evaluation"]
    context["kept"] = retention.of(found, shown.released_at if shown else None)
    return render(request, "evaluations/submission.html", context)


@never_cache
@login_required
@require_safe
def row(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The submission's row, as in a list. 204 while it is the same as at `state`."""
    context = _progress(request, get_visible_submission(request, pk))
    if request.GET.get("state") == context["state"]:
        return HttpResponse(status=204)
    response = render(request, "evaluations/_progress.html", context)
    if request.GET.get("version") != context["row"].version:
        response["HX-Trigger"] = "results-changed"
    return response


@never_cache
@login_required
@require_safe
def results(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """What there is so far: transcript, form, scores."""
    found = get_visible_submission(request, pk)
    return render(request, "evaluations/_results.html", _results(request, found))


@login_required
@require_safe
def media(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """The video itself, in ranges; its sound alone with `?sound`."""
    found = get_visible_submission(request, pk)
    try:
        path = store.locate(found.path)
    except Permanent:
        raise Http404("the stored file is gone") from None
    # A player may wait for its copy, and reading take minutes: meanwhile other requests need the connection.
    give_back()
    played = players.sound(path) if "sound" in request.GET else players.seekable(path)
    container = players.container(played, found.container)
    return serve.stream(request, played, serve.content_type(container, video=found.has_video is not False))


@login_required
@require_safe
def captions(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """The transcript as WebVTT. 404 until there is one."""
    transcript = get_object_or_404(Transcript, submission=get_visible_submission(request, pk))
    file = webvtt(speech.words_of(corrected(transcript).segments)).encode()
    response = HttpResponse(file, content_type="text/vtt; charset=utf-8")
    # On a shared computer the next user must be authorised again.
    response["Cache-Control"] = "private, no-cache"
    response["ETag"] = f'"{hashlib.blake2s(file, digest_size=8).hexdigest()}"'
    return get_conditional_response(request, etag=response["ETag"], response=response) or response


@login_required
@require_POST
def retry(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Try again from the stage that failed."""
    found = get_visible_submission(request, pk)
    limits.spend_moves(signed_in(request), [found.pk])
    moved = actions.retry(submission=found, by=signed_in(request))
    return _after(request, found, _("It is tried again.") if moved else _("There was nothing to try again."))


@login_required
@require_POST
def cancel(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Stop the work; the video stays."""
    found = get_visible_submission(request, pk)
    limits.spend_moves(signed_in(request), [found.pk])
    moved = actions.cancel(submission=found, by=signed_in(request))
    words = _("It was cancelled. The video is kept.") if moved else _("There was nothing to cancel.")
    return _after(request, found, words)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def appeal(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The student asks once for another look at a released result."""
    found = get_own_submission(request, pk)
    form = AppealForm(request.POST if request.method == "POST" else None)
    if request.method != "POST" or not form.is_valid():
        context = {"submission": found, "form": form}
        return render(request, "evaluations/appeal.html", context, status=400 if form.errors else 200)
    try:
        asked = appeals.ask(submission=found, by=signed_in(request), sentence=form.cleaned_data["sentence"])
        words = _("Your teacher is asked for another look.") if asked else _("You have asked already.")
    except InvalidDecisionError:
        words = _("There is nothing to ask about: no result is shown at the moment.")
    messages.info(request, words)
    return redirect("submission", pk=found.pk)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """GET shows a confirmation, for browsers without scripts; POST deletes it for good."""
    found = get_visible_submission(request, pk)
    if request.method != "POST":
        return render(request, "evaluations/delete.html", {"submission": found})
    actions.delete(submission=found, by=signed_in(request))
    if request.headers.get("HX-Request") and _page_asking(request) == reverse("dashboard"):
        return HttpResponse(headers={"HX-Trigger": json.dumps({"submission-deleted": {"id": str(found.pk)}})})
    messages.info(request, _("“%(name)s” was deleted.") % {"name": found.original_name})
    own = found.student_id == signed_in(request).pk
    home = reverse("dashboard") if own else reverse("classroom", args=[found.classroom_id])
    return HttpResponse(headers={"HX-Redirect": home}) if request.headers.get("HX-Request") else redirect(home)


def _page_asking(request: HttpRequest) -> str:
    """The path of the page that sent the htmx request."""
    return urlsplit(request.headers.get("HX-Current-URL", "")).path


def _after(request: HttpRequest, found: Submission, words: str) -> HttpResponse:
    """The new row for a request from a list; otherwise a redirect to the submission."""
    page = reverse("submission", args=[found.pk])
    if _page_asking(request) == page:
        # Its results, too, look different now.
        return HttpResponse(headers={"HX-Refresh": "true"})
    if request.headers.get("HX-Request"):
        return HttpResponse(_progress(request, found)["row_html"])
    messages.info(request, words)
    return redirect(page)


def _results(request: HttpRequest, found: Submission) -> dict[str, Any]:
    return {**result.of(found, signed_in(request)), **operations.of(found)}


def _progress(request: HttpRequest, found: Submission) -> dict[str, Any]:
    """The row, and a `state` that changes whenever its HTML does."""
    row = rows.one(found)
    theirs = found.student_id != request.user.pk
    html = rows.render(row, theirs=theirs)
    return {
        "row": row,
        "theirs": theirs,
        "row_html": html,
        "state": hashlib.blake2s(html.encode(), digest_size=8).hexdigest(),
    }
