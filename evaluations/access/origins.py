"""Where requests come from, and those whose browser hides it.

Under a strict referrer policy (`no-referrer`, set by an extension, a school's settings or a proxy) a browser sends
`Origin: null` with the forms of our own pages, and Django would refuse them all, the login first.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import REASON_NO_CSRF_COOKIE
from django.shortcuts import render

from evaluations.actions import trail
from evaluations.errors.refusals import Inline


class HiddenOrigin(Inline):
    """Takes `Origin: null` for no origin at all, so that the CSRF token decides; stands before Django's check of it.

    `Sec-Fetch-Site`, which no page can set, tells same-origin requests from those of a sandboxed frame elsewhere, whose
    origin is null, too. Over HTTPS Django demands an origin or a referrer beside the token, so there it is needed.
    """

    def process_request(self, request: HttpRequest) -> None:
        if request.META.get("HTTP_ORIGIN") != "null":
            return
        del request.META["HTTP_ORIGIN"]
        if request.headers.get("Sec-Fetch-Site") == "same-origin":
            request.META["HTTP_ORIGIN"] = f"{request.scheme}://{request.get_host()}"


def refused(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The page for a form without a valid token; `reason` is Django's, in English."""
    why = {"no_cookie": reason == REASON_NO_CSRF_COOKIE, "is_hidden": "Referer" in reason}
    return render(request, "403_csrf.html", why, status=403)


class RequestAtWork(Inline):
    """Lets the audit trail know whose request is being answered, and from where."""

    def process_request(self, request: HttpRequest) -> None:
        trail.request_at_work.set(request)

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        trail.request_at_work.set(None)
        return response
