"""What a request gets whose session has ended, or became another user's since the page that sends it was made."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.http import url_has_allowed_host_and_scheme

from evaluations.errors.refusals import Inline, RefusedError, refusal

OWNER: Final = "X-User"
"""The header by which a script says whose page it works for (static/evaluations/session.js): a user's key."""
SAFE: Final = ("GET", "HEAD", "OPTIONS")


class PageOwner(Inline):
    """Answers scripts with 401 instead of the login page, and sends forms back to the page they were on.

    A computer in a lab is shared: with another user's session an upload would become that user's, and a list would show
    that user's videos. So a script of a page whose user is not the session's is refused as if nobody were signed in.
    """

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """As a thread may be needed: the user is read from the database."""
        refused = await sync_to_async(self.process_request)(request) if _is_scripts(request) else None
        answer: Any = self.get_response  # async, where this is called
        return self.process_response(request, refused or await answer(request))

    def process_request(self, request: HttpRequest) -> HttpResponseBase | None:
        if not _is_scripts(request):
            return None
        owner = request.headers.get(OWNER)
        if not request.user.is_authenticated:
            return refusal(RefusedError(401, "signed_out"))
        return None if is_owner(owner or "", request.user) else refusal(RefusedError(401, "someone_else"))

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if request.method in SAFE or not _leads_to_login(request, response):
            return response
        # login_required names the address that was refused, which takes no GET.
        query = urlencode({"next": _page_of(request), "ended": "undone"})
        return HttpResponseRedirect(f"{resolve_url('login')}?{query}")


def _is_scripts(request: HttpRequest) -> bool:
    return OWNER in request.headers or "HX-Request" in request.headers


def is_owner(owner: str, user: User | AnonymousUser) -> bool:
    """Whether a page made for `owner`, a user's key or empty if it does not say, may use this user's session."""
    return owner in ("", str(user.pk))


def _leads_to_login(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whether it was refused for want of a session: sent to the login, and from there to where it was sent to."""
    if not isinstance(response, HttpResponseRedirect):
        return False
    parts = urlsplit(response.url)
    return parts.path == resolve_url("login") and parse_qs(parts.query).get("next") == [request.get_full_path()]


def _page_of(request: HttpRequest) -> str:
    """The path of the page that sent the request, as far as the browser tells it."""
    referer = request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(referer, {request.get_host()}):
        return resolve_url("dashboard")
    parts = urlsplit(referer)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
