"""Kills upon the whole of `manage.py up`: its servers, its site, its worker and all of their children, amid uploads."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, LiteralString, TypeVar

import psutil
import psycopg

from introeval.embedded.layout import ServiceLayout
from introeval.embedded.postgres import NAME, USER, Postgres
from introeval.embedded.valkey import Valkey
from tests.chaos.students import HandIn, StormStudent, StormVisitor
from tests.crowd import free_port
from tests.processes.lab import ROOT, Up, left_over, readyz

BACK_SECONDS: Final = 10.0
PATIENCE_SECONDS: Final = 90.0  # until what does not come back is believed not to
END_SECONDS: Final = 600.0  # for the work that is left when the storm is over
LOOK_SECONDS: Final = 0.1
PACE_SECONDS: Final = 2.5  # between two kills, at most
STAGES: Final = ("transcribe", "extract", "rate")
STUDENTS: Final = 3
PAUSE_SECONDS: Final = 2.0  # of a student between two recordings, on average
LAB: Final = {
    "STT_ENGINE": "simulated",
    "LLM_PROTOCOL": "simulated",
    "SIMULATED_SECONDS": "0.3",
    "LEASE_SECONDS": "10",
    "HEARTBEAT_SECONDS": "2",
    "DATABASE_POOL_SIZE": "8",
    "UPLOADS_PER_HOUR": "1000000",
    "UPLOAD_QUOTA_MB": "100000",
    "DISK_RESERVE_MB": "1",
    "LOG_LEVEL": "ERROR",
}
# Each submission's bytes, results and the way its task went, as the database has them at the end.
FACTS: Final[LiteralString] = """
    SELECT s.id::text, s.sha256, s.path,
           ARRAY(SELECT t.id FROM queueing_task t WHERE t.submission_id = s.id AND t.pipeline = 'evaluation'),
           ARRAY(SELECT t.state || coalesce(' ' || nullif(t.error_code, ''), '') FROM queueing_task t
                  WHERE t.submission_id = s.id),
           ARRAY(SELECT a.stage FROM queueing_attempt a JOIN queueing_task t ON t.id = a.task_id
                  WHERE t.submission_id = s.id AND a.outcome = 'succeeded' ORDER BY a.epoch),
           (SELECT array_agg(a.epoch ORDER BY a.epoch) = array_agg(a.number ORDER BY a.epoch)
              FROM (SELECT a.epoch, row_number() OVER (ORDER BY a.epoch) AS number
                      FROM queueing_attempt a JOIN queueing_task t ON t.id = a.task_id
                     WHERE t.submission_id = s.id) a),
           (SELECT count(*) FROM evaluations_transcript r WHERE r.submission_id = s.id),
           (SELECT count(*) FROM evaluations_form r WHERE r.submission_id = s.id),
           (SELECT count(*) FROM evaluations_evaluation r WHERE r.submission_id = s.id)
      FROM evaluations_submission s ORDER BY s.created_at
