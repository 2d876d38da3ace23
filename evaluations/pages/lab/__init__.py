"""The lab as its operators see it: alerts, machines, stages, what ended, and what holds it up. From `figures.status`.

Each figure is written with its exact value, so that a program can compare it with those of the command and of /metrics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from evaluations.models import COACH, EVALUATION, MIND_MAP, REEXTRACTION, RERATING, SUMMARY
from evaluations.pages.lab.phases import PHASES, STEPS
from queueing import pipelines
from queueing.forecast.published import Estimate
from queueing.policy.alerts import Severity
from queueing.report import estimates
from queueing.report.durations import spoken
from queueing.report.lately import Window
from queueing.report.lesson import Lesson
from queueing.states import PhaseName, PhaseStep, State

Found = Mapping[str, Any]

PIPELINES: Final = {
    EVALUATION: gettext_lazy("Videos"),
    REEXTRACTION: gettext_lazy("Forms, again"),
    RERATING: gettext_lazy("Ratings, again"),
    COACH: gettext_lazy("Questions to the coach"),
    SUMMARY: gettext_lazy("Summaries"),
    MIND_MAP: gettext_lazy("Mind maps"),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure in words, and its exact value for programs; `key` names it on this page."""

    key: str
    value: float | None
    words: str

    def __html__(self) -> str:
        shown = "" if self.value is None else str(self.value)
        return format_html('<data value="{}" data-figure="{}">{}</data>', shown, self.key, self.words)

    __str__ = __html__  # what a template asks for


@dataclass(frozen=True, slots=True)
class LabTile:
    title: str
    figure: Figure
    is_bad: bool = False


@dataclass(frozen=True, slots=True)
class LabAlert:
    row: Found

    @property
    def is_critical(self) -> bool:
        return bool(self.row["severity"] == Severity.CRITICAL)

    @property
    def since(self) -> datetime:
        return datetime.fromisoformat(self.row["since"])


@dataclass(frozen=True, slots=True)
class StageLine:
    label: str
    waiting: Figure
    running: Figure
    passed: Figure
    failed: Figure
    cancelled: Figure
    oldest: Figure


@dataclass(frozen=True, slots=True)
class EndedCell:
    """What ended within a window."""

    window: str
    done: Figure
    failed: Figure
    error_share: Figure


@dataclass(frozen=True, slots=True)
class PipelineLine:
    label: str
    cells: tuple[EndedCell, ...]  # one per window
    p50: Figure
    p90: Figure


@dataclass(frozen=True, slots=True)
class LabMachine:
    node: str
    doing: str
    reason: str
    wish: str
    plan: str
    models: tuple[str, ...]
    gpu: Figure
    heat: Figure
    disk: Figure
    workers: tuple[str, ...]
    is_stuck: bool
    is_lost: bool  # no worker of it is alive


@dataclass(frozen=True, slots=True)
class TargetLine:
    name: str
    wanted: str
    was: str
    reached: bool | None


@dataclass(frozen=True, slots=True)
class LessonSummary:
    words: str
    targets: tuple[TargetLine, ...]


@dataclass(frozen=True, slots=True)
class LabView:
    alerts: tuple[LabAlert, ...]
    tiles: tuple[LabTile, ...]
    machines: tuple[LabMachine, ...]
    pauses: tuple[str, ...]
    servers: tuple[str, ...]
    stages: tuple[StageLine, ...]
    pipelines: tuple[PipelineLine, ...]
    windows: tuple[str, ...]
    estimates_held: Figure
    lesson: LessonSummary | None
    first_worker: str = "manage.py run_phase_worker"  # how to start one


def of(found: Found, lesson: Lesson | None) -> LabView:
    """The view of what `figures.status` has found, and of the last lesson."""
    held = found["recent"]["estimates_held"]
    return LabView(
        alerts=tuple(LabAlert(row) for row in found["alerts"]),
        tiles=tuple(_tiles(found)),
        machines=tuple(_machines(found)),
        pauses=tuple(map(_pause, found["pauses"])),
        servers=tuple(map(_server, found["servers"])),
        stages=tuple(_stages(found)),
        pipelines=tuple(_pipelines(found["recent"])),
        windows=tuple(map(_window_words, Window)),
        estimates_held=_share("estimates held", held),
        lesson=_lesson(lesson) if lesson else None,
    )


