from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from json import dumps
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone
from django.utils.timezone import localtime

from queueing import pipelines
from queueing.forecast.published import Estimate
from queueing.management.base import QueueCommand, bar, length, table
from queueing.policy.alerts import Severity
from queueing.report import durations, estimates, figures
from queueing.report.lately import Window
from queueing.states import PhaseName, PhaseStep, State

Found = dict[str, Any]
CLEAR = "\033[H\033[2J"


class Command(QueueCommand):
    help = "Show alerts, what the GPUs do, what is paused, tasks per stage and state, workers, failures, the line."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--positions", action="store_true", help="also list everybody in line")
        parser.add_argument("--watch", type=length, metavar="TIME", help="again and again, every TIME, until Ctrl-C")

    def handle(self, *args: Any, json: bool, positions: bool, watch: float | None, **options: Any) -> None:
        self._show(json, positions)
        try:
            while watch:
                time.sleep(watch)
                if sys.stdout.isatty():
                    self.stdout.write(CLEAR, ending="")
                self._show(json, positions)
        except KeyboardInterrupt:
            pass

    def _show(self, as_json: bool, positions: bool) -> None:
        found = figures.status()
        self.stdout.write(dumps(found, indent=2) if as_json else "\n".join(self._lines(found, positions)))

    def _lines(self, found: Found, positions: bool) -> Iterator[str]:
        for row in found["alerts"]:
            style = self.style.ERROR if row["severity"] == Severity.CRITICAL else self.style.WARNING
            yield from map(style, _alert(row))
        for phase in found["phases"]:
            line = _phase(phase)
            yield self.style.ERROR(line) if phase["step"] == PhaseStep.BLOCKED else line
            if phase["plan"]:
                yield f"  {phase['plan']}"
        if not found["phases"]:
            yield "no worker has run yet: manage.py run_phase_worker"
        yield from (self.style.WARNING(_pause(row)) for row in found["pauses"])
        yield from (self._server_style(row)(_server(row)) for row in found["servers"])
        head, *rows = _counts(found)
        yield from ("", self.style.MIGRATE_LABEL(head), *rows, "")
        yield from map(_running, (task for task in found["tasks"] if task["state"] == State.RUNNING))
        for worker in found["workers"]:
            yield (self.style.SUCCESS if worker["alive"] else self.style.ERROR)(_worker(worker))
        if found["failures"]:
            counts = ", ".join(f"{code} {count}" for code, count in found["failures"].items())
            yield self.style.ERROR(f"failed: {counts}")
        yield from _recent(found["recent"])
        yield self.style.MIGRATE_LABEL(_summary(found))
        if positions:
            yield from _line(found)

    def _server_style(self, row: Found) -> Callable[[str], str]:
        return self.style.ERROR if row["given_up"] else self.style.WARNING


def _alert(row: Found) -> Iterator[str]:
    known = f", {row['acknowledged_by']} knows" if row["acknowledged_by"] else ""
    yield f"ALERT, {row['severity']}, since {_clock(row['since'])}{known}: {row['text']}"
    yield f"  {row['cure']}"


def _phase(row: Found) -> str:
    name = f"{PhaseName(row['phase']).label}, " if row["phase"] else ""
    text = f"node {row['node']}: {name}{PhaseStep(row['step']).label} for {durations.spoken(row['since_seconds'])}"
    text += f" ({row['reason']})" if row["reason"] else ""
    if not row["wanted"]:
        return text
    wish = f"asked for {PhaseName(row['wanted']).label} while it has work, until {_clock(row['wanted_until'])} at most"
    return f"{text}; {wish}"


def _pause(row: Found) -> str:
    kind = "DRAINED" if row["drain"] else "PAUSED"
    until = _clock(row["until"]) if row["until"] else "it is lifted"
    return f"{kind} {row['what']} on {row['node'] or 'all nodes'}, until {until}: {row['reason']} ({row['by']})"


def _clock(moment: str) -> str:
    return f"{localtime(datetime.fromisoformat(moment)):%H:%M:%S}"


