"""Kills of worker, site and servers under `manage.py up` amid fifty students who ask the coach.

python -m tests.chaos coach --kills 300
python -m tests.chaos coach --kills 300 --seed 11

The model server is a fake that answers with the marks of the question that it was asked. So it shows whose answer
somebody reads. Four in five ask as the page does, and look now and then; the others read the answer as it is written,
and take up the stream again where it broke off.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, LiteralString

import httpx

from tests.chaos import lesson
from tests.chaos.students import AGAIN_SECONDS, StormVisitor, a_class_of, session_of
from tests.chaos.up import LAB, Storm, lab, run_there, visited
from tests.doubles import ollama, words
from tests.doubles.ollama import FakeOllama

TARGETS: Final = ("Valkey", "postmaster", "site", "worker")
STUDENTS: Final = 50
STREAM_READERS: Final = 5  # one in so many
PAUSE_SECONDS: Final = 3.0  # of a student between two questions, on average
LOOK_SECONDS: Final = 2.0  # between two looks at an answer that is not there yet, on average
TOKEN_SECONDS: Final = 0.03
SPEECH: Final = "I am somebody who likes to build things, and I would like to learn more about it."
# Each question with its answer and the way its task went, as the database has them at the end.
FACTS: Final[LiteralString] = """
    SELECT q.text, q.answer, q.end, q.restarts, t.state, t.error_code,
           ARRAY(SELECT a.outcome FROM queueing_attempt a WHERE a.task_id = t.id ORDER BY a.epoch)
      FROM evaluations_coachquestion q JOIN queueing_task t ON t.id = q.task_id ORDER BY q.asked_at
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kills", type=int, default=300, help="at least so many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="to repeat the order of a run")
    parser.add_argument("--log", type=Path, help="where to keep what `up` says; else it is shown after a fault only")


def run(options: argparse.Namespace) -> int:
    """Returns the exit status: 0 when all was right."""
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="introeval-coach-") as folder:
        log = options.log or Path(folder) / "log"
        with storming(Path(folder) / "var", log, seed=options.seed) as storm:
            storm.rage(lambda: storm.kills.total() >= options.kills, say=lambda text: print(text, flush=True))
            storm.calm()
            problems = storm.problems()
        problems += storm.after_the_end()
        print(json.dumps(storm.figures(), indent=2))
        print("coach:", "\n    ".join(problems) or "all came back, nothing lost, doubled, mixed or for ever answered")
        if problems and not options.log:
            print(*log.read_text().splitlines()[-80:], sep="\n", file=sys.stderr)
    return 1 if problems else 0


def enrol(number: int) -> None:
    """A class of so many, each with something to ask about; prints a session and a submission for each."""
    students = a_class_of(number)
    classroom = students[0].classes_attended.get()
    found = {one.username: [session_of(one), str(lesson.transcribed(classroom, one, SPEECH).pk)] for one in students}
    print(json.dumps(found))


@dataclass
class AskedQuestion:
    """One question, as its student knows it."""

    mark: str
    streamed: bool = False  # a stream that breaks off takes its question back, as far as the site still notices
    key: str = ""  # its id, once it is known to be in the line
    answer: str = ""  # as it was read
    problem: str = ""  # the code of the error that it ended with


