"""What a tus request says and what an answer must carry (https://tus.io/protocols/resumable-upload, version 1.0.0)."""

from __future__ import annotations

import base64
import unicodedata
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from django.http import HttpResponse

from evaluations.errors.refusals import RefusedError

VERSION: Final = "1.0.0"
EXTENSIONS: Final = "creation,creation-defer-length,termination,expiration"
BODY_TYPE: Final = "application/offset+octet-stream"
MAX_METADATA_CHARACTERS: Final = 8192
MAX_NAME_CHARACTERS: Final = 255
MAX_DIGITS: Final = 16  # more than any disk; keeps int() cheap and the column in range


def seal(response: HttpResponse) -> HttpResponse:
    """The headers that every answer carries."""
    response["Tus-Resumable"] = VERSION
    response["Cache-Control"] = "no-store"
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
    """Upload-Length, or None when `Upload-Defer-Length: 1` promises it for later. Exactly one of them must be there."""
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


def client_id(said: Mapping[str, str]) -> uuid.UUID | None:
    """The client's own name for an upload, a UUID: begun twice, it is one upload. None when it has none."""
    if "client" not in said:
        return None
    try:
        return uuid.UUID(said["client"])
    except ValueError:
        raise RefusedError(400, "bad_request") from None


def shown_name(name: str) -> str:
    """A file's name as a person reads it: its last part, without characters that are invisible or turn text around."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    visible = "".join(c for c in last if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
    return visible.strip()[:MAX_NAME_CHARACTERS] or "video"


def http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)