def _lesson(found: Lesson) -> LessonSummary:
    words = {
        "since": date_format(localtime(found.since), _("j M, H:i")),
        "until": f"{localtime(found.until):%H:%M}",
        "number": found.handed_in,
        "done": found.states.get(State.DONE, 0),
        "failed": found.states.get(State.FAILED, 0),
    }
    return LessonSummary(
        _("From %(since)s to %(until)s: %(done)s of %(number)s done, %(failed)s failed.") % words,
        tuple(TargetLine(one.name, one.wanted, one.was, one.reached) for one in found.targets),
    )


def _tiles(found: Found) -> Iterable[LabTile]:
    live = [task["state"] for task in found["tasks"]]
    today = found["recent"]["ended"][Window.TODAY]
    alive = sum(worker["alive"] for worker in found["workers"])
    finish = found["finish"]
    failed = sum(each["failed"] for each in today.values())
    yield LabTile(_("Waiting"), _count("waiting", live.count(State.QUEUED)))
    yield LabTile(_("In work"), _count("running", live.count(State.RUNNING)))
    yield LabTile(_("Done today"), _count("done today", sum(each["done"] for each in today.values())))
    yield LabTile(_("Failed today"), _count("failed today", failed), is_bad=failed > 0)
    yield LabTile(_("Workers alive"), _count("workers alive", alive), is_bad=not alive)
    words = estimates.spoken(Estimate(**finish)) if finish else "–"
    yield LabTile(_("All done in"), Figure("finish", finish and finish["high_seconds"], words))


def _stages(found: Found) -> Iterable[StageLine]:
    """Those of the class's videos, and all others in which something is or was."""
    videos = {spec.name for spec in pipelines.get(EVALUATION).stages}
    for stage in dict.fromkeys([*found["passed"], *found["counts"]]):
        counts = found["counts"].get(stage, {})
        passed = found["passed"].get(stage, 0)
        if stage not in videos and not counts and not passed:
            continue
        oldest = found["oldest_seconds_of_stage"].get(stage)
        of_state = {state: _count(f"tasks {stage} {state}", counts.get(state, 0)) for state in State}
        yield StageLine(
            str(pipelines.spec_of(stage).verbose_name),
            of_state[State.QUEUED],
            of_state[State.RUNNING],
            _count(f"passed {stage}", passed),
            of_state[State.FAILED],
            of_state[State.CANCELLED],
            Figure(f"oldest {stage}", oldest, "–" if oldest is None else spoken(oldest)),
        )


def _pipelines(recent: Found) -> Iterable[PipelineLine]:
    """The class's videos, and all others of which anything ended."""
    known = {EVALUATION, *recent["waits"], *(name for ended in recent["ended"].values() for name in ended)}
    for name in (name for name in pipelines.names() if name in known):
        waits = recent["waits"].get(name, {})
        yield PipelineLine(
            str(PIPELINES.get(name, name)),
            tuple(_cell(name, window, recent["ended"][window].get(name, {})) for window in Window),
            *(_length(f"wait {name} {quantile}", waits.get(quantile)) for quantile in ("p50", "p90")),
        )


def _window_words(window: str) -> str:
    return {Window.FIVE_MINUTES: _("5 minutes"), Window.HOUR: _("1 hour"), Window.TODAY: _("today")}[Window(window)]


def _cell(pipeline: str, window: str, ended: Found) -> EndedCell:
    key = f"{pipeline} {window}"
    return EndedCell(
        _window_words(window),
        _count(f"done {key}", ended.get("done", 0)),
        _count(f"failed {key}", ended.get("failed", 0)),
        _share(f"error {key}", ended.get("error_share")),
    )


