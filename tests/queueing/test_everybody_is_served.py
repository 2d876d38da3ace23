"""The policy over a whole lesson, simulated without a clock or a database: nothing waits for ever, nothing flaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from queueing.policy import Demand, Limits, Snapshot, batch_ready, next_phase
from queueing.states import PhaseName

LIMITS = Limits(batch_size=10, batch_max_wait_seconds=3, max_dwell_seconds=600, idle_unload_seconds=60)
SWITCH_SECONDS = 15.0
LOOK_SECONDS = 1.0


@dataclass
class Lesson:
    """One GPU, one request at a time; what is handed in at which second."""

    arrivals: list[float]
    transcribe_seconds: float
    evaluate_seconds: float
    now: float = 0.0
    current: PhaseName | None = None
    entered: float = 0.0
    idle_since: float = 0.0
    waiting: list[float] = field(default_factory=list)  # when each upload came
    batch: int = 0
    evaluation: list[float] = field(default_factory=list)  # when each transcript was ready
    worked: int = 0  # tasks since the current phase was entered
    switches: list[int] = field(default_factory=list)  # the tasks that each phase which was left had done
    ready_since: dict[PhaseName, float] = field(default_factory=dict)
    longest: dict[PhaseName, float] = field(default_factory=lambda: dict.fromkeys(PhaseName, 0.0))

    def run(self) -> None:
        rounds = 0
        while self.arrivals or self.waiting or self.batch or self.evaluation:
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

    def _snapshot(self) -> Snapshot:
        def oldest(since: Sequence[float]) -> float:
            return self.now - min(since) if since else 0.0

        return Snapshot(
            unbatched=Demand(len(self.waiting), 0, oldest(self.waiting)),
            batch=Demand(self.batch),
            evaluation=Demand(len(self.evaluation), 0, oldest(self.evaluation)),
        )

    def _note_who_is_ready(self, snapshot: Snapshot) -> None:
        ready = {
            PhaseName.STT: bool(snapshot.batch.due) or batch_ready(snapshot, LIMITS),
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
            self._fill()  # a phase entered for uploads takes them before the policy looks again

    def _fill(self) -> None:
        taken = self.waiting[: LIMITS.batch_size - self.batch]
        self.waiting = self.waiting[len(taken) :]
        self.batch += len(taken)

    def _work(self) -> bool:
        if self.current == PhaseName.STT and self.batch:
            self.batch -= 1
            self.now += self.transcribe_seconds
            self.evaluation.append(self.now)
        elif self.current == PhaseName.EVAL and self.evaluation:
            self.evaluation.pop(0)
            self.now += self.evaluate_seconds
        else:
            return False
        self.idle_since, self.worked = self.now, self.worked + 1
        return True


lessons = st.builds(
    Lesson,
    arrivals=st.lists(st.floats(0, 3000), min_size=1, max_size=120).map(sorted),
    transcribe_seconds=st.floats(1, 60),
    evaluate_seconds=st.floats(1, 120),
)


@settings(max_examples=300, deadline=None)
@given(lessons)
def test_work_that_is_ready_gets_the_gpu_after_a_bounded_time(lesson: Lesson) -> None:
    lesson.run()
    batch = LIMITS.batch_size * lesson.transcribe_seconds
    assert lesson.longest[PhaseName.EVAL] <= batch + SWITCH_SECONDS + LOOK_SECONDS
    dwell = LIMITS.max_dwell_seconds + lesson.evaluate_seconds
    assert lesson.longest[PhaseName.STT] <= dwell + SWITCH_SECONDS + LOOK_SECONDS


@settings(max_examples=300, deadline=None)
@given(lessons)
def test_no_phase_is_entered_without_doing_any_work_in_it(lesson: Lesson) -> None:
    lesson.run()
    assert all(lesson.switches)
