"""Students who hand in recordings by tus, whatever becomes of the site meanwhile, and remember what it acknowledged."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import time
import uuid
import wave
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from threading import Event, Thread
from typing import Final

import httpx
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from evaluations import demo
from evaluations.models import Classroom, Rubric

TOKEN: Final = "t" * 32
BODY: Final = "application/offset+octet-stream"
CHUNK_BYTES: Final = 64 * 1024
SPOKEN_SECONDS: Final = 5
ANSWER_SECONDS: Final = 15.0
AGAIN_SECONDS: Final = 0.3
COME_BACK: Final = (409, 423, 503)  # of a site that is busy, or without its database; 500 is a fault


def enrol(number: int) -> None:
    """Make a class of so many students, in the database of this process, and print a session for each."""
    students = a_class_of(number)
    print(json.dumps({student.username: session_of(student) for student in students}))


def a_class_of(number: int) -> list[User]:
    """So many students of one class."""
    classroom = Classroom.objects.create(name="Storm", rubric=Rubric.default(), release=Classroom.Release.AT_ONCE)
    classroom.max_submissions = 1_000_000
    classroom.save()
    students = [User.objects.create(username=f"student-{each}") for each in range(number)]
    classroom.students.add(*students)
    return students


def session_of(student: User) -> str:
    client = Client()
    client.force_login(student)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


@dataclass
class HandIn:
    """One recording on its way, as its student knows it."""

    content: bytes
    name: str = field(default_factory=lambda: str(uuid.uuid4()))
    address: str = ""
    acknowledged: int = 0  # bytes
    submission: str = ""  # its id, once the site has said it

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class StormVisitor(Thread):
    """Somebody signed in who does one thing after the other until told to stop, whatever becomes of the site."""

    def __init__(self, number: int, url: str, session: str, *, pause: float, seed: int) -> None:
        super().__init__(name=f"student {number}", daemon=True)
        self.chance, self.pause = random.Random(f"{seed} {number}"), pause
        self.problems: list[str] = []
        self.stopping, self.leaving = Event(), Event()
        self.otherwise: Counter[int] = Counter()  # answers by status that were not as wished; 0: none at all
        self.come_back = {*COME_BACK}
        cookies = {settings.SESSION_COOKIE_NAME: session, settings.CSRF_COOKIE_NAME: TOKEN}
        headers = {"Tus-Resumable": "1.0.0", "X-CSRFToken": TOKEN}
        self.http = httpx.Client(base_url=url, cookies=cookies, headers=headers, timeout=ANSWER_SECONDS)

    def leave(self) -> None:
        """Whatever is on its way stays there."""
        self.leaving.set()
        self.stopping.set()
        self.join(2 * ANSWER_SECONDS)
        self.http.close()

    def ask(
        self, method: str, address: str, headers: dict[str, str] | None = None, content: bytes = b""
    ) -> httpx.Response | None:
        """The answer; None where it is to be asked again."""
        try:
            answer = self.http.request(method, address, headers=headers, content=content)
        except httpx.TransportError:
            self.otherwise[0] += 1
            return None
        return answer if self.is_as_wished(answer) else None

    def is_as_wished(self, answer: httpx.Response) -> bool:
        if answer.is_success:
            return True
        self.otherwise[answer.status_code] += 1
        if answer.status_code not in self.come_back:
            self.problems.append(f"{answer.request.method} {answer.url}: {answer.status_code} {answer.text[:300]}")
        return False


class StormStudent(StormVisitor):
    """Hands in one recording after the other until told to stop; the last one is brought to its end."""

    def __init__(self, number: int, url: str, session: str, *, pause: float, seed: int) -> None:
        super().__init__(number, url, session, pause=pause, seed=seed)
        self.handed_in: list[HandIn] = []

    def run(self) -> None:
        while not self.stopping.wait(self.chance.uniform(0, 2 * self.pause)):
            upload = HandIn(recording(self.chance))
            self.handed_in.append(upload)
            while not (upload.submission or self.problems or self.leaving.is_set()):
                if not self._step(upload):
                    time.sleep(AGAIN_SECONDS)

    def retry(self, submission: str) -> bool:
        """Ask for another try of what failed. Whether the site says that it will."""
        answer = self.ask("POST", f"/api/submissions/{submission}/retry")
        return answer is not None and answer.is_success

    def _step(self, upload: HandIn) -> bool:
        """The next request of an upload. Whether it was answered as wished."""
        if not upload.address:
            return self._begin(upload)
        found = self.ask("HEAD", upload.address)
        if found is None or not self._learn(upload, found):
            return False
        while not upload.submission:
            at = upload.acknowledged
            sent = {"Upload-Offset": str(at), "Content-Type": BODY}
            answer = self.ask("PATCH", upload.address, sent, upload.content[at : at + CHUNK_BYTES])
            if answer is None or not self._learn(upload, answer):
                return False
        return True

    def _begin(self, upload: HandIn) -> bool:
        facts = {"filename": "me.wav", "client": upload.name}
        words = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in facts.items())
        asked = {"Upload-Length": str(len(upload.content)), "Upload-Metadata": words}
        answer = self.ask("POST", "/api/uploads/", asked)
        if answer is not None:
            upload.address = answer.headers["Location"]
        return answer is not None

    def _learn(self, upload: HandIn, answer: httpx.Response) -> bool:
        offset = int(answer.headers["Upload-Offset"])
        if offset < upload.acknowledged:
            self.problems.append(f"{upload.name}: {upload.acknowledged} bytes were acknowledged, {offset} are there")
            return False
        upload.acknowledged, upload.submission = offset, answer.headers.get("Submission-Id", "")
        return True


def recording(chance: random.Random) -> bytes:
    """A few spoken seconds as WAV, and a chunk that players skip, which makes no two files alike."""
    unique = chance.randbytes(chance.randrange(2, 2 * CHUNK_BYTES, 2))
    spoken = _spoken()
    content = spoken + b"junk" + len(unique).to_bytes(4, "little") + unique
    return content[:4] + (len(content) - 8).to_bytes(4, "little") + content[8:]


@cache
def _spoken() -> bytes:
    with wave.open(str(demo.HERE / "clips" / "henry.wav")) as source:
        facts, frames = source.getparams(), source.readframes(SPOKEN_SECONDS * source.getframerate())
    target = io.BytesIO()
    with wave.open(target, "wb") as made:
        made.setparams(facts)
        made.writeframes(frames)
    return target.getvalue()