def _machines(found: Found) -> Iterable[LabMachine]:
    phases = {row["node"]: row for row in found["phases"]}
    for node in sorted(phases.keys() | found["nodes"].keys() | {row["node"] for row in found["workers"]}):
        seen, workers = found["nodes"].get(node, {}), [row for row in found["workers"] if row["node"] == node]
        phase = phases.get(node)
        celsius = seen.get("gpu_celsius")
        yield LabMachine(
            node,
            doing=_doing(phase) if phase else _("never worked"),
            reason=phase["reason"] if phase else "",
            wish=_wish(phase) if phase and phase["wanted"] else "",
            plan=phase["plan"] if phase else "",
            models=tuple(seen.get("models", ())),
            gpu=_share(f"gpu {node}", seen.get("gpu_used")),
            heat=Figure(f"heat {node}", celsius, "–" if celsius is None else f"{celsius:.0f}\N{NO-BREAK SPACE}°C"),
            disk=_share(f"disk {node}", seen.get("disk_free")),
            workers=tuple(map(_worker, workers)),
            is_stuck=bool(phase and phase["step"] == PhaseStep.BLOCKED),
            is_lost=not any(row["alive"] for row in workers),
        )


def _doing(phase: Found) -> str:
    words = {"step": STEPS[PhaseStep(phase["step"])], "time": spoken(phase["since_seconds"])}
    if not phase["phase"]:
        return _("%(step)s for %(time)s") % words
    return _("%(phase)s: %(step)s for %(time)s") % (words | {"phase": PHASES[PhaseName(phase["phase"])]})


def _wish(phase: Found) -> str:
    until = f"{localtime(datetime.fromisoformat(phase['wanted_until'])):%H:%M}"
    words = {"phase": PHASES[PhaseName(phase["wanted"])], "time": until}
    return _("asked for %(phase)s while it has work, until %(time)s at most") % words


def _worker(row: Found) -> str:
    words = {"pid": row["pid"], "time": spoken(row["silent_seconds"])}
    if not row["alive"]:
        return _("process %(pid)s: LOST, heard of %(time)s ago") % words
    tasks = ", ".join(map(str, row["tasks"]))
    return (_("process %(pid)s: works on %(tasks)s") if tasks else _("process %(pid)s: alive")) % (
        words | {"tasks": tasks}
    )


def what_words(what: str) -> str:
    """What a pause is of."""
    return {
        "everything": pgettext("what is paused", "everything"),
        "stt": str(PHASES[PhaseName.STT]),
        "eval": str(PHASES[PhaseName.EVAL]),
    }[what]


def _pause(row: Found) -> str:
    words = {
        "what": what_words(row["what"]),
        "node": row["node"] or _("all machines"),
        "until": f"{localtime(datetime.fromisoformat(row['until'])):%H:%M}" if row["until"] else "",
        "reason": row["reason"].rstrip("."),
        "by": row["by"],
    }
    if row["drain"]:
        text = _("Drained: %(node)s, by %(by)s: %(reason)s.")
    elif row["until"]:
        text = _("Paused: %(what)s on %(node)s until %(until)s, by %(by)s: %(reason)s.")
    else:
        text = _("Paused: %(what)s on %(node)s, by %(by)s: %(reason)s.")
    return text % words


def _server(row: Found) -> str:
    words = {"server": row["server"], "error": row["error"].rstrip("."), "time": spoken(row["again_in_seconds"])}
    if row["given_up"]:
        return _("%(server)s does not answer, and restarting it did not help: it needs a person. %(error)s.") % words
    if row["open"]:
        return _("%(server)s does not answer; asked again in %(time)s. %(error)s.") % words
    return _("%(server)s has failed lately: %(error)s.") % words


def _count(key: str, value: int) -> Figure:
    return Figure(key, value, str(value))


def _share(key: str, value: float | None) -> Figure:
    return Figure(key, value, "–" if value is None else f"{value:.0%}")


def _length(key: str, value: float | None) -> Figure:
    return Figure(key, value, "–" if value is None else spoken(value))
