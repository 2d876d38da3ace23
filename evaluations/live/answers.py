"""Answers as they are written: one reading of the database for all who wait for one in this process."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import structlog
from channels.db import database_sync_to_async
from django.utils.translation import override

from evaluations.coaching.questions import asking, line, state
from evaluations.coaching.questions.line import CoachLine
from evaluations.coaching.questions.state import AnswerState
from evaluations.live.hub import Hub, dashboard_hub
from evaluations.models import CoachQuestion
from evaluations.pages.rows import read_queue
from evaluations.pages.rows.queue_view import QueueView

log = structlog.get_logger(__name__)

LINE_SECONDS: Final = 0.5  # the line is read anew after this
QUEUE_SECONDS: Final = 2.0  # … and why somebody waits


class AnswerWatch:
    """One reader's wait for news of one question."""

    def __init__(self, question_id: uuid.UUID, user_id: int) -> None:
        self.question_id, self.user_id = question_id, user_id
        self.state: AnswerState | None = None
        self._news = asyncio.Event()

    @property
    def has_ended(self) -> bool:
        return self.state is not None and self.state.has_ended

    def tell(self, found: AnswerState) -> None:
        if found != self.state:
            self.state = found
            self._news.set()

    async def next(self) -> AnswerState:
        """The newest state, once it is another one than was returned last."""
        await self._news.wait()
        self._news.clear()
        assert self.state is not None
        return self.state


class AnswerHub(Hub[AnswerWatch]):
    """One per process. A notice that a text has grown makes it look; it looks twice a second without one, too."""

    pause_seconds = 0.05
    watch_seconds = 0.5

    def __init__(self) -> None:
        super().__init__()
        # Of its own: it is started by a request, whose thread is another one's when that is over.
        self._thread = ThreadPoolExecutor(1, "answers")
        self._reader = AnswerReader()
        self._stopping: set[asyncio.Task[None]] = set()

    async def _refresh(self, now: float) -> None:
        watches = list(self.members)
        states = await self._in_thread(self._reader.read, [watch.question_id for watch in watches])
        for watch in watches:
            if found := states.get(watch.question_id):
                watch.tell(found)

    def _handle(self, message: Mapping[str, Any]) -> None:
        if message["type"] in ("refresh", "answer.grew"):
            self.wake()

    def abandon(self, watch: AnswerWatch) -> None:
        """Its reader is gone: stop the question, unless the student has it open elsewhere. Waits for nothing."""
        self.leave(watch)
        others = any(other.question_id == watch.question_id for other in self.members)
        if not others and not dashboard_hub.windows_of(watch.user_id):
            task = asyncio.create_task(self._stop(watch))
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)

    async def _stop(self, watch: AnswerWatch) -> None:
        try:
            await self._in_thread(asking.abandon, watch.question_id)
        except Exception as error:
            log.warning("question_not_stopped", question=str(watch.question_id), error=repr(error))

    async def _in_thread(self, work: Any, *args: Any) -> Any:
        return await database_sync_to_async(work, thread_sensitive=False, executor=self._thread)(*args)


class AnswerReader:
    """Reads what changes often at each look, what changes seldom once in a while."""

    def __init__(self) -> None:
        self._line: CoachLine | None = None
        self._queue: QueueView | None = None
        self._line_at = self._queue_at = 0.0

    def read(self, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, AnswerState]:
        found = _rows(set(ids))
        waits = [one for one in found if state.is_waiting(one)]
        if waits:
            self._look(waits)
            found = self._again(found)
        return {one.pk: state.of(one, self._line, self._why(one)) for one in found}

    def _why(self, question: CoachQuestion) -> str:
        if self._queue is None or not state.is_waiting(question):
            return ""
        with override(question.language):
            return self._queue.situation(question.task)

    def _again(self, found: list[CoachQuestion]) -> list[CoachQuestion]:
        """Those that had left the line when it was read are what they are by now, not what they were before."""
        assert self._line is not None
        left = {one.pk for one in found if state.is_waiting(one) and self._line.place(one.task_id) == line.ENDED}
        return [*(one for one in found if one.pk not in left), *_rows(left)] if left else found

    def _look(self, waits: Iterable[CoachQuestion]) -> None:
        now = time.monotonic()
        unknown = self._line is None or any(one.task_id not in self._line.places for one in waits)
        if unknown or now - self._line_at >= LINE_SECONDS:
            self._line, self._line_at = line.read(), now
        if self._queue is None or now - self._queue_at >= QUEUE_SECONDS:
            self._queue, self._queue_at = read_queue(), now


def is_of(question_id: uuid.UUID, user_id: int) -> bool:
    """Whether the user has asked it."""
    return CoachQuestion.objects.filter(pk=question_id, student=user_id).exists()


def _rows(ids: set[uuid.UUID]) -> list[CoachQuestion]:
    return list(CoachQuestion.objects.filter(pk__in=ids).select_related("task__batch"))


answer_hub = AnswerHub()