class Asker(StormVisitor):
    """Asks one question after the other, and reads each answer to its end, until told to stop."""

    def __init__(self, number: int, url: str, session: str, submission: str, *, seed: int) -> None:
        super().__init__(number, url, session, pause=PAUSE_SECONDS, seed=seed)
        self.number, self.submission = number, submission
        self.asked: list[AskedQuestion] = []
        self.reads_stream = number % STREAM_READERS == 0

    def run(self) -> None:
        while not self.stopping.wait(self.chance.uniform(0, 2 * self.pause)):
            question = AskedQuestion(f"mark{self.number}x{len(self.asked)}x", self.reads_stream)
            self.asked.append(question)
            step = self._read_stream if self.reads_stream else self._ask_and_look
            while not (self.problems or self.leaving.is_set() or step(question)):
                time.sleep(AGAIN_SECONDS)

    def _ask_and_look(self, question: AskedQuestion) -> bool:
        """One step of it. Whether it has ended."""
        if not question.key:
            found = self._find(question)
            if found is None or question.key:
                return False
            sent = httpx.QueryParams(question=f"What about {question.mark}?")
            headers = {"Content-Type": "application/x-www-form-urlencoded", "HX-Request": "true"}
            self.ask("POST", f"/submissions/{self.submission}/coach/ask", headers, str(sent).encode())
            return False
        self.leaving.wait(self.chance.uniform(0, 2 * LOOK_SECONDS))
        answer = self.ask("GET", f"/api/chat/{question.key}")
        return answer is not None and self._learn(question, answer.json())

    def _find(self, question: AskedQuestion) -> bool | None:
        """Whether it is in the line, by its mark: an answer that never came says nothing. None: it can't be told."""
        answer = self.ask("GET", f"/api/submissions/{self.submission}/chat")
        if answer is None:
            return None
        found = [one for one in answer.json() if question.mark in one["question"]]
        for one in found:
            question.key = one["id"]
        if len(found) > 1:
            self.problems.append(f"{question.mark} is there {len(found)} times")
        return bool(found)

    def _learn(self, question: AskedQuestion, state: dict[str, Any]) -> bool:
        question.answer = state["answer"]
        question.problem = state["error"]["code"] if state["error"] else ""
        if not state["question"].endswith(f"{question.mark}?"):
            self.problems.append(f"{question.mark}: was shown {state['question']!r}")
        self._check_marks(question)
        return bool(state["position"] == -1)

    def _read_stream(self, question: AskedQuestion) -> bool:
        """From the beginning, or on from where it broke off. Whether it has ended."""
        if not question.key:
            found = self._find(question)
            if found is None:
                return False
        headers = {"Last-Event-ID": f"{question.key}:0:0"} if question.key else {}
        body = {"submission_id": self.submission, "question": f"What about {question.mark}?"}
        try:
            with self.http.stream("POST", "/api/chat/stream", json=body, headers=headers) as answer:
                if not answer.is_success:
                    answer.read()
                return self.is_as_wished(answer) and self._follow(question, answer)
        except httpx.TransportError:
            self.otherwise[0] += 1
        return False

    def _follow(self, question: AskedQuestion, answer: httpx.Response) -> bool:
        name = ""
        for text in answer.iter_lines():
            field_name, _, value = text.partition(": ")
            if field_name == "id":
                question.key = value.partition(":")[0]
            elif field_name == "event":
                name = value
            elif field_name == "data" and name == "token":
                token = json.loads(value)
                question.answer = question.answer[: token["at"]] + token["text"]
                self._check_marks(question)
            elif field_name == "data" and name == "error":
                question.problem = json.loads(value)["code"]
                return True
            elif field_name == "data" and name == "done":
                state = json.loads(value)
                if question.answer != state["answer"]:
                    self.problems.append(f"{question.mark}: {question.answer!r} was streamed of {state['answer']!r}")
                return self._learn(question, state)
        return False

    def _check_marks(self, question: AskedQuestion) -> None:
        if others := {*words.MARK.findall(question.answer)} - {question.mark}:
            self.problems.append(f"{question.mark} was answered about {', '.join(others)}")


@dataclass
class CoachStorm(Storm[Asker]):
    """Upon students who ask."""

    ends: Counter[str] = field(default_factory=Counter)

    def problems(self) -> list[str]:
        """What was asked, held against the database."""
        asked = {one.mark: one for asker in self.students.values() for one in asker.asked}
        rows: dict[str, list[tuple[Any, ...]]] = {mark: [] for mark in asked}
        found = [f"{name}: {text}" for name, one in self.students.items() for text in one.problems]
        for text, *row in self.ask(FACTS):
            rows.setdefault(words.MARK.findall(text)[0], []).append(tuple(row))
        for mark, of_it in rows.items():
            found += [f"{mark}: {text}" for text in wrong(asked.get(mark), of_it)]
            self.ends.update(row[4] or row[3] for row in of_it)
            self.ends["began again"] += sum(bool(row[2]) for row in of_it)
        return [*self.faults, *found]

    def figures(self) -> dict[str, Any]:
        return {"questions": dict(self.ends), **super().figures()}


def wrong(asked: AskedQuestion | None, rows: Sequence[tuple[Any, ...]]) -> Iterator[str]:
    """What is wrong with a question, of which there are these rows of FACTS, without their text."""
    if asked is None or len(rows) != 1:
        yield "was asked by nobody" if asked is None else f"is there {len(rows)} times"
        return
    answer, end, _, state, error, outcomes = rows[0]
    if outcomes.count("succeeded") != (state == "done"):
        yield f"is {state} after {outcomes}"
    if state == "done" and not (end == "answered" and answer.endswith(words.marked([asked.mark])[0])):
        yield f"was answered {answer!r}, {end}"
    if state == "done" and asked.answer != answer:
        yield f"its student has read {asked.answer!r}, and not {answer!r}"
    # Poison: two workers died on it, which its student is told.
    if not (state == "done" or error == "poison" or (state == "cancelled" and asked.streamed)):
        yield f"is {state} {error}"


@contextmanager
def storming(data_dir: Path, log: Path, *, seed: int, students: int = STUDENTS) -> Iterator[CoachStorm]:
    """A lab whose students ask all the time, each of them one question after the other."""
    with ollama.serving(FakeOllama()) as server:
        server.runners.parallel, server.token_seconds = 5, TOKEN_SECONDS
        one = {"URL": server.url, "MODEL": server.model}
        models = {f"LLM_{role}_{name}": value for role in ("EXTRACT", "RATE") for name, value in one.items()}
        variables = {**LAB, **models, "LLM_PROTOCOL": "ollama", "LLM_SLOTS": "5"}
        with lab(data_dir, log, variables) as (up, url):
            code = f"from tests.chaos.askers import enrol; enrol({students})"
            enrolled: dict[str, list[str]] = run_there(data_dir, variables, code)
            askers = {
                name: Asker(number, url, *known, seed=seed) for number, (name, known) in enumerate(enrolled.items())
            }
            with visited(askers.values()):
                yield CoachStorm(up, url, askers, random.Random(seed), TARGETS)
