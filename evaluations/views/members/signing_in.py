"""Signing in by a card, and asking for a place in a class: for people who have no password."""

from __future__ import annotations

import time
from typing import Final

import structlog
from django import forms
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from evaluations.access.limits import Buckets
from evaluations.access.members import cards, joining
from evaluations.access.members.cards import SlipError
from evaluations.access.members.joining import NotAskedError
from evaluations.access.session_store import CARD
from evaluations.models import JoinRequest, LoginCard

log = structlog.get_logger(__name__)

BACKEND: Final = "django.contrib.auth.backends.ModelBackend"
ASKED: Final = "join_request"  # in the session of the browser that asked

# Codes that are well formed but nobody's, by address. A class has slips, which its check sign tells from these.
wrong_codes = Buckets(60, 1.0)
# Requests for a place, by address: a class of thirty at once, twice.
requests_made = Buckets(60, 0.2)


class CardForm(forms.Form):
    code = forms.CharField(
        max_length=40,
        label=gettext_lazy("The code on your card"),
        widget=forms.TextInput(
            {"autocomplete": "off", "autocapitalize": "characters", "spellcheck": "false", "placeholder": "ABC-DEF-GHJ"}
        ),
    )


class JoinForm(forms.Form):
    code = forms.CharField(
        max_length=40,
        label=gettext_lazy("The code of the class"),
        widget=forms.TextInput({"autocomplete": "off", "autocapitalize": "characters", "spellcheck": "false"}),
    )
    name = forms.CharField(
        max_length=200, required=False, label=gettext_lazy("Your first and last name"), widget=forms.TextInput()
    )


@sensitive_post_parameters("code")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def card(request: HttpRequest) -> HttpResponse:
    """Sign in by the code of a card; a scanned one comes behind the `#`, which no server and no log sees."""
    form = CardForm(request.POST if request.method == "POST" else None)
    status = 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            found, status = _card(request, form)
            if found is not None:
                return _enter(request, found.student, card=found.pk)
    response = render(request, "evaluations/members/card.html", {"form": form, "next": _next(request)}, status=status)
    if status == 429:
        response["Retry-After"] = "1"
    return response


def _card(request: HttpRequest, form: CardForm) -> tuple[LoginCard | None, int]:
    """The card, or what to say and the status to say it with."""
    address = request.META.get("REMOTE_ADDR", "")
    if wrong_codes.would_wait(address, time.monotonic()):
        log.warning("too_many_wrong_codes", address=address)
        form.add_error("code", _("Too many wrong codes came from your network. Wait a moment, then try again."))
        return None, 429
    try:
        found = cards.find(form.cleaned_data["code"])
    except SlipError:
        form.add_error("code", _("There is a slip in it: compare it with your card, sign by sign."))
        return None, 400
    if found is None:
        wrong_codes.wait(address, time.monotonic())
        log.warning("login_failed", by="card", address=address)
        form.add_error("code", _("This code does not work, or not any more. Ask your teacher for a new card."))
        return None, 400
    LoginCard.objects.filter(pk=found.pk).update(used_at=Now())
    return found, 302


def _enter(request: HttpRequest, user: User, *, card: int | None = None) -> HttpResponse:
    login(request, user, backend=BACKEND)
    if card is not None:
        request.session[CARD] = card
    return redirect(_next(request) or resolve_url("dashboard"))


def _next(request: HttpRequest) -> str:
    """Where the page wanted to lead, if that is on this site."""
    wanted = request.POST.get("next") or request.GET.get("next", "")
    return wanted if url_has_allowed_host_and_scheme(wanted, {request.get_host()}, request.is_secure()) else ""


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def join(request: HttpRequest) -> HttpResponse:
    """Ask for a place: with one's account, or by a name."""
    form = JoinForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid() and _asked(request, form):
        return redirect("join-waiting")
    return render(request, "evaluations/members/join.html", {"form": form}, status=400 if form.errors else 200)


def _asked(request: HttpRequest, form: JoinForm) -> bool:
    address = request.META.get("REMOTE_ADDR", "")
    if requests_made.wait(address, time.monotonic()):
        form.add_error(None, _("Too many requests came from your network. Wait a moment, then try again."))
        return False
    found = joining.find(form.cleaned_data["code"])
    if found is None:
        form.add_error("code", _("This code does not work, or not any more: compare it, or ask your teacher."))
        return False
    student = request.user if isinstance(request.user, User) else None
    try:
        made = joining.ask(found, name=form.cleaned_data["name"], student=student)
    except NotAskedError as error:
        form.add_error(None if student else "name", str(error))
        return False
    request.session[ASKED] = made.pk
    return True


@never_cache
@require_safe
def waiting(request: HttpRequest) -> HttpResponse:
    """What became of the request that this browser made; its page looks again by itself."""
    asked = _own_request(request)
    return render(request, "evaluations/members/waiting.html", {"asked": asked, "JoinState": JoinRequest.JoinState})


@never_cache
@require_POST
def enter(request: HttpRequest) -> HttpResponse:
    """Sign in to the account that the approval made, once, in the browser that asked."""
    asked = _own_request(request)
    if asked is None or request.user.is_authenticated:
        return redirect("join-waiting")
    user = joining.enter(asked)
    return _enter(request, user) if user else redirect("join-waiting")


def _own_request(request: HttpRequest) -> JoinRequest | None:
    key = request.session.get(ASKED)
    return JoinRequest.objects.filter(pk=key).select_related("classroom", "student").first() if key else None
