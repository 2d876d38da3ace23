"""Scenario: students ask the coach, look, stop and ask too often, while two workers answer, one of which may die.

Nobody moves while the line is looked at before each step, so what is true then is exact. What students are told
takes several statements, between which others come and go: it must have been true at one moment of their asking.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass
from threading import Event
from typing import Any, Final
from unittest.mock import patch

from django.conf import settings
from django.test import override_settings

from evaluations.coaching.questions import asking, facts, line
from evaluations.coaching.questions.facts import Facts
from evaluations.coaching.questions.pipeline import ANSWER
from evaluations.coaching.questions.pipeline import pipeline as coach
from evaluations.errors.refusals import RefusedError
from evaluations.models import COACH, CoachQuestion, Submission
from queueing import pipelines
from queueing.engines.base import Engines, LanguageOptions, Prompt, WrittenText
from queueing.exceptions import Interrupted
from queueing.models import Task
from queueing.policy import lanes
from queueing.policy.lanes import Lane
from queueing.states import LIVE, State
from queueing.worker import upkeep
from queueing.worker.jobs import Jobs
from tests.chaos import oracle
from tests.chaos.phases import clocks
from tests.chaos.scheduler import Scheduler, pass_on, until
from tests.chaos.world import LEASE_SECONDS, PATIENCE, ScheduleWorld, enter, execute, start_worker

BOUNDS: Final = {
    "COACH_CONCURRENT": 2,
    "COACH_QUEUE": 4,
    "COACH_WAITING_PER_STUDENT": 3,
    "LLM_CAN_JUDGE": True,
}
MAX_STEPS: Final = 4000
PIECES: Final = 3  # of an answer …
PIECE_WORDS: Final = 6  # … so that some is shown before its end
REFUSALS: Final = ("questions_waiting", "coach_full")
NOTHING_KNOWN: Final = Facts((), "", "", "", frozenset())
LINE: Final = """
    SELECT q.id, t.id, t.state, t.turn, q.student_id, t.worker_id, t.epoch, q.text, q.answer
      FROM evaluations_coachquestion q JOIN queueing_task t ON t.id = q.task_id
"""


class Echo:
    """A model that answers with the marks of the question that it was asked, and of no other one."""

    model = "echo"
    simulated = True
    slots = 8

    def write(self, prompt: Prompt, options: LanguageOptions, *, on_text: Any, stop: Event) -> WrittenText:
        for piece in pieces(" ".join(re.findall(r"q\d+q", prompt.user))):
            pass_on("writes")
            if stop.is_set():
                raise Interrupted
            on_text(piece)
        pass_on("has written")
        return WrittenText("", self.model, "stop", 1, 1, 0.0)


def pieces(mark: str) -> list[str]:
    return [f"{mark} " * PIECE_WORDS] * PIECES


def whole(mark: str) -> str:
    return "".join(pieces(mark)).strip()


_ECHO: Any = Echo()


@dataclass(frozen=True)
class LineMoment:
    """The line as it is while nobody moves, reckoned from its rows: what the product says is held against it."""

    rows: tuple[tuple[Any, ...], ...]
    places: dict[uuid.UUID, int]

    @classmethod
    def read(cls) -> LineMoment:
        rows = tuple(execute(LINE))
        waiting = sorted((row[3], row[1], row[0]) for row in rows if row[2] == State.QUEUED)
        places = {row[0]: 0 if row[2] == State.RUNNING else line.ENDED for row in rows}
        return cls(rows, places | {key: place for place, (*_, key) in enumerate(waiting, 1)})

    def place(self, question: uuid.UUID) -> int:
        return self.places.get(question, line.UNKNOWN)

    def waiting(self, student: int | None = None) -> int:
        return sum(row[2] == State.QUEUED and student in (None, row[4]) for row in self.rows)

    def problems(self) -> Iterator[str]:
        running = [row for row in self.rows if row[2] == State.RUNNING]
        unclaimed = [row for row in self.rows if row[2] == State.QUEUED and not row[6]]  # of those that came back, none
        for worker, count in Counter(row[5] for row in running).items():
            if count > settings.COACH_CONCURRENT:
                yield f"worker {worker} answers {count} at a time"
        for student, count in Counter(row[4] for row in running).items():
            if count > 1:
                yield f"{count} questions of student {student} are being answered"
        for student, count in Counter(row[4] for row in unclaimed).items():
            if count > settings.COACH_WAITING_PER_STUDENT:
                yield f"{count} questions of student {student} wait"
        if len(unclaimed) > settings.COACH_QUEUE:
            yield f"{len(unclaimed)} questions wait"
        for *_, text, answer in self.rows:
            if set(re.findall(r"q\d+q", answer)) - {text}:
                yield f"the answer to {text} is {answer!r}"


class CoachWorld(ScheduleWorld):
    """The line's moments, one after the other, and who has asked what."""

    def __init__(self, scheduler: Scheduler, submissions: list[Submission]) -> None:
        super().__init__(scheduler, submissions)
        self.moments = [LineMoment.read()]
        self.asked: dict[uuid.UUID, Submission] = {}
        self.askers_left = 0
        self.stopped: set[uuid.UUID] = set()
        scheduler.before_step = self.look

    def look(self) -> None:
        """Hold what is true now, and what the product says of it, against what must be."""
        if self.scheduler.problems or (now := LineMoment.read()).rows == self.moments[-1].rows:
            return
        self.moments.append(now)
        for problem in now.problems():
            self.scheduler.report(problem)
        places = Task.objects.filter(pipeline=COACH).positions()
        for key, task, *_ in now.rows:
            if (told := places.get(task, line.ENDED)) != now.place(key):
                self.scheduler.report(f"{key} is said to be at {told}, and is at {now.place(key)}")
        if self.asked:
            self._ask_of_one([*self.asked][len(self.moments) % len(self.asked)], now)

    def _ask_of_one(self, question: uuid.UUID, now: LineMoment) -> None:
        """By the door that students come through; of all of them each time it would take long."""
        student = self.asked[question].student_id
        told = [line.position(question, student), line.position(question, student + 1), line.position(uuid.uuid4(), 1)]
        if told != [now.place(question), line.UNKNOWN, line.UNKNOWN]:
            self.scheduler.report(f"{question} at {now.place(question)}: its student, another and a guess get {told}")

    def since(self, moment: int) -> list[LineMoment]:
        """All moments from that one to now."""
        return self.moments[moment:]


