"""The coach by the API: questions, places, and answers whole, later, or as they are written."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.db import connection
from django.test import Client

from evaluations.api import chat
from evaluations.coaching.questions import asking
from evaluations.coaching.questions.answering import Answering, AnswerResult
from evaluations.models import CoachQuestion, Submission
from introeval.asgi import application
from queueing.exceptions import ClaimLost, Permanent
from queueing.models import Task, Worker
from queueing.states import State
from tests.conftest import Cast
from tests.evaluations.api.conftest import ask
from tests.evaluations.material import hand_in, write_results
from tests.evaluations.views.conftest import signed_in

QUESTION = "How could I have shown more confidence?"
Event = tuple[str, str, dict[str, Any]]  # id, name, data


@pytest.fixture
def submission(cast: Cast) -> Submission:
    found = hand_in(cast.ada, cast.classroom)
    write_results(found)
    return found


def post(client: Client, submission: Submission, question: str = QUESTION) -> Any:
    body = {"submission_id": str(submission.pk), "question": question}
    return client.post("/api/chat", json.dumps(body), "application/json")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "WAIT_SECONDS", 0.01)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("impatient")
def test_a_question_that_takes_too_long_is_answered_with_its_place(cast: Cast, submission: Submission) -> None:
    answer = post(signed_in(cast.ada), submission)
    said = answer.json()
    assert answer.status_code == 202
    assert said["question"] == QUESTION
    assert (said["status"], said["position"], said["error"]) == ("asked", 1, None)
    assert ask(cast.ada, f"chat/{said['id']}")["status"] == "asked"


@pytest.mark.django_db(transaction=True)
def test_what_is_wrong_with_a_question_is_said_at_once(cast: Cast, submission: Submission) -> None:
    ada = signed_in(cast.ada)
    assert post(ada, submission, "").status_code == 422
    assert post(ada, submission, "a" * 2001).status_code == 422
    assert post(ada, submission, "  ").json()["code"] == "no_question"
    assert post(signed_in(cast.teacher), submission).status_code == 404
    assert post(signed_in(cast.bo), submission).status_code == 404
    cast.classroom.has_coach = False
    cast.classroom.save()
    assert post(ada, submission).json()["code"] == "coach_off"
    assert not CoachQuestion.objects.exists()


def asked(submission: Submission, text: str = QUESTION) -> CoachQuestion:
    return asking.ask(submission=submission, student=submission.student, text=text, language="en")


def test_its_place_and_its_answer_so_far_can_be_asked_for_and_it_can_be_stopped(
    cast: Cast, submission: Submission
) -> None:
    first, question = asked(submission), asked(submission)
    said = ask(cast.ada, f"chat/{question.pk}")
    assert (said["position"], said["status"], said["status_words"]) == (2, "asked", "waiting for an answer")
    assert said["estimate"]["high_seconds"] > 0
    assert said["why"].startswith("The computer that does the work is not running")
    ada = signed_in(cast.ada)
    assert ada.delete(f"/api/chat/{first.pk}").json()["position"] == -1
    assert ada.delete(f"/api/chat/{first.pk}").status_code == 409
    assert ask(cast.ada, f"chat/{question.pk}")["position"] == 1
    assert ask(cast.ada, f"chat/{first.pk}")["error"]["code"] == "question_stopped"


def test_teachers_of_the_class_read_what_was_asked_and_nobody_else(cast: Cast, submission: Submission) -> None:
    question = asked(submission)
    for path in (f"chat/{question.pk}", f"submissions/{submission.pk}/chat"):
        found = [signed_in(one).get(f"/api/{path}").status_code for one in (cast.ada, cast.teacher, cast.bo)]
        assert found == [200, 200, 404]
    assert signed_in(cast.teacher).delete(f"/api/chat/{question.pk}").status_code == 404
    (said,) = ask(cast.teacher, f"submissions/{submission.pk}/chat")
    assert said["question"] == QUESTION


def test_both_lines_are_told_in_figures(cast: Cast, submission: Submission) -> None:
    asked(submission)
    lines = {one["pipeline"]: one for one in ask(cast.ada, "queue/stats")["lines"]}
    assert lines["coach"] == {
        "pipeline": "coach",
        "active": 0,
        "waiting": 1,
        "capacity": 1000,
        "mean_wait_seconds": None,
        "done_last_hour": 0,
        "refused": 0,
    }
    assert (lines["evaluation"]["waiting"], lines["evaluation"]["capacity"]) == (1, None)


# Streams, as a program reads them: the whole site, by ASGI.


class Stream:
    """What a program reads of `POST /api/chat/stream`."""

    def __init__(self, communicator: Any) -> None:  # asgiref's is not typed
        self.communicator = communicator
        self.status = 0
        self._rest = ""

    async def begin(self) -> None:
        self.status = (await self.communicator.receive_output(10))["status"]

    async def event(self) -> Event:
        """The next one; comments are passed over."""
        while True:
            text, found, rest = self._rest.partition("\n\n")
            if found:
                self._rest = rest
                fields = dict(line.split(": ", 1) for line in text.splitlines())
                if "event" in fields:
                    return fields["id"], fields["event"], json.loads(fields["data"])
                continue
            self._rest += (await self.communicator.receive_output(10))["body"].decode()

    async def until(self, name: str) -> list[Event]:
        found = [await self.event()]
        while found[-1][1] != name:
            found.append(await self.event())
        return found

    async def hang_up(self) -> None:
        await self.communicator.send_input({"type": "http.disconnect"})
        with suppress(asyncio.CancelledError):
            await self.communicator.wait(10)


@asynccontextmanager
async def streaming(client: Client, submission: Submission, last: str = "") -> AsyncIterator[Stream]:
    body = json.dumps({"submission_id": str(submission.pk), "question": QUESTION}).encode()
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    headers = {"host": "localhost", "content-type": "application/json", "cookie": cookies}
    headers |= {"x-csrftoken": client.cookies["csrftoken"].value, "last-event-id": last}
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/chat/stream",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items() if value],
    }
    make: Any = ApplicationCommunicator
    communicator = make(application, scope)
    await communicator.send_input({"type": "http.request", "body": body})
    stream = Stream(communicator)
    await stream.begin()
    yield stream
    await stream.hang_up()


async def elsewhere(work: Callable[..., Any], *args: Any) -> Any:
    def run() -> Any:
        try:
            return work(*args)
        finally:
            connection.close()

    return await asyncio.to_thread(run)


def browser(cast: Cast) -> Client:
    client = signed_in(cast.ada)
    client.get("/")
    return client


def claimed() -> Task:
    worker = Worker.objects.create(node="lab-pc", pid=1)
    (pk,) = Task.objects.filter(pipeline="coach", state=State.QUEUED).values_list("pk", flat=True)[:1]
    task = Task.objects.take([pk], worker=worker, lease_seconds=60)[0]
    Answering().prepare(task)
    return task


def write(task: Task, text: str) -> None:
    with task.kept():
        Answering().save_text(task, text)


def end(task: Task, text: str) -> None:
    task.advance(took=1.0)
    Answering().save(task, AnswerResult(text, CoachQuestion.End.ANSWERED))


def names(events: list[Event]) -> list[str]:
    return [name for _, name, _ in events]


@pytest.mark.django_db(transaction=True)
async def test_a_stream_tells_the_place_then_the_text_then_the_end(cast: Cast, submission: Submission) -> None:
    async with streaming(await elsewhere(browser, cast), submission) as stream:
        assert stream.status == 200
        _, name, told = await stream.event()
        assert (name, told["position"]) == ("queue_update", 1)
        assert told["words"] == "Number 1 in line, less than a minute."
        task = await elsewhere(claimed)
        assert (await stream.until("queue_update"))[-1][2]["position"] == 0
        await elsewhere(write, task, "You spoke ")
        assert (await stream.until("token"))[-1][2] == {"text": "You spoke ", "at": 0}
        await elsewhere(write, task, "You spoke calmly")
        (event,) = await stream.until("token")
        assert event[2] == {"text": "calmly", "at": 10}
        await elsewhere(end, task, "You spoke calmly.")
        events = await stream.until("done")
        assert names(events) == ["token", "done"]
        assert (events[-1][2]["answer"], events[-1][2]["position"]) == ("You spoke calmly.", -1)
        assert len({key for key, _, _ in events}) == 1  # the same text was sent


@pytest.mark.django_db(transaction=True)
async def test_a_stream_goes_on_after_the_last_event_that_was_read(cast: Cast, submission: Submission) -> None:
    client = await elsewhere(browser, cast)
    question = await elsewhere(asked, submission)
    task = await elsewhere(claimed)
    await elsewhere(write, task, "You spoke ")
    last = chat.Cursor(question, "You spoke ").id
    await elsewhere(end, task, "You spoke calmly.")
    async with streaming(client, submission, last) as stream:
        events = await stream.until("done")
    assert [(name, data.get("text"), data.get("at")) for _, name, data in events[:1]] == [("token", "calmly.", 10)]
    # What it had read was another text: the answer had begun again.
    async with streaming(client, submission, chat.Cursor(question, "I think ").id) as stream:
        assert (await stream.event())[2] == {"text": "You spoke calmly.", "at": 0}
    for unknown in (f"{uuid.uuid4()}:0:0", "nonsense", f"{question.pk}:x:0"):
        async with streaming(client, submission, unknown) as stream:
            assert stream.status == 404
    assert await elsewhere(CoachQuestion.objects.count) == 1


@pytest.mark.django_db(transaction=True)
async def test_an_answer_that_begins_again_is_told_from_the_start(cast: Cast, submission: Submission) -> None:
    async with streaming(await elsewhere(browser, cast), submission) as stream:
        task = await elsewhere(claimed)
        await elsewhere(write, task, "I think that")
        await stream.until("token")
        await elsewhere(lambda: Task.objects.get(pk=task.pk).requeue(by="test"))
        again = await elsewhere(claimed)
        assert (await stream.until("token"))[-1][2] == {"text": "", "at": 0}
        await elsewhere(write, again, "You spoke")
        assert (await stream.until("token"))[-1][2] == {"text": "You spoke", "at": 0}
        with pytest.raises(ClaimLost):
            await elsewhere(end, task, "I think that you")
        await elsewhere(lambda: again.fail(Permanent("gone", code="invalid_answer"), took=1.0))
        events = await stream.until("error")
        assert events[-1][2]["code"] == "invalid_answer"


async def gone(question: Awaitable[CoachQuestion]) -> str:
    """The state in which the question is left, within two seconds."""
    found = await question
    for _ in range(100):
        state: str = await elsewhere(lambda: Task.objects.get(pk=found.task_id).state)
        if state == State.CANCELLED:
            break
        await asyncio.sleep(0.02)
    return state


@pytest.mark.django_db(transaction=True)
async def test_a_reader_who_hangs_up_stops_the_question_unless_another_one_reads_it(
    cast: Cast, submission: Submission
) -> None:
    client = await elsewhere(browser, cast)
    async with streaming(client, submission) as stream:
        key, _, _ = await stream.event()
        async with streaming(client, submission, key) as other:
            await other.event()
            await stream.hang_up()
            task = await elsewhere(claimed)
            assert (await other.until("queue_update"))[-1][2]["position"] == 0
            await other.hang_up()
        assert await gone(elsewhere(CoachQuestion.objects.get)) == State.CANCELLED
        assert task.pk
