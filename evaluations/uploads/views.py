"""The two addresses of the tus server. Bodies are raw chunks of at most UPLOAD_CHUNK_BYTES.

An ASGI server has the whole body in memory before a view runs, so chunks are small and nothing larger is read.
"""

from __future__ import annotations

import contextlib
import functools
import uuid
from collections.abc import Callable, Iterator

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from evaluations.access.permissions import get_attended_classroom, get_own_upload, signed_in
from evaluations.errors.refusals import RefusedError, refusal
from evaluations.models import Upload
from evaluations.uploads import files, intake, protocol

View = Callable[..., HttpResponse]


def tus(view: View) -> View:
    """Decorator: requires a session and the right protocol version, and answers refusals in the API's shape."""

    @functools.wraps(view)
    def wrapper(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        try:
            return _checked(view)(request, *args, **kwargs)
        except RefusedError as refused:
            return refusal(refused)

    return wrapper


def _checked(view: View) -> View:
    def wrapper(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if not request.user.is_authenticated:
            raise RefusedError(401, "signed_out")
        if request.method == "OPTIONS":
            return _abilities()
        if request.headers.get("Tus-Resumable") != protocol.VERSION:
            raise RefusedError(412, "bad_request", {"Tus-Version": protocol.VERSION})
        return view(request, *args, **kwargs)

    return wrapper


@tus
@require_http_methods(["POST", "OPTIONS"])
def uploads(request: HttpRequest) -> HttpResponse:
    """Creation: `Upload-Length` or `Upload-Defer-Length: 1`; `Upload-Metadata` with filename, classroom and client."""
    length = protocol.declared_length(request.headers)
    fields = protocol.metadata(request.headers.get("Upload-Metadata", ""))
    try:
        classroom = get_attended_classroom(request, fields.get("classroom", ""))
    except Http404:
        raise RefusedError(404, "no_class") from None
    name = protocol.shown_name(fields.get("filename", ""))
    upload = intake.begin(
        student=signed_in(request),
        classroom=classroom,
        name=name,
        length=length,
        client_id=protocol.client_id(fields),
    )
    return HttpResponse(
        status=201,
        headers={
            "Location": reverse("upload", args=[upload.pk]),
            "Upload-Expires": protocol.http_date(upload.expires_at),
        },
    )


@tus
@require_http_methods(["HEAD", "PATCH", "DELETE", "OPTIONS"])
def upload(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One upload: its offset (HEAD), its next chunk (PATCH), discard it (DELETE)."""
    try:
        if request.method == "PATCH":
            return _patch(request, pk)
        return _delete(request, pk) if request.method == "DELETE" else _head(request, pk)
    except Http404:
        raise RefusedError(404, "upload_gone") from None


def _head(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    with _own_alone(request, pk) as found:
        created = intake.complete(found)
    response = _progress(found, created, status=200)
    fields = {"filename": found.original_name, "classroom": str(found.classroom_id)}
    response["Upload-Metadata"] = protocol.metadata_header(fields)
    return response


def _patch(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    if request.content_type != protocol.BODY_TYPE:
        raise RefusedError(415, "bad_request")
    offset = protocol.whole_number(request.headers, "Upload-Offset")
    if offset is None:
        raise RefusedError(400, "bad_request")
    length = protocol.whole_number(request.headers, "Upload-Length")
    chunk = _body(request)
    with _own_alone(request, pk) as found:
        if length is not None:
            intake.declare_length(found, length)
        intake.append(found, offset=offset, chunk=chunk)
        code = intake.refused(found, since=offset)
        if code:
            raise RefusedError(415, code)
        created = intake.complete(found)  # the bytes are kept even if this fails
    return _progress(found, created, status=204)


def _delete(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    with _own_alone(request, pk) as found:
        intake.discard(found)
    return HttpResponse(status=204)


@contextlib.contextmanager
def _own_alone(request: HttpRequest, pk: uuid.UUID) -> Iterator[Upload]:
    """The user's upload as it is once nobody else works on it."""
    get_own_upload(request, pk)
    with files.alone(pk):
        yield get_own_upload(request, pk)


def _body(request: HttpRequest) -> bytes:
    """The chunk, checked by its real size: Content-Length is not trusted."""
    try:
        chunk: bytes = request.read(settings.UPLOAD_CHUNK_BYTES + 1)
    except (UnreadablePostError, RequestDataTooBig):
        raise RefusedError(400, "bad_request") from None
    if len(chunk) > settings.UPLOAD_CHUNK_BYTES:
        raise RefusedError(413, "too_large")
    return chunk


def _progress(found: Upload, created: bool | None, *, status: int) -> HttpResponse:
    response = HttpResponse(status=status)
    response["Upload-Offset"] = str(found.offset)
    response["Upload-Expires"] = protocol.http_date(found.expires_at)
    if found.length is None:
        response["Upload-Defer-Length"] = "1"
    else:
        response["Upload-Length"] = str(found.length)
    if found.submission_id is not None:
        response["Submission-Id"] = str(found.submission_id)
        response["Submission-Location"] = reverse("submission", args=[found.submission_id])
        response["Submission-New"] = str(int(bool(created)))
    return response


def _abilities() -> HttpResponse:
    return HttpResponse(
        status=204,
        headers={
            "Tus-Version": protocol.VERSION,
            "Tus-Extension": protocol.EXTENSIONS,
            "Tus-Max-Size": str(settings.UPLOAD_MAX_BYTES),
        },
    )