class CoachProcess:
    """A worker that only answers the coach's questions, as many at a time as its lane has room for."""

    def __init__(self, world: CoachWorld, name: str) -> None:
        self.world, self.name = world, name
        self.row = start_worker(name)
        self.jobs = Jobs(Engines(_ECHO, {"rate": _ECHO}), PATIENCE, wake=lambda: None, chance=world.chance)
        registered = pipelines.get(COACH)
        spec = registered.stage(ANSWER)
        self.lane = Lane(
            "rate", (ANSWER,), _ECHO.slots, max_slots=spec.max_slots, one_per_owner=registered.one_per_owner
        )
        self.left = False

    def main(self) -> None:
        while self.world.askers_left or Task.objects.live().filter(pipeline=COACH).exists():
            self.round()
            until(self._something_ended, "rests", at_most=True)
        self.left = True

    def round(self, *, rescue: bool = True) -> None:
        self.jobs.finish_ended()
        owned = set(Task.objects.filter(worker=self.row, state=State.RUNNING).values_list("pk", flat=True))
        self.jobs.stop({claim for claim in self.jobs.held() if claim[0] not in owned})
        if rescue:
            upkeep.rescue_expired(PATIENCE.max_crashes, LEASE_SECONDS, set(self.jobs.running))
        self.jobs.show_progress()
        for lane, room in lanes.rooms([self.lane], self.jobs.per_stage()):
            claimed = Task.objects.claim(
                worker=self.row,
                stages=lane.stages,
                lease_seconds=LEASE_SECONDS,
                limit=room,
                beside=self.jobs.computing(),
                one_per_owner=lane.one_per_owner,
            )
            for task in claimed:
                self.jobs.start(task)

    def _something_ended(self) -> bool:
        return any(job.outcome.done() for job in self.jobs.running.values())


