"""Whether what is said of the waits holds, in rehearsed classes; and what saying it costs in a long line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final
from unittest.mock import patch

from tests.benchmarks.report import Row, Table

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from queueing.worker.background.line_facts import NodeCapacity

ROOT: Final = Path(__file__).parents[2]
CLASSES: Final = {
    "30 at once": ("--students", "30"),
    "30 at once, 3 slots": ("--students", "30", "--slots", "3"),
    "40 over 10 min, 3 slots": ("--students", "40", "--slots", "3", "--arrive", "600"),
    "60 over 5 min, 2 nodes": ("--students", "60", "--slots", "3", "--arrive", "300", "--nodes", "2"),
    "40 over 10 min, faults": ("--students", "40", "--slots", "3", "--arrive", "600", "--faults", "kill:4,llm:2,pg:1"),
}
LINE: Final = 512
STUDENTS: Final = 32


def estimates(*, rounds: int, say: Callable[[str], None]) -> Table:
    rows: list[Row] = []
    for name, chosen in CLASSES.items():
        for seed in range(rounds):
            say(f"estimates: {name}, {seed + 1} of {rounds}")
            found = _rehearse(*chosen, "--spread", "0.3", "--scale", "0.1", "--seed", str(seed))
            rows.append(
                {
                    "class": name,
                    "told": found["told"],
                    "first range held %": round(100 * found["first_within"], 1),
                    "looks": found["looks"],
                    "held %": round(100 * found["within"], 1),
                    "± %": round(50 * found["width"], 1),
                    "rose": found["rises"],
                    "to correct": found["corrections"],
                    "without a reason": found["rises_without_reason"],
                }
            )
    return Table("estimates", "how long it still takes, told and true, stages ±30 %, at 1/10 of the time", rows)


def _rehearse(*arguments: str) -> dict[str, float]:
    command = [sys.executable, "manage.py", "rehearse_lab", "--json", *arguments]
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "introeval.settings"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    found: dict[str, float] = json.loads(done.stdout)["estimates"]
    return found


def cost(*, rounds: int, say: Callable[[str], None]) -> Table:
    """Of a student's look at a line of LINE, with and without the estimates; and of making them."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from evaluations.live import messages
    from queueing.forecast import simulation
    from queueing.models import Forecast
    from queueing.worker.background import line_facts
    from queueing.worker.background.forecaster import forecast

    say(f"a look at a line of {LINE}")
    user = _line()
    capacity = _capacity()
    forecast(capacity)
    assert len(Forecast.objects.get().ranges) == LINE
    found = line_facts.read(capacity)

    @contextmanager
    def untold() -> Iterator[None]:
        with patch.object(type(Forecast.objects), "current", lambda self: Forecast()):
            yield

    def look() -> None:
        messages.find_updates([(user.pk, messages.NOTHING)], 0.0)

    def look_untold() -> None:
        with untold():
            messages.find_updates([(user.pk, messages.NOTHING)], 0.0)

    acts: dict[str, Callable[[], object]] = {
        "a look without estimates": look_untold,
        "a look": look,
        "a forecast (a worker, every 2 s)": lambda: forecast(capacity),
        "of which the simulation": lambda: simulation.simulate(found.line, found.nodes, found.lab),
    }
    took: dict[str, list[float]] = {name: [] for name in acts}
    queries: dict[str, int] = {}
    for _ in range(10 * rounds):
        for name, act in acts.items():  # in turn, so that whatever else goes on is shared
            began = time.perf_counter()
            act()
            took[name].append(1000 * (time.perf_counter() - began))
    for name, act in acts.items():
        with CaptureQueriesContext(connection) as captured:
            act()
        queries[name] = len(captured)
    base = median(took["a look without estimates"])
    rows: list[Row] = [
        {"what": name, "ms": median(each), "of a look without": median(each) / base, "queries": queries[name]}
        for name, each in took.items()
    ]
    return Table("look", f"a line of {LINE}, {STUDENTS} students", rows)


def _capacity() -> NodeCapacity:
    from queueing.policy.lanes import Lane
    from queueing.policy.phases import Limits
    from queueing.states import PhaseName
    from queueing.worker.background.line_facts import NodeCapacity

    lanes = (
        Lane("speech", ("transcribe",), 1, PhaseName.STT, batched=True),
        Lane("extract", ("extract",), 3),
        Lane("rate", ("rate",), 3),
    )
    return NodeCapacity(Limits(10, 3, 600, 60), lanes, node="bench")


def _line() -> User:
    """LINE uploads, of students who have handed in before; returns one of them."""
    from django.contrib.auth.models import User

    from evaluations.models import Classroom, Rubric, Submission
    from evaluations.stages.names import Stage
    from queueing.models import Attempt, Phase, Task, Worker, in_seconds
    from queueing.states import PhaseName, PhaseStep

    room = Classroom.objects.create(name="bench", rubric=Rubric.default())
    users = [User.objects.create(username=f"bench-{number}") for number in range(STUDENTS)]
    worker = Worker.objects.create(node="bench", pid=1, last_heartbeat_at=in_seconds(3600))
    Phase(node="bench").enter(PhaseStep.ACTIVE, name=PhaseName.STT)
    for number in range(LINE + 3):
        user = users[number % STUDENTS]
        made = Submission.objects.create(
            classroom=room, student=user, original_name="me.webm", path="x", size=1, sha256=f"{number:064d}"
        )
        task = Task.objects.enqueue(submission_id=made.pk, pipeline="evaluation", owner_key=str(user.pk))
        for _ in Stage if number < 3 else ():
            (task,) = Task.objects.take([task.pk], worker=worker, lease_seconds=60)
            task.advance(took=1.0)
            task.refresh_from_db()
    Attempt.objects.update(began_at=in_seconds(-30), ended_at=in_seconds(-20))
    return users[-1]
