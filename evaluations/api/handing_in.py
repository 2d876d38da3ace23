"""Handing in a small file by one request; large ones, and networks that break, are for tus (evaluations/uploads/)."""

from __future__ import annotations

from typing import Annotated

from django.conf import settings
from django.http import Http404, HttpRequest
from ninja import File, Form, Router
from ninja import Status as Answer
from ninja.files import UploadedFile

from evaluations.access.permissions import get_attended_classroom, signed_in
from evaluations.api import schemas
from evaluations.api.describing import documented
from evaluations.api.submissions import video
from evaluations.errors.refusals import RefusedError
from evaluations.pages import rows
from evaluations.uploads import intake, limits, protocol

router = Router(tags=["videos"])
_REFUSED = (400, 403, 404, 409, 413, 415, 422, 429, 503, 507)


@router.post("/upload", response={201: schemas.Video, **documented(schemas.Video, *_REFUSED)})
def upload(
    request: HttpRequest,
    file: Annotated[UploadedFile, File(description="A video or sound recording of at most 4 MiB.")],
    classroom: Annotated[str, Form(description="The class's id; who attends only one may leave it out.")] = "",
) -> Answer[schemas.Video]:
    """Hand in a file of at most 4 MiB as a form does (`multipart/form-data`). 200: this very file was here already."""
    try:
        found = get_attended_classroom(request, classroom)
    except Http404:
        raise RefusedError(404, "no_class") from None
    content = file.read(settings.UPLOAD_CHUNK_BYTES + 1)
    if len(content) > settings.UPLOAD_CHUNK_BYTES:
        raise RefusedError(413, "too_large", detail=limits.most())
    submission, created = intake.receive(
        student=signed_in(request), classroom=found, name=protocol.shown_name(file.name or ""), content=content
    )
    return Answer(201 if created else 200, video(rows.one(submission)))