def play(scheduler: Scheduler, submissions: list[Any]) -> ScheduleWorld:
    """One schedule, and a check of what it left."""
    with coaching(scheduler):
        world = CoachWorld(scheduler, submissions)
        enter(world)
        chance = scheduler.chance
        processes = [CoachProcess(world, name) for name in "AB"]
        for process in processes:
            scheduler.spawn(process.name, process.main)
        asked_about = [*submissions[:3], _prior(submissions[0])]
        world.askers_left = len(asked_about)
        for number, submission in enumerate(asked_about):
            scheduler.spawn(f"student{number}", lambda of=submission, at=number: ask(world, of, at))  # type: ignore[misc]
        scheduler.may_die, scheduler.kill_chance = {"A"}, chance.choice((0.0, 0.005, 0.02))
        scheduler.on_death = lambda name: _die(world)
        scheduler.run(MAX_STEPS)
        world.look()
        for problem in left_behind(world):
            scheduler.report(problem)
    return world


def ask(world: CoachWorld, submission: Submission, number: int) -> None:
    """A student asks a few times, and looks at a place, or stops a question, in between."""
    chance = world.chance
    for turn in range(chance.randint(1, 3)):
        began = len(world.moments) - 1
        mark = f"q{number}{turn}q"
        try:
            question = asking.ask(submission=submission, student=submission.student, text=mark, language="en")
        except RefusedError as refusal:
            _check_refusal(world, refusal, submission, world.since(began))
        else:
            world.asked[question.pk] = submission
            world.tasks.append(question.task_id)
            world.counts["asked"] += 1
        own = [key for key, of in world.asked.items() if of.student_id == submission.student_id]
        if own and chance.random() < 0.5:
            _look_at_place(world, chance.choice(own), submission.student_id)
        if own and chance.random() < 0.3:
            key = chance.choice(own)
            if asking.stop(CoachQuestion.objects.get(pk=key), by=submission.student):
                world.stopped.add(key)
                world.counts["stopped"] += 1
    world.askers_left -= 1


def _check_refusal(world: CoachWorld, refusal: RefusedError, of: Submission, moments: Collection[LineMoment]) -> None:
    world.counts[refusal.code] += 1
    too_many = {
        "questions_waiting": lambda now: now.waiting(of.student_id) >= settings.COACH_WAITING_PER_STUDENT,
        "coach_full": lambda now: now.waiting() >= settings.COACH_QUEUE,
    }[refusal.code]
    if not any(map(too_many, moments)):
        world.scheduler.report(f"refused with {refusal.code}, though there was room all the time")


def _look_at_place(world: CoachWorld, question: uuid.UUID, student: int) -> None:
    began = len(world.moments) - 1
    told = line.position(question, student)
    was = [now.place(question) for now in world.since(began)]
    world.counts["looks"] += 1
    if told not in was:
        world.scheduler.report(f"{question} is said to be at {told}, and was at {was}")


def _prior(submission: Submission) -> Submission:
    """The same student's, in a class whose questions come first."""
    prior = copy(submission)
    prior.classroom = copy(submission.classroom)
    prior.classroom.coach_priority = 1
    return prior


def _die(world: CoachWorld) -> None:
    for task in Task.objects.filter(state=State.RUNNING, worker__node="A").values_list("pk", flat=True):
        world.let_a_lease_run_out(task, silent=True)


def left_behind(world: CoachWorld) -> Iterator[str]:
    """What is wrong once everybody has gone."""
    for question in CoachQuestion.objects.filter(pk__in=world.asked).select_related("task"):
        state = question.task.state
        world.counts[state] += 1
        if state in LIVE:
            yield f"{question.text} is {state}, with nobody to go on"
        if state == State.DONE and question.answer != whole(question.text):
            yield f"{question.text} was answered {question.answer!r}"
        if (state == State.CANCELLED) != (question.pk in world.stopped):
            yield f"{question.text} is {state}, {'' if question.pk in world.stopped else 'not '}stopped"
    for fact in oracle.facts(world):
        succeeded = sum(outcome == "succeeded" for _, outcome, _ in fact.attempts.values())
        if succeeded != (fact.state == State.DONE):
            yield f"task {fact.task} is {fact.state} and succeeded {succeeded} times"
        yield from oracle.history(fact)


@contextmanager
def coaching(scheduler: Scheduler) -> Iterator[None]:
    """The coach's own pipeline at small bounds, about recordings of which nothing is known."""
    with ExitStack() as patches:
        patches.enter_context(override_settings(**BOUNDS))
        patches.enter_context(patch.dict(pipelines._registry, {COACH: coach()}))
        patches.enter_context(patch.object(facts, "of", lambda submission: NOTHING_KNOWN))
        patches.enter_context(clocks(scheduler))
        yield
