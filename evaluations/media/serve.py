"""Stored media over HTTP: single byte ranges, in parts small enough that the ASGI server never holds a video.

Browsers request media in ranges and continue where an answer ends, so a range is answered with its first MiB at most
(RFC 9110 §15.3.7 allows a 206 to hold less than was requested). A file is served as what its container is, can't be
sniffed into anything else and runs in a sandbox without an origin: a WebM that is also a page stays a WebM.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, StreamingHttpResponse
from django.http.response import HttpResponseBase

MAX_RANGE_BYTES = 1024 * 1024
_STREAM_BYTES = 256 * 1024

# container → (with pictures, sound only), by the names of MediaFacts.container
_TYPES = {
    "mp4": ("video/mp4", "audio/mp4"),
    "mov": ("video/quicktime", "audio/mp4"),
    "webm": ("video/webm", "audio/webm"),
    "matroska": ("video/x-matroska", "audio/x-matroska"),
    "ogg": ("video/ogg", "audio/ogg"),
    "mp3": ("audio/mpeg", "audio/mpeg"),
    "wav": ("audio/wav", "audio/wav"),
    "flac": ("audio/flac", "audio/flac"),
    # No browser plays these as they are.
    "aac": ("audio/aac", "audio/aac"),
    "amr": ("audio/amr", "audio/amr"),
    "avi": ("video/x-msvideo", "audio/x-msvideo"),
    "asf": ("video/x-ms-wmv", "audio/x-ms-wma"),
    "mpegts": ("video/mp2t", "audio/mp2t"),
    "mpeg": ("video/mpeg", "audio/mpeg"),
    "aiff": ("audio/aiff", "audio/aiff"),
    "caf": ("audio/x-caf", "audio/x-caf"),
    "flv": ("video/x-flv", "audio/x-flv"),
}
_ONE_RANGE = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.ASCII | re.IGNORECASE)


class UnsatisfiableError(Exception):
    """No byte of the file lies in the range that was asked for."""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    size: int
    etag: str


def content_type(container: str, *, video: bool = True) -> str:
    """The media type of a probed container; `application/octet-stream` for one that is not known."""
    pictures, sound = _TYPES.get(container, ("application/octet-stream",) * 2)
    return pictures if video else sound


def stream(request: HttpRequest, path: Path, content_type: str) -> HttpResponseBase:
    """Answer a GET or HEAD for a stored file; the caller has checked that the user may see it.

    Without a Range header the whole file is streamed in chunks, each when the reader has taken the one before
    (introeval/serving/bodies.py). Players always send one.

    Raises:
        Http404: there is no such regular file.
    """
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    file = _examine(path)
    response = _respond(request, file, content_type)
    response["Accept-Ranges"] = "bytes"
    response["ETag"] = file.etag
    # On a shared computer the next user must be authorised again.
    response["Cache-Control"] = "private, no-cache"
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["Content-Disposition"] = f'inline; filename="{content_type.partition("/")[0]}"'
    return response


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """First and last byte of the one range that `header` asks of a file of `size` bytes.

    None says to ignore the header, as RFC 9110 §14.2 has it for other units and malformed values and permits for
    several ranges at once.

    Raises:
        UnsatisfiableError: the range begins behind the end, or is an empty suffix.
    """
    match = _ONE_RANGE.fullmatch(header)
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    return _span(_number(first), _number(last) if last else None, size) if first else _suffix(_number(last), size)


def _number(digits: str) -> int:
    # Python reads no more than 4300 digits; 20 are beyond every file.
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) < 20 else 10**20


def _suffix(length: int, size: int) -> tuple[int, int]:
    if not length or not size:
        raise UnsatisfiableError
    return max(0, size - length), size - 1


def _span(first: int, last: int | None, size: int) -> tuple[int, int] | None:
    if last is not None and last < first:
        return None
    if first >= size:
        raise UnsatisfiableError
    return first, size - 1 if last is None else min(last, size - 1)


def _examine(path: Path) -> _File:
    try:
        descriptor = _open(path)
    except OSError as error:
        raise Http404 from error
    try:
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise Http404
    return _File(path, status.st_size, f'"{status.st_size:x}-{status.st_mtime_ns:x}"')


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _respond(request: HttpRequest, file: _File, content_type: str) -> HttpResponseBase:
    if _is_known(request, file.etag):
        return HttpResponse(status=304)
    try:
        wanted = _wanted_range(request, file)
    except UnsatisfiableError:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{file.size}"})
    if wanted is not None:
        return _partial(file, *wanted, content_type)
    headers = {"Content-Length": str(file.size)}
    if request.method == "HEAD":
        return HttpResponse(content_type=content_type, headers=headers)
    # A synchronous iterator would be read to its end before ASGI sends anything.
    content = _chunks_async(file.path) if isinstance(request, ASGIRequest) else _chunks(file.path)
    return StreamingHttpResponse(content, content_type=content_type, headers=headers)


def _is_known(request: HttpRequest, etag: str) -> bool:
    given = [each.strip().removeprefix("W/") for each in request.headers.get("If-None-Match", "").split(",")]
    return etag in given or given == ["*"]


def _wanted_range(request: HttpRequest, file: _File) -> tuple[int, int] | None:
    header = request.headers.get("Range")
    # If-Range compares strongly; a date never matches, since no Last-Modified is sent.
    if header is None or request.method != "GET" or request.headers.get("If-Range", file.etag) != file.etag:
        return None
    return parse_range(header, file.size)


def _partial(file: _File, first: int, last: int, content_type: str) -> HttpResponse:
    last = min(last, first + MAX_RANGE_BYTES - 1)
    content = _read(file.path, first, last - first + 1)
    headers = {"Content-Range": f"bytes {first}-{last}/{file.size}", "Content-Length": str(last - first + 1)}
    return HttpResponse(content, status=206, content_type=content_type, headers=headers)


def _read(path: Path, offset: int, size: int) -> bytes:
    descriptor = _open(path)
    try:
        return os.pread(descriptor, size, offset)
    finally:
        os.close(descriptor)


# Opened for each chunk: a stream that nobody reads to its end has nothing to close, and Django closes no asynchronous
# iterator.


def _chunks(path: Path) -> Iterator[bytes]:
    offset = 0
    while chunk := _read(path, offset, _STREAM_BYTES):
        yield chunk
        offset += len(chunk)


async def _chunks_async(path: Path) -> AsyncIterator[bytes]:
    offset = 0
    while chunk := await asyncio.to_thread(_read, path, offset, _STREAM_BYTES):
        yield chunk
        offset += len(chunk)
