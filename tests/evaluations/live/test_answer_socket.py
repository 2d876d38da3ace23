"""A page is sent the coach's answer as it is written, by the socket that it has already."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.db import connection

from evaluations.coaching.questions import asking
from evaluations.coaching.questions.answering import Answering
from evaluations.live.answers import answer_hub
from evaluations.models import CoachQuestion, Submission
from queueing.models import Task, Worker
from tests.conftest import Cast
from tests.evaluations.live.test_dashboard_socket import dashboard, elsewhere, until
from tests.evaluations.material import hand_in, write_results

pytestmark = pytest.mark.django_db(transaction=True)

Message = dict[str, Any]


@pytest.fixture(autouse=True)
def no_connection_stays() -> Iterator[None]:
    """Communicators keep channels from closing the one of the hub's thread."""
    yield
    answer_hub._thread.submit(lambda: connection.close()).result(10)


@pytest.fixture
def question(cast: Cast) -> CoachQuestion:
    submission: Submission = hand_in(cast.ada, cast.classroom)
    write_results(submission)
    return asking.ask(submission=submission, student=cast.ada, text="What was good?", language="en")


def claimed(question: CoachQuestion) -> Task:
    worker, _ = Worker.objects.get_or_create(node="lab-pc", pid=1)
    (task,) = Task.objects.take([question.task_id], worker=worker, lease_seconds=60)
    return task


def write(task: Task, text: str) -> None:
    with task.kept():
        Answering().save_text(task, text)


async def next_answer(socket: WebsocketCommunicator) -> Message:
    return (await until(socket, lambda message: message["type"] == "answer"))[-1]


async def test_all_of_it_so_far_comes_with_each_piece_and_to_latecomers(cast: Cast, question: CoachQuestion) -> None:
    async with dashboard(cast.ada) as socket:
        await socket.send_to(text_data=f"answer {question.pk}")
        waits = await next_answer(socket)
        assert (waits["position"], waits["length"], waits["html"]) == (1, 0, "")
        task = await elsewhere(claimed, question)
        assert (await next_answer(socket))["position"] == 0
        await elsewhere(write, task, "You **smiled")
        first = await next_answer(socket)
        assert (first["length"], first["html"]) == (12, "<p>You **smiled</p>\n")
        await elsewhere(write, task, "You **smiled** a lot. 👍")
        more = await next_answer(socket)
        assert (more["length"], more["html"]) == (23, "<p>You <strong>smiled</strong> a lot. 👍</p>\n")
        async with dashboard(cast.ada) as later:
            await later.send_to(text_data=f"answer {question.pk}")
            assert await next_answer(later) == more
        await elsewhere(Answering().prepare, task)  # begun
        await elsewhere(Answering().prepare, task)  # … and again, as after a crash
        anew = await next_answer(socket)
        assert (anew["restarts"], anew["html"]) == (1, "")


async def test_the_end_is_told(cast: Cast, question: CoachQuestion) -> None:
    async with dashboard(cast.ada) as socket:
        await socket.send_to(text_data=f"answer {question.pk}")
        await next_answer(socket)
        await elsewhere(asking.stop, question, by=cast.ada)
        last = await next_answer(socket)
    assert (last["has_ended"], last["position"]) == (True, -1)


@pytest.mark.parametrize("who", ["bo", "teacher", "outsider"])
async def test_nobody_elses_answer_is_sent(cast: Cast, question: CoachQuestion, who: str) -> None:
    async with dashboard(getattr(cast, who)) as socket:
        for words in (f"answer {question.pk}", f"answer {uuid.uuid4()}", "answer me", "answer "):
            await socket.send_to(text_data=words)
        task = await elsewhere(claimed, question)
        await elsewhere(write, task, "You smiled")
        assert await socket.receive_nothing(timeout=1) or (await socket.receive_json_from())["type"] != "answer"