"""


Visitor = TypeVar("Visitor", bound=StormVisitor)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=300, help="how long the kills go on (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="to repeat the order of a run")
    parser.add_argument("--log", type=Path, help="where to keep what `up` says; else it is shown after a fault only")


def run(options: argparse.Namespace) -> int:
    """Returns the exit status: 0 when all was right."""
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="introeval-up-") as folder:
        log = options.log or Path(folder) / "log"
        with storming(Path(folder) / "var", log, seed=options.seed) as storm:
            end = time.monotonic() + options.seconds
            storm.rage(lambda: time.monotonic() > end, say=lambda words: print(words, flush=True))
            storm.calm()
            problems = [*storm.problems(), *storm.late(BACK_SECONDS)]
        problems += storm.after_the_end()
        print(json.dumps(storm.figures(), indent=2))
        print("up:", "\n    ".join(problems) or "all came back, nothing lost, doubled or torn")
        if problems and not options.log:
            print(*log.read_text().splitlines()[-80:], sep="\n", file=sys.stderr)
    return 1 if problems else 0


@dataclass
class Storm(Generic[Visitor]):
    """One run of `up` that is stormed. `back`: how many seconds after a round's last kill each part was there."""

    up: Up
    url: str
    students: dict[str, Visitor]
    chance: random.Random
    targets: Sequence[str]
    kills: Counter[str] = field(default_factory=Counter)
    back: list[dict[str, float]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def rage(self, is_enough: Callable[[], bool], *, say: Callable[[str], None] = lambda words: None) -> None:
        """Rounds of kills, each until all is back."""
        while not (is_enough() or self.faults):
            parts = [self.chance.choice(self.targets) for _ in range(self.chance.randint(1, 5))]
            say(f"{', '.join(self.strike(parts))}: {_rounded(self.back[-1])}")

    def strike(self, parts: Iterable[str]) -> list[str]:
        """Kill one part after the other, wait until all is back, and say what was killed, and how."""
        struck = [self._kill(part) for part in parts]
        self.back.append(self._until_back(time.time()))
        return [each for each in struck if each]

    def calm(self) -> None:
        """Nothing more is asked for, and all work comes to its end."""
        for student in self.students.values():
            student.stopping.set()
        for student in self.students.values():
            student.join(END_SECONDS)
        deadline = time.monotonic() + END_SECONDS
        while self.live_tasks() and not self.faults:
            if time.monotonic() > deadline:
                self.faults.append("work does not come to an end")
            time.sleep(LOOK_SECONDS)

    def late(self, limit: float) -> list[str]:
        return [
            f"{part} was back {seconds:.1f} s after the last kill, not {limit:.0f}"
            for each in self.back
            for part, seconds in each.items()
            if seconds > limit
        ]

    def after_the_end(self) -> list[str]:
        """Stop it as an operator does."""
        status = self.up.end(signal.SIGTERM) if self.up.process.poll() is None else self.up.process.returncode
        left = left_over(self.up.data_dir)
        return [f"exit status {status}"] * bool(status) + [f"left behind: {each}" for each in left]

    def figures(self) -> dict[str, Any]:
        worst = {part: round(max(each[part] for each in self.back), 1) for part in self.back[0]} if self.back else {}
        middle = {part: round(sorted(each[part] for each in self.back)[len(self.back) // 2], 1) for part in worst}
        everyone = self.students.values()
        return {
            "rounds": len(self.back),
            "kills": {"all": self.kills.total(), **dict(sorted(self.kills.items()))},
            "requests without an answer": sum(one.otherwise[0] for one in everyone),
            "requests told to come back": sum(one.otherwise.total() - one.otherwise[0] for one in everyone),
            "back, median s": middle,
            "back, worst s": worst,
        }

    # ---- kills

    def _kill(self, part: str) -> str:
        """Wait a little, and kill a process of that part at once, or after it was stopped for a while."""
        time.sleep(self.chance.uniform(0, PACE_SECONDS))
        stopped = self.chance.random() < 0.25
        with suppress(ProcessLookupError, IndexError):
            pid = self.chance.choice(sorted(TARGETS[part](self.up)))
            if stopped:
                os.kill(pid, signal.SIGSTOP)
                time.sleep(self.chance.uniform(0.5, 3))
            os.kill(pid, signal.SIGKILL)
            self.kills[part] += 1
            return f"{part}{' (stopped)' if stopped else ''}"
        return ""

    def _until_back(self, since: float) -> dict[str, float]:
        """When each part was there again, in seconds since then."""
        place = ServiceLayout(self.up.data_dir)
        parts: dict[str, Callable[[], bool]] = {
            "PostgreSQL": Postgres(place).answers,
            "Valkey": Valkey(place).answers,
            "site": lambda: readyz(self.url) == 200,
            "worker": lambda: bool(self.up.live_workers()),
            "queue": lambda: self._claimed_since(since),
        }

        def wait(part: str) -> float:
            while not _holds(parts[part]):
                if self.up.process.poll() is not None:
                    self.faults.append(f"`up` has quit with exit status {self.up.process.returncode}")
                elif time.time() - since > PATIENCE_SECONDS:
                    self.faults.append(f"{part}: not back after {PATIENCE_SECONDS:.0f} s")
                if self.faults:
                    break
                time.sleep(LOOK_SECONDS)
            return time.time() - since

        with ThreadPoolExecutor(len(parts)) as pool:  # each by itself: one that takes long must not delay the others
            return dict(zip(parts, pool.map(wait, parts), strict=True))

    # ---- what the database says

    def ask(self, query: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(host=str(ServiceLayout(self.up.data_dir).sockets), user=USER, dbname=NAME) as asked:
            return asked.execute(query, values).fetchall()

    def _claimed_since(self, moment: float) -> bool:
        query: LiteralString = "SELECT EXISTS (SELECT FROM queueing_attempt WHERE began_at > to_timestamp(%s))"
        return bool(self.ask(query, moment)[0][0])

    def live_tasks(self) -> int:
        """How many have not ended."""
        live: LiteralString = "SELECT count(*) FROM queueing_task WHERE state IN ('queued', 'running')"
        return int(self.ask(live)[0][0])


@dataclass
class UpStorm(Storm[StormStudent]):
    """Upon students who hand in."""

    retried: int = 0

    def problems(self) -> list[str]:
        """What was acknowledged, held against the database and the disk."""
        sent = {each.submission: each for student in self.students.values() for each in student.handed_in}
        rows = {row[0]: row[1:] for row in self.ask(FACTS)}
        found = [f"{name}: {words}" for name, one in self.students.items() for words in one.problems]
        found += [f"{one.name}: not acknowledged to its end" for key, one in sent.items() if not key]
        found += [f"submission {key} was handed in by nobody" for key in rows.keys() - sent.keys()]
        for key, one in sent.items():
            found += [f"submission {key}: {words}" for words in self._wrong(one, rows.get(key))]
        return [*self.faults, *found]

    def figures(self) -> dict[str, Any]:
        uploads = sum(len(one.handed_in) for one in self.students.values())
        return {"uploads": uploads, "retried": self.retried, **super().figures()}

    def live_tasks(self) -> int:
        """Those on which two workers died are asked for again: the storm did that."""
        poison: LiteralString = (
            "SELECT s.id::text, u.username FROM queueing_task t"
            " JOIN evaluations_submission s ON s.id = t.submission_id JOIN auth_user u ON u.id = s.student_id"
            " WHERE t.state = 'failed' AND t.error_code = 'poison'"
        )
        for submission, student in self.ask(poison):
            self.retried += self.students[student].retry(submission)
        return super().live_tasks()

    def _wrong(self, sent: HandIn, row: tuple[Any, ...] | None) -> Iterator[str]:
        if row is None:
            yield "acknowledged, and lost"
            return
        sha256, path, tasks, states, succeeded, without_gaps, *results = row
        kept = hashlib.sha256((self.up.data_dir / "media" / path).read_bytes()).hexdigest()
        if not sent.sha256 == sha256 == kept:
            yield f"other bytes than were sent: {sent.sha256}, {sha256} in the row, {kept} in the file"
        if (len(tasks), states) != (1, ["done"]):
            yield f"its tasks are {states}"
        if succeeded != [*STAGES]:
            yield f"its successful attempts are {succeeded}"
        if not without_gaps:
            yield "its attempts have gaps"
        if results != [1, 1, 1]:
            yield f"it has {results} transcripts, forms and ratings"


# Each part's processes, of which one is chosen. They may be gone by then.
TARGETS: Final[Mapping[str, Callable[[Up], list[int]]]] = {
    "postmaster": lambda up: up.server_pids("postgres"),
    "backend": lambda up: [each for pid in up.server_pids("postgres") for each in _descendants(pid)],
    "Valkey": lambda up: up.server_pids("valkey"),
    "site": lambda up: _pid(up, "site"),
    "worker": lambda up: _pid(up, "worker"),
    "engine": lambda up: [each for pid in _pid(up, "worker") for each in _descendants(pid)],
}


@contextmanager
def storming(data_dir: Path, log: Path, *, seed: int) -> Iterator[UpStorm]:
    """A lab with students who hand in all the time, each of them one recording after the other."""
    with lab(data_dir, log, LAB) as (up, url):
        sessions: dict[str, str] = run_there(
            data_dir, LAB, f"from tests.chaos.students import enrol; enrol({STUDENTS})"
        )
        students = {
            name: StormStudent(number, url, session, pause=PAUSE_SECONDS, seed=seed)
            for number, (name, session) in enumerate(sessions.items())
        }
        with visited(students.values()):
            yield UpStorm(up, url, students, random.Random(seed), sorted(TARGETS))


@contextmanager
def lab(data_dir: Path, log: Path, variables: Mapping[str, str]) -> Iterator[tuple[Up, str]]:
    """A run of `up`, and its address."""
    up = Up(data_dir, free_port(), log, **variables)
    try:
        yield up, up.ready().rstrip("/")
    finally:
        if up.process.poll() is None:
            up.end(signal.SIGTERM)


@contextmanager
def visited(visitors: Collection[StormVisitor]) -> Iterator[None]:
    """They are at it until the end of the block."""
    try:
        for one in visitors:
            one.start()
        yield
    finally:
        for one in visitors:
            one.leaving.set()
        for one in visitors:
            one.leave()


def run_there(data_dir: Path, variables: Mapping[str, str], code: str) -> Any:
    """What `code` prints as JSON, in the database there."""
    given = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", code]
    env = {**given, **variables, "DATA_DIR": str(data_dir)}
    return json.loads(subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout)


def _pid(up: Up, name: str) -> list[int]:
    child = up.children().get(name)
    return [child.pid] if child else []


def _descendants(pid: int) -> list[int]:
    with suppress(psutil.NoSuchProcess):
        return [each.pid for each in psutil.Process(pid).children(recursive=True)]
    return []


def _holds(condition: Callable[[], bool]) -> bool:
    with suppress(OSError, psycopg.Error):
        return condition()
    return False


def _rounded(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{part} {value:.1f}" for part, value in seconds.items())
