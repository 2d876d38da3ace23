"""Schemathesis asks everything that the OpenAPI allows, and what it does not, as a student and as a teacher."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from evaluations.api import chat
from evaluations.coaching.questions import asking
from evaluations.models import CoachQuestion, Submission
from queueing.exceptions import Permanent
from tests.conftest import Cast
from tests.evaluations.material import fail, hand_in, write_results
from tests.evaluations.views.conftest import signed_in

pytestmark = pytest.mark.slow

STREAMS: Final = {"POST /api/chat/stream"}  # endless, and none by WSGI: test_chat.py reads it
# What is inside of a file is beyond OpenAPI; what becomes of real ones: test_handing_in.py.
FILES: Final = {"POST /api/upload"}
ASKED: Final = {"DELETE /api/chat/{pk}"}  # of students only
BOUNDED: Final = settings(  # of each operation, mode and user
    max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


@contextmanager
def one_connection() -> Iterator[None]:
    """The site answers inside the test's own transaction, as it does for Django's test client."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def browser_of(user: User) -> dict[str, dict[str, str]]:
    """What a browser of `user` sends: the session, and the token twice."""
    client = signed_in(user)
    client.get("/classes/")
    cookies = {name: morsel.value for name, morsel in client.cookies.items()}
    return {"cookies": cookies, "headers": {"X-CSRFToken": cookies["csrftoken"]}}


def plans(operation: Any, keys: list[Any], **browser: Any) -> Iterator[st.SearchStrategy[Any]]:
    """What to ask of an operation: rightly of each thing that there is and of anything else, then wrongly."""
    if "{pk}" not in operation.path:
        yield operation.as_strategy(**browser)
        return
    fixed = [{}, *({"path_parameters": {"pk": key}} for key in keys)]
    yield from (operation.as_strategy(**browser, **one) for one in fixed)
    wrongly = {"generation_mode": GenerationMode.NEGATIVE, **browser}
    yield st.one_of(*(operation.as_strategy(**wrongly, **one) for one in fixed))


def question_about(submission: Submission) -> CoachQuestion:
    CoachQuestion.objects.all().delete()
    return asking.ask(submission=submission, student=submission.student, text="Why?", language="en")


@pytest.mark.parametrize("who", ["ada", "teacher"])
def test_every_answer_is_described_and_none_is_a_crash(cast: Cast, who: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "WAIT_SECONDS", 0.01)
    rated, failed = hand_in(cast.ada, cast.classroom), hand_in(cast.ada, cast.classroom)
    write_results(rated)
    fail(failed, Permanent(code="no_audio"))
    browser = browser_of(getattr(cast, who))
    answered: dict[str, set[int]] = defaultdict(set)

    def ask(case: Any) -> None:
        # A key that is the last word of another address leads there.
        assume(case.formatted_path == case.operation.path or case.formatted_path not in paths)
        beyond = [positive_data_acceptance] if case.operation.label in FILES else []
        answered[case.operation.label].add(case.call_and_validate(excluded_checks=beyond).status_code)

    with one_connection():
        schema = schemathesis.openapi.from_wsgi("/api/openapi.json", get_wsgi_application())
        operations: list[Any] = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]
        paths = {operation.path for operation in operations}
        for operation in operations:
            if operation.label in STREAMS:
                continue
            keys = [cast.classroom.pk] if "classes" in operation.path else [str(rated.pk), str(failed.pk)]
            if "/chat/{pk}" in operation.path:
                keys = [str(question_about(rated).pk)]
            elif operation.method == "delete":
                keys = [str(hand_in(cast.ada, cast.classroom).pk)]
            for plan in plans(operation, keys, **browser):
                BOUNDED(given(plan)(ask))()
    silent = {label for label, statuses in answered.items() if statuses.isdisjoint({200, 202, 204})}
    others = ASKED if who == "teacher" else {"GET /api/classes/{pk}"}
    assert silent <= others | FILES | {"POST /api/chat"}, "a bound on what was really asked"
    assert answered.keys() == {operation.label for operation in operations} - STREAMS