def _server(row: Found) -> str:
    if not row["open"]:
        return f"language model server {row['server']}: {_times(row['failures'], 'failure')}: {row['error']}"
    asked = "being asked or restarted now" if row["asked"] else f"again in {row['again_in_seconds']:.0f} s"
    text = f"language model server {row['server']}: OPEN, {_times(row['failures'], 'failure')}, {asked}: {row['error']}"
    text += f"; restarted {_times(row['restarts'], 'time')}" if row["restarts"] else ""
    return text + (", WITHOUT SUCCESS: it needs a person" if row["given_up"] else "")


def _times(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _counts(found: Found) -> Iterator[str]:
    """A line for each stage: of those that are registered, and of those that some task is left in."""
    stages = dict.fromkeys([spec.name for spec in pipelines.specs()] + list(found["counts"]))
    rows = [
        [
            str(pipelines.spec_of(stage).verbose_name),
            *(str(_number(found, stage, state)) for state in State),
            _wait(found["oldest_seconds_of_stage"].get(stage)),
        ]
        for stage in stages
    ]
    return table("<>>>>>>", ["stage", *(state.label for state in State), "longest wait"], rows)


def _number(found: Found, stage: str, state: State) -> int:
    """Done are all that are through with the stage, also those in a later one."""
    counted = found["counts"].get(stage, {}).get(state, 0)
    return int(found["passed"].get(stage, counted) if state == State.DONE else counted)


def _recent(recent: Found) -> Iterator[str]:
    """A line for each pipeline of which anything has ended today."""
    for pipeline, today in recent["ended"][Window.TODAY].items():
        hour = recent["ended"][Window.HOUR].get(pipeline)
        text = f"{pipeline} today: {_outcomes(today)}"
        text += f"; within an hour: {_outcomes(hour)}" if hour else ""
        if waits := recent["waits"].get(pipeline):
            half, most = (durations.spoken(waits[quantile]) for quantile in ("p50", "p90"))
            text += f"; waits: half {half}, nine of ten {most} at most"
        yield text


def _outcomes(ended: Found) -> str:
    share = "" if ended["error_share"] is None else f" ({ended['error_share']:.0%})"
    return f"{ended['done']} done, {ended['failed']} failed{share}"


def _wait(seconds: float | None) -> str:
    return "-" if seconds is None else durations.spoken(seconds)


def _status(task: Found) -> str:
    return str(pipelines.status_words()[task["status"]].label)


def _running(task: Found) -> str:
    done, total = task["progress_done"], task["progress_total"]
    progress = f"  {bar(done, total)}  {done:.0f} of {total:.0f} s" if total else ""
    return f"task {task['id']}: {_status(task)}{progress}"


def _worker(row: Found) -> str:
    health = "alive" if row["alive"] else "LOST"
    tasks = f", works on {', '.join(map(str, row['tasks']))}" if row["tasks"] else ""
    silent = durations.spoken(row["silent_seconds"])
    return f"worker {row['node']}/{row['pid']}: {health}, last heartbeat {silent} ago{tasks}"


def _summary(found: Found) -> str:
    waiting = sum(task["state"] == State.QUEUED for task in found["tasks"])
    oldest = f", the longest for {durations.spoken(found['oldest_seconds'])}" if waiting else ""
    last = found["finish"]
    end = f"; all of them {_left(last)}, by {_later(last['high_seconds'])} at the latest" if last else ""
    return f"{waiting} waiting{oldest}; {len(found['tasks']) - waiting} running{end}"


def _later(seconds: float) -> str:
    return f"{localtime(timezone.now() + timedelta(seconds=seconds)):%H:%M}"


def _left(estimate: Found | None) -> str:
    return estimates.spoken(Estimate(**estimate)) if estimate else "-"


def _line(found: Found) -> Iterator[str]:
    rows = [
        [str(task["position"] or "now"), str(task["id"]), _status(task), _left(task["estimate"])]
        for task in found["tasks"]
    ]
    return table(">><<", ["place", "task", "status", "still takes"], rows) if rows else iter(())
