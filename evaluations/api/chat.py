"""The coach: ask about a video of your own, and read the answer whole, as it is written, or later."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from time import monotonic
from typing import Any, Final
from zlib import crc32

from asgiref.sync import sync_to_async
from django.http import Http404, HttpRequest, HttpResponseBase, StreamingHttpResponse
from ninja import Router
from ninja import Status as Reply

from evaluations.access import limits
from evaluations.access.permissions import (
    get_own_question,
    get_own_submission,
    get_visible_question,
    get_visible_submission,
    signed_in,
)
from evaluations.api import schemas
from evaluations.api.describing import documented
from evaluations.coaching.questions import asking, line, state
from evaluations.coaching.questions.state import AnswerState
from evaluations.errors.refusals import RefusedError
from evaluations.live.answers import AnswerReader, AnswerWatch, answer_hub
from evaluations.models import CoachQuestion
from queueing.models.connections import give_back

router = Router(tags=["coach"])

WAIT_SECONDS: Final = 300.0  # `POST /api/chat` answers by then, whole or not
HEARTBEAT_SECONDS: Final = 10.0
ANSWERS: Final = {200: schemas.Asked, 202: schemas.Asked, 503: schemas.CoachFull}


@router.post("/chat", response=documented(schemas.Asked, 403, 404, 409, 415, 422) | ANSWERS)
async def chat(request: HttpRequest, body: schemas.Ask) -> Reply[schemas.Asked]:
    """Ask, wait in line, and get the whole answer. 202 with the state so far if it takes longer than five minutes.

    Whoever hangs up before has taken the question back.
    """
    question = await sync_to_async(_ask)(request, body)
    async with aclosing(_news(question, patience=WAIT_SECONDS)) as news:
        async for found in news:
            if found and found.has_ended:
                return Reply(200, _shown(found))
    return Reply(202, await sync_to_async(_read)(question.pk))


@router.post("/chat/stream", response=documented(None, 403, 404, 409, 415, 422) | {503: schemas.CoachFull})
async def stream(request: HttpRequest, body: schemas.Ask) -> HttpResponseBase:
    """Ask, and get the answer as it is written: server-sent events `queue_update`, `token`, `error` and `done`.

    A `token` appends its `text` where it says (`at`, in characters): at 0 the answer begins again. With `Last-Event-ID`
    nothing is asked: the question of that event is read on from there. A stream that is cut off stops the question,
    unless its student has it open elsewhere.
    """
    cursor = await sync_to_async(_resumed)(request) if "Last-Event-ID" in request.headers else None
    if cursor is None:
        cursor = Cursor(await sync_to_async(_ask)(request, body))
    answer = StreamingHttpResponse(_events(cursor), content_type="text/event-stream")
    answer.headers["X-Accel-Buffering"] = "no"  # nginx sends each event at once
    return answer


@router.get("/chat/{uuid:pk}", response=documented(schemas.Asked, 404))
def question(request: HttpRequest, pk: uuid.UUID) -> schemas.Asked:
    """Where a question is, and its answer so far."""
    return _read(get_visible_question(request, pk).pk)


@router.delete("/chat/{uuid:pk}", response=documented(schemas.Asked, 403, 404, 409))
def stop_question(request: HttpRequest, pk: uuid.UUID) -> schemas.Asked:
    """Stop it, waiting or being answered; what was written stays. 409 when it has ended."""
    if not asking.stop(get_own_question(request, pk), by=signed_in(request)):
        raise RefusedError(409, "nothing_to_stop")
    return _read(pk)


@router.get("/submissions/{uuid:pk}/chat", response=documented(list[schemas.Asked], 404))
def questions(request: HttpRequest, pk: uuid.UUID) -> list[schemas.Asked]:
    """What was asked about a video, oldest first. Teachers of its class can read it, too."""
    asked = CoachQuestion.objects.filter(submission=get_visible_submission(request, pk)).values_list("pk", flat=True)
    found = AnswerReader().read(asked)
    return [_shown(found[key]) for key in asked if key in found]


def _ask(request: HttpRequest, body: schemas.Ask) -> CoachQuestion:
    submission = get_own_submission(request, body.submission_id)
    language = getattr(request, "LANGUAGE_CODE", "en")
    limits.spend_question(signed_in(request))
    found = asking.ask(submission=submission, student=signed_in(request), text=body.question, language=language)
    give_back()  # nobody waits in line with a connection
    return found


def _read(pk: uuid.UUID) -> schemas.Asked:
    found = AnswerReader().read([pk])
    if pk not in found:
        raise Http404("deleted meanwhile")
    return _shown(found[pk])


def _shown(found: AnswerState) -> schemas.Asked:
    problem = state.problem(found)
    return schemas.Asked.model_validate({**_fields(found), "error": problem})


def _fields(found: AnswerState) -> dict[str, Any]:
    names = schemas.Asked.model_fields.keys() - {"error", "id", "question", "outcome"}
    fields = {name: getattr(found, name) for name in names}
    estimate = found.estimate and {
        "low_seconds": found.estimate.low_seconds,
        "high_seconds": found.estimate.high_seconds,
    }
    return {**fields, "id": found.question_id, "question": found.text, "outcome": found.end, "estimate": estimate}


async def _news(question: CoachQuestion, *, patience: float = float("inf")) -> AsyncGenerator[AnswerState | None, None]:
    """Each new state until it has ended, or for `patience` seconds; None when nothing was new for a while.

    Closed before, its reader is gone: the question is stopped, unless the student has it open elsewhere.
    """
    give_up = monotonic() + patience
    watch = AnswerWatch(question.pk, question.student_id)
    answer_hub.join(watch)
    try:
        while not watch.has_ended and (left := give_up - monotonic()) > 0:
            try:
                yield await asyncio.wait_for(watch.next(), min(HEARTBEAT_SECONDS, left))
            except TimeoutError:
                yield None
    finally:
        if watch.has_ended or monotonic() >= give_up:
            answer_hub.leave(watch)
        else:
            answer_hub.abandon(watch)


async def _events(cursor: Cursor) -> AsyncIterator[str]:
    async with aclosing(_news(cursor.question)) as news:
        async for found in news:
            if found is None:
                yield ": nothing new\n\n"
                continue
            for event in cursor.advance(found):
                yield event


class Cursor:
    """What one reader of a stream has got."""

    def __init__(self, question: CoachQuestion, sent: str = "") -> None:
        self.question, self.sent = question, sent
        self._told: dict[str, Any] | None = None  # the last `queue_update`

    @property
    def id(self) -> str:
        """Names the question, and how much of which text was sent."""
        return f"{self.question.pk}:{len(self.sent)}:{crc32(self.sent.encode())}"

    def advance(self, found: AnswerState) -> Iterator[str]:
        """The events that lead to this state."""
        if not found.has_ended:
            yield from self._queue_update(found)
        if found.answer != self.sent:
            at = len(self.sent) if found.answer.startswith(self.sent) else 0
            self.sent = found.answer
            yield self._event("token", {"text": found.answer[at:], "at": at})
        if not found.has_ended:
            return
        if problem := state.problem(found):
            yield self._event("error", problem)
        else:
            yield self._event("done", json.loads(_shown(found).model_dump_json()))

    def _queue_update(self, found: AnswerState) -> Iterator[str]:
        told = {key: _fields(found)[key] for key in ("position", "estimate", "why")}
        if told != self._told:
            self._told = told
            words = line.in_words(found.position, found.estimate) if found.estimate else ""
            yield self._event("queue_update", {**told, "words": words})

    def _event(self, name: str, data: dict[str, Any]) -> str:
        return f"id: {self.id}\nevent: {name}\ndata: {json.dumps(data)}\n\n"


def _resumed(request: HttpRequest) -> Cursor:
    """From the id of an event.

    Raises:
        Http404: it is none, or of a question that is not the user's.
    """
    key, _, rest = request.headers["Last-Event-ID"].partition(":")
    length, _, checksum = rest.partition(":")
    try:
        found = get_own_question(request, uuid.UUID(key))
        sent = found.answer[: int(length)]
    except ValueError:
        raise Http404("no such event") from None
    give_back()
    return Cursor(found, sent if str(crc32(sent.encode())) == checksum else "")
