"""The API: everything that the pages do, for programs. docs/api.md describes how to use it.

schemas.py      the shapes of its answers
describing.py   the answers that all operations have in common
submissions.py  a student's videos: status, results, retry, cancel, delete
handing_in.py   a small file, by one request
classes.py      classes attended and taught, unfinished uploads
queue.py        figures on the queue
chat.py         the coach

Uploads are tus (evaluations/uploads/). Errors have one shape everywhere (evaluations/errors/refusals.py).
"""

from __future__ import annotations

from functools import cache
from typing import Any, NoReturn

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema
from ninja.parser import Parser
from ninja.security import APIKeyCookie
from ninja.types import DictStrAny
from ninja.utils import check_csrf

from evaluations.access.permissions import signed_in
from evaluations.api import chat, classes, handing_in, queue, submissions
from evaluations.errors.refusals import RefusedError, refusal

DESCRIPTION = """\
Everything that the pages of IntroEval do, for programs.

**Signing in.** The API uses the session of the site: sign in at `/login/`, send the cookie `sessionid` (over HTTPS
`__Host-sessionid`), and with every request that changes something the cookie `csrftoken` as the header `X-CSRFToken`.
Without a session the answer is 401, without the token 403. What is not yours does not exist for you: 404.

**Errors** have one shape, `{code, title, what, todo, id}`. The words are for people; `code` is for programs.

**Small files**, at most 4 MiB, can be handed in by one request: `POST /api/upload`, as a form (`file`, `classroom`).

**Uploads** speak [tus 1.0](https://tus.io/protocols/resumable-upload) with the extensions creation,
creation-defer-length, termination and expiration, so any tus client will do. All requests carry `Tus-Resumable: 1.0.0`.

- `POST /api/uploads/` with `Upload-Length` (or `Upload-Defer-Length: 1`) and `Upload-Metadata: filename <base64>,
  classroom <base64 of the class's id>` answers 201 with `Location`. The class may be left out by who attends only one.
- `PATCH` that address with `Upload-Offset` and `Content-Type: application/offset+octet-stream`: at most 4 MiB at once.
- `HEAD` returns `Upload-Offset` after an interruption; `DELETE` discards the upload.
- With the last byte the video is handed in: the answer carries `Submission-Id`, `Submission-Location` and
  `Submission-New` (0: this very file had been handed in before).
- A new upload is refused with 503 and `Retry-After` while the lab is at capacity (`at_capacity`): begin it then.
- Refused with 400, 404, 409 (the offset), 410 (gone), 412, 413, 415, 423 (busy), 429 (limits of a student) or
  507 (the disk is full).
"""


class Session(APIKeyCookie):
    """The site's own session: 401 without one, 403 where a request that changes something has no CSRF token."""

    param_name = settings.SESSION_COOKIE_NAME

    def __call__(self, request: HttpRequest) -> User:
        if not request.user.is_authenticated:
            raise RefusedError(401, "signed_out")
        if check_csrf(request):
            raise RefusedError(403, "no_token")
        return signed_in(request)

    def authenticate(self, request: HttpRequest, key: str | None) -> User:
        return signed_in(request)


class OnlyJson(Parser):
    """A body that is said to be something else is not guessed at."""

    def parse_body(self, request: HttpRequest) -> DictStrAny:
        if request.content_type != "application/json":
            raise RefusedError(415, "no_json", {"Accept": "application/json"})
        return super().parse_body(request)


class Api(NinjaAPI):
    """Its description is made once: everybody may ask for it, and making it takes half a second of a processor."""

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> OpenAPISchema:
        return _described(self, path_prefix or self.get_root_path(path_params or {}))


@cache
def _described(api: Api, path_prefix: str) -> OpenAPISchema:
    return NinjaAPI.get_openapi_schema(api, path_prefix=path_prefix)


# No page of documentation: the one that comes with it is ten times what a page of ours may weigh.
api = Api(
    title="IntroEval",
    version="1",
    description=DESCRIPTION,
    docs_url=None,
    docs_decorator=require_safe,  # of openapi.json
    urls_namespace="api",
    auth=Session(),
    parser=OnlyJson(),
)
api.add_router("", submissions.router)
api.add_router("", handing_in.router)
api.add_router("", classes.router)
api.add_router("", queue.router)
api.add_router("", chat.router)


@api.exception_handler(RefusedError)
def refused(request: HttpRequest, error: RefusedError) -> HttpResponse:
    return refusal(error)


@api.exception_handler(ValidationError)
def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    details = (f"{one['loc'][-1]}: {one['msg']}." for one in error.errors)
    return refusal(RefusedError(422, "invalid_request", detail=" ".join(details)))


# refusals.OneShape gives the following answers their body.


@api.exception_handler(Http404)
def not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    return HttpResponse(status=404)


@api.exception_handler(RequestDataTooBig)
def too_large(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    return HttpResponse(status=413)


@api.exception_handler(HttpError)
def http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    if isinstance(error.__cause__, RefusedError):  # of OnlyJson
        return refusal(error.__cause__)
    return HttpResponse(status=error.status_code)


@api.exception_handler(Exception)
def unexpected(request: HttpRequest, error: Exception) -> NoReturn:
    raise error  # to Django, which logs it; django-ninja would show it while DEBUG is on
