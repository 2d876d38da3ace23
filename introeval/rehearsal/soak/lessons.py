"""A class at the site, lesson after lesson: each of it hands in, waits, looks at the result, deletes the one before."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

import httpx
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Max, Min

from evaluations import demo
from evaluations.models import Classroom, Rubric
from queueing.models import Task

CLIPS: Final = ("ben.mp4", "daniel.mov")  # in whose format a part that players skip may follow
ANSWER_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 1.0
PAGES: Final = 3
PAUSE_SECONDS: Final = 2.0  # between two lessons
SAID: Final = 20  # problems that are kept


@dataclass
class SoakStudent:
    """Signed in at the site, as a browser is."""

    name: str
    password: str
    http: httpx.Client
    stored: list[str] = field(default_factory=list)  # ids of the videos that are there

    def sign_in(self) -> None:
        self._ask("GET", "/login/")
        form = {"username": self.name, "password": self.password, "csrfmiddlewaretoken": self.http.cookies["csrftoken"]}
        self._ask("POST", "/login/", data=form)
        self.http.headers["X-CSRFToken"] = self.http.cookies["csrftoken"]

    def hand_in(self, name: str, content: bytes) -> None:
        answer = self._ask("POST", "/api/upload", files={"file": (name, content)})
        self.stored.append(answer.json()["submission_id"])

    def has_ended(self) -> bool:
        return not any(self._ask("GET", "/api/my-videos").json()[group] for group in ("processing", "pending"))

    def look_and_tidy(self) -> list[str]:
        """See the page of the newest result and delete those before it; returns what failed."""
        failed = [one["status_words"] for one in self._ask("GET", "/api/my-videos").json()["failed"]]
        self._ask("GET", f"/submissions/{self.stored[-1]}/")
        while len(self.stored) > 1:
            self._ask("DELETE", f"/api/submissions/{self.stored[0]}")
            del self.stored[0]
        return failed

    def page_seconds(self) -> float:
        """Of the quickest of a few: the others waited for something else on this machine."""
        return min(self._page_seconds() for _ in range(PAGES))

    def _page_seconds(self) -> float:
        began = time.perf_counter()
        self._ask("GET", "/")
        return time.perf_counter() - began

    def _ask(self, method: str, address: str, **request: Any) -> httpx.Response:
        """
        Raises:
            httpx.HTTPError: no answer, or not as wished.
        """
        while True:
            answer = self.http.request(method, address, **request)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return answer if answer.is_redirect else answer.raise_for_status()
            time.sleep(float(answer.headers.get("Retry-After", "1")))


class Lessons(Thread):
    """Of one class, one after the other until told to stop."""

    def __init__(self, url: str, students: int) -> None:
        super().__init__(name="lessons", daemon=True)
        self.students = [*_enrol(url, students)]
        self.handed_in = self.held = 0
        self.pick_up_seconds: float | None = None  # of the last lesson: from its first hand-in to its first claim
        self.problems: list[str] = []
        self.stopping = Event()

    def run(self) -> None:
        try:
            while not self.stopping.wait(PAUSE_SECONDS):
                self._hold()
        except Exception as error:  # said by whoever measures
            self.problems.append(f"{type(error).__name__}: {error}")
        finally:
            connection.close()

    def leave(self) -> None:
        self.stopping.set()
        self.join(2 * ANSWER_SECONDS)
        for student in self.students:
            student.http.close()

    def _hold(self) -> None:
        for student, clip in zip(self.students, itertools.cycle(CLIPS), strict=False):
            student.hand_in(clip, recording(clip))
            self.handed_in += 1
        while not all(student.has_ended() for student in self.students):
            if self.stopping.wait(LOOK_SECONDS):
                return
        newest = Task.objects.filter(submission__in=[student.stored[-1] for student in self.students])
        times = newest.aggregate(first=Min("created_at"), begun=Min("attempts__began_at"), last=Max("finished_at"))
        self.pick_up_seconds = (times["begun"] - times["first"]).total_seconds()
        failed = [words for student in self.students for words in student.look_and_tidy()]
        self.problems = [*self.problems, *failed][:SAID]
        self.held += 1


def recording(clip: str) -> bytes:
    """A clip of the demo class, with a part that makes no two files alike."""
    unique = secrets.token_bytes(32)
    return _content(demo.HERE / "clips" / clip) + (8 + len(unique)).to_bytes(4, "big") + b"free" + unique


def _content(path: Path) -> bytes:
    return path.read_bytes()


def _enrol(url: str, number: int) -> Iterator[SoakStudent]:
    classroom = Classroom.objects.create(name="Soak", rubric=Rubric.default(), release=Classroom.Release.AT_ONCE)
    Classroom.objects.filter(pk=classroom.pk).update(max_submissions=1_000_000)
    for each in range(number):
        name, password = f"soak-{each + 1}", secrets.token_urlsafe(16)
        classroom.students.add(User.objects.create_user(name, password=password))
        student = SoakStudent(name, password, httpx.Client(base_url=url, timeout=ANSWER_SECONDS))
        student.sign_in()
        yield student
