"""The headers of tus requests and answers (https://tus.io/protocols/resumable-upload, version 1.0.0)."""

from __future__ import annotations

import base64
import unicodedata
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from evaluations.errors.refusals import Inline, RefusedError

VERSION: Final = "1.0.0"
EXTENSIONS: Final = "creation,creation-defer-length,termination,expiration"
BODY_TYPE: Final = "application/offset+octet-stream"
MAX_METADATA_CHARACTERS: Final = 8192
MAX_NAME_CHARACTERS: Final = 255
MAX_DIGITS: Final = 16  # more than any disk; keeps int() cheap and the column in range


class TusProtocol(Inline):
    """What the protocol asks of every request and answer at its addresses, refusals by Django included."""

    def process_request(self, request: HttpRequest) -> None:
        """`X-HTTP-Method-Override`: for clients behind something that lets no PATCH or DELETE pass.

        It must be taken for the method whatever the real one is, so it is set before anything looks at the method, the
        CSRF check included.
        """
        method = request.headers.get("X-HTTP-Method-Override")
        if method and request.path.startswith(reverse("uploads")):
            request.method = method.upper()

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if request.path.startswith(reverse("uploads")):
            response.headers["Tus-Resumable"] = VERSION  # by which a client tells our answers from a proxy's
            response.headers["Cache-Control"] = "no-store"
        return response


def whole_number(headers: Mapping[str, str], name: str) -> int | None:
    """A header as a number of bytes, None when it is absent.

    Raises:
        RefusedError: it is not a plain number.
    """
    text = headers.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise RefusedError(400, "bad_request")
    return int(text)


def declared_length(headers: Mapping[str, str]) -> int | None:
    """Upload-Length, or None when `Upload-Defer-Length: 1` defers it. Exactly one of them must be there.

    Raises:
        RefusedError: 400.
    """
    length = whole_number(headers, "Upload-Length")
    deferred = headers.get("Upload-Defer-Length")
    if (length is None) == (deferred is None) or deferred not in (None, "1"):
        raise RefusedError(400, "bad_request")
    return length


def metadata(header: str) -> dict[str, str]:
    """Upload-Metadata: `key base64,key base64,…` → key → text. Undecodable text is kept as far as it is readable."""
    if len(header) > MAX_METADATA_CHARACTERS:
        raise RefusedError(400, "bad_request")
    pairs = [part.strip().partition(" ") for part in header.split(",") if part.strip()]
    try:
        return {key: base64.b64decode(value.strip(), validate=True).decode(errors="replace") for key, _, value in pairs}
    except ValueError:
        raise RefusedError(400, "bad_request") from None


def metadata_header(fields: Mapping[str, str]) -> str:
    """The fields as a header, the reverse of `metadata`."""
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in fields.items())


def client_id(fields: Mapping[str, str]) -> uuid.UUID | None:
    """The client's own id for an upload, a UUID, which makes its creation idempotent; None without one."""
    if "client" not in fields:
        return None
    try:
        return uuid.UUID(fields["client"])
    except ValueError:
        raise RefusedError(400, "bad_request") from None


def shown_name(name: str) -> str:
    """A file's name for display: its last part, without characters that are invisible or change its direction."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    visible = "".join(c for c in last if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
    return visible.strip()[:MAX_NAME_CHARACTERS] or "video"


def http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)
