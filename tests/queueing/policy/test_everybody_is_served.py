"""The policy over a whole lesson, simulated without a clock or a database: nothing waits for ever, nothing flaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from queueing.policy import batches
from queueing.policy.lanes import MAX_PASSED_OVER, Lane, next_room
from queueing.policy.phases import Demand, Limits, Snapshot, next_phase
from queueing.states import PhaseName

LIMITS = Limits(batch_size=10, batch_max_wait_seconds=3, max_dwell_seconds=600, idle_unload_seconds=60)
SWITCH_SECONDS = 15.0
LOOK_SECONDS = 1.0


@dataclass
class SimulatedLesson:
    """One GPU, one request at a time; what is handed in at which second."""

    arrivals: list[float]
    transcribe_seconds: float
    evaluate_seconds: float
    questions: list[float] = field(default_factory=list)  # of a second pipeline, to the same language model
    answer_seconds: float = 1.0
    now: float = 0.0
    current: PhaseName | None = None
    entered: float = 0.0
    idle_since: float = 0.0
    waiting: list[float] = field(default_factory=list)  # when each upload came
    batch: int = 0
    evaluation: list[float] = field(default_factory=list)  # when each transcript was ready
    asked: list[float] = field(default_factory=list)  # when each question came
    passed_over: Counter[Lane] = field(default_factory=Counter)
    waits: dict[str, list[float]] = field(default_factory=lambda: {"rate": [], "answer": []})
    ratings: list[str] = field(default_factory=list)  # what the model was called for, in order
    worked: int = 0  # tasks since the current phase was entered
    switches: list[int] = field(default_factory=list)  # the tasks that each phase which was left had done
    ready_since: dict[PhaseName, float] = field(default_factory=dict)
    longest: dict[PhaseName, float] = field(default_factory=lambda: dict.fromkeys(PhaseName, 0.0))

    def run(self) -> None:
        rounds = 0
        while self.arrivals or self.waiting or self.batch or self.evaluation or self.asked or self.questions:
            rounds += 1
            assert rounds < 5_000, "the lesson does not end"
            self._hand_in()
            snapshot = self._snapshot()
            self._note_who_is_ready(snapshot)
            wanted = next_phase(
                self.current,
                snapshot,
                LIMITS,
                dwelt_seconds=self.now - self.entered,
                idle_seconds=self.now - self.idle_since,
            )
            if wanted.phase != self.current:
                self._switch(wanted.phase)
            elif not self._work():
                self.now += LOOK_SECONDS

    def _hand_in(self) -> None:
        came = [at for at in self.arrivals if at <= self.now]
        self.waiting += came
        self.arrivals = self.arrivals[len(came) :]
        asked = [at for at in self.questions if at <= self.now]
        self.asked += asked
        self.questions = self.questions[len(asked) :]

    def _snapshot(self) -> Snapshot:
        def oldest(since: Sequence[float]) -> float:
            return self.now - min(since) if since else 0.0

        return Snapshot(
            unbatched=Demand(len(self.waiting), 0, oldest(self.waiting)),
            batch=Demand(self.batch),
            evaluation=Demand(len(self.evaluation) + len(self.asked), 0, oldest([*self.evaluation, *self.asked])),
        )

    def _note_who_is_ready(self, snapshot: Snapshot) -> None:
        ready = {
            PhaseName.STT: bool(snapshot.batch.due) or _batch_ready(snapshot.unbatched),
            PhaseName.EVAL: bool(snapshot.evaluation.due),
        }
        for phase, is_ready in ready.items():
            if is_ready and phase != self.current:
                since = self.ready_since.setdefault(phase, self.now)
                self.longest[phase] = max(self.longest[phase], self.now - since)
            else:
                self.ready_since.pop(phase, None)

    def _switch(self, phase: PhaseName | None) -> None:
        if self.current:
            self.switches.append(self.worked)
        if phase != PhaseName.STT:
            self.batch = 0
        self.now += SWITCH_SECONDS
        self.current, self.entered, self.idle_since, self.worked = phase, self.now, self.now, 0
        if phase == PhaseName.STT:
            self._fill()  # a phase entered for uploads takes them before the policy runs again

    def _fill(self) -> None:
        taken = self.waiting[: LIMITS.batch_size - self.batch]
        self.waiting = self.waiting[len(taken) :]
        self.batch += len(taken)

    def _work(self) -> bool:
        if self.current == PhaseName.STT and self.batch:
            self.batch -= 1
            self.now += self.transcribe_seconds
            self.evaluation.append(self.now)
        elif self.current == PhaseName.EVAL and (self.evaluation or self.asked):
            self._call_the_model()
        else:
            return False
        self.idle_since, self.worked = self.now, self.worked + 1
        return True

    def _call_the_model(self) -> None:
        """One slot, and two pipelines that want it."""
        line = {RATE: self.evaluation, ANSWER: self.asked}
        found = [(lane, 1) for lane, waiting in line.items() if waiting]
        chosen = next_room(found, self.passed_over)
        assert chosen is not None
        lane, _ = chosen
        self.passed_over[lane] = 0
        self.passed_over.update(other for other, _ in found if other != lane)
        self.waits[lane.stages[0]].append(self.now - line[lane].pop(0))
        self.ratings.append(lane.stages[0])
        self.now += self.evaluate_seconds if lane == RATE else self.answer_seconds


RATE = Lane("llama", ("rate",), 1, pipeline="evaluation")
ANSWER = Lane("llama", ("answer",), 1, pipeline="coach", priority=1)


def _batch_ready(uploads: Demand) -> bool:
    return batches.is_ready(
        uploads.due,
        uploads.oldest_seconds,
        size=LIMITS.batch_size,
        max_wait_seconds=LIMITS.batch_max_wait_seconds,
    )


lessons = st.builds(
    SimulatedLesson,
    arrivals=st.lists(st.floats(0, 3000), min_size=1, max_size=120).map(sorted),
    transcribe_seconds=st.floats(1, 60),
    evaluate_seconds=st.floats(1, 120),
)


@settings(max_examples=300, deadline=None)
@given(lessons)
def test_work_that_is_ready_gets_the_gpu_after_a_bounded_time(lesson: SimulatedLesson) -> None:
    lesson.run()
    batch = LIMITS.batch_size * lesson.transcribe_seconds
    assert lesson.longest[PhaseName.EVAL] <= batch + SWITCH_SECONDS + LOOK_SECONDS
    dwell = LIMITS.max_dwell_seconds + lesson.evaluate_seconds
    assert lesson.longest[PhaseName.STT] <= dwell + SWITCH_SECONDS + LOOK_SECONDS


@settings(max_examples=300, deadline=None)
@given(lessons)
def test_no_phase_is_entered_without_doing_any_work_in_it(lesson: SimulatedLesson) -> None:
    lesson.run()
    assert all(lesson.switches)


shared_lessons = st.builds(
    SimulatedLesson,
    arrivals=st.lists(st.floats(0, 1500), min_size=1, max_size=40).map(sorted),
    transcribe_seconds=st.floats(1, 30),
    evaluate_seconds=st.floats(1, 60),
    questions=st.lists(st.floats(0, 3000), max_size=400).map(sorted),
    answer_seconds=st.floats(1, 30),
)


@settings(max_examples=200, deadline=None)
@given(shared_lessons)
def test_a_second_pipeline_neither_starves_the_class_nor_is_starved_by_it(lesson: SimulatedLesson) -> None:
    """A stream of questions, of higher priority, to the one model that rates."""
    students, asked = len(lesson.arrivals), len(lesson.questions)
    lesson.run()  # which ends: nobody waits for ever
    assert (lesson.ratings.count("rate"), lesson.ratings.count("answer")) == (students, asked)
    batch = LIMITS.batch_size * lesson.transcribe_seconds
    dwell = LIMITS.max_dwell_seconds + max(lesson.evaluate_seconds, lesson.answer_seconds)
    # The GPU comes to uploads as soon as it did for the class alone, however many questions there are.
    assert lesson.longest[PhaseName.STT] <= dwell + SWITCH_SECONDS + LOOK_SECONDS
    assert lesson.longest[PhaseName.EVAL] <= batch + SWITCH_SECONDS + LOOK_SECONDS


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 30), st.integers(1, 200))
def test_while_both_have_work_each_gets_its_share_of_the_model(videos: int, questions: int) -> None:
    lesson = SimulatedLesson([], 1.0, 1.0, current=PhaseName.EVAL)
    lesson.evaluation, lesson.asked = [0.0] * videos, [0.0] * questions
    lesson.run()
    both = min(lesson.ratings[::-1].index(kind) for kind in ("rate", "answer"))
    shared = lesson.ratings[: len(lesson.ratings) - both]
    for start in range(len(shared) - MAX_PASSED_OVER):
        assert "rate" in shared[start : start + MAX_PASSED_OVER + 1] or "rate" not in lesson.ratings[start:]
