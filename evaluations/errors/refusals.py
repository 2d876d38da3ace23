"""Refused requests, answered in one shape: `{code, title, what, todo, id}`."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping
from typing import Any, Final

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.template import loader
from django.utils.deprecation import MiddlewareMixin
from django.utils.http import url_has_allowed_host_and_scheme
from django.views import defaults
from psycopg.errors import QueryCanceled
from psycopg_pool import PoolTimeout, TooManyRequests

from evaluations.errors import catalogue
from evaluations.models import Submission
from queueing.models import Task

log = structlog.get_logger(__name__)

ROOT: Final = "/api/"
RETRY_AFTER_SECONDS: Final = 3
CODES: Final = {
    400: "invalid_request",
    401: "signed_out",
    403: "no_token",
    404: "not_found",
    405: "wrong_method",
    408: "too_slow_to_send",
    413: "too_large",
    429: "too_many_requests",
    500: "unexpected",
    503: "overloaded",
}
"""The codes of what Django itself refuses, by its status."""


class RefusedError(Exception):
    """The request can't be served; `code` is a key of the catalogue of errors.

    `detail` is a sentence on this case, `facts` are for programs: they come into the answer beside the words.
    """

    def __init__(
        self,
        status: int,
        code: str,
        headers: Mapping[str, str] | None = None,
        *,
        detail: str = "",
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.headers = dict(headers or {})
        self.detail = detail
        self.facts = dict(facts or {})


def refusal(refused: RefusedError) -> JsonResponse:
    """The answer to a refused request: the code and its words, and an id that is in the log."""
    body = catalogue.problem(refused.code, id=uuid.uuid4().hex[:12], detail=refused.detail)
    log.info("refused", id=body["id"], code=refused.code, status=refused.status)
    return JsonResponse({**body, **refused.facts}, status=refused.status, headers=refused.headers)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """The answer after an exception: 503 if the database had no connection for it, which passes; else 500."""
    if not _passes(sys.exc_info()[1]):
        return defaults.server_error(request)
    # Without the request: its user is in the database.
    page = loader.get_template("503.html").render()
    return HttpResponse(page, status=503, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def _passes(error: BaseException | None) -> bool:
    """Whether the database was away or fully in use. One statement that took too long would do so again."""
    if isinstance(error, PoolTimeout | TooManyRequests | InterfaceError):
        return True
    return isinstance(error, OperationalError) and not isinstance(error.__cause__, QueryCanceled)


class Inline(MiddlewareMixin):
    """Middleware whose methods wait for nothing.

    Under ASGI Django runs those of others in a thread, twice a request, and its loop waits for that; here they run in
    the loop.
    """

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        before, after = getattr(self, "process_request", None), getattr(self, "process_response", None)
        answer: Any = self.get_response  # async, where this is called
        response: HttpResponseBase = (before(request) if before else None) or await answer(request)
        if after:
            response = after(request, response)
        return response


class Gone(MiddlewareMixin):
    """404 when a submission is deleted while a request reads it."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        if isinstance(exception, Submission.DoesNotExist | Task.DoesNotExist):
            return defaults.page_not_found(request, exception)
        return None


class RefusalPage(MiddlewareMixin):
    """A refusal that a view did not put into words: in that shape to scripts, as a page to people."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        if not isinstance(exception, RefusedError):
            return None
        if request.headers.get("HX-Request"):
            return refusal(exception)
        log.info("refused", code=exception.code, status=exception.status)
        back, wait = request.headers.get("Referer", ""), exception.headers.get("Retry-After", "")
        here = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
        context = {
            "words": catalogue.explain(exception.code),
            "seconds": int(wait) if wait.isdecimal() else 0,
            "back": back if here else "/",
        }
        page = render(request, "refused.html", context, status=exception.status)
        for name, value in exception.headers.items():
            page[name] = value
        return page


class OneShape(Inline):
    """Gives that shape to what Django itself refuses to programs and scripts: no such address, no token, a crash."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if not request.path.startswith(ROOT):
            return self._shaped(response) if request.headers.get("HX-Request") else response
        response = self._shaped(response)
        response.headers.setdefault("Cache-Control", "no-store")
        if response.get("Content-Type", "").startswith("application/json"):
            response.headers.setdefault("Content-Disposition", 'attachment; filename="api.json"')
        return response

    def _shaped(self, response: HttpResponseBase) -> HttpResponseBase:
        if response.status_code < 400 or response.get("Content-Type", "").startswith("application/json"):
            return response
        code = CODES.get(response.status_code, "unexpected")
        shaped = refusal(RefusedError(response.status_code, code))
        for name, value in response.items():
            if not name.startswith("Content-"):
                shaped[name] = value  # such as Allow
        shaped.cookies = response.cookies
        return shaped
