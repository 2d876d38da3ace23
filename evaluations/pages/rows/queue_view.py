"""The line and the machines as they are right now, and all sentences on what they do and why somebody waits.

Every such sentence comes from `activity`, on the lab as a whole, or `situation`, on one submission. Both ask the same
questions of the same reading, so that no two of them contradict each other: a machine works only if a task runs on it,
it waits for work only if nobody is in the line, and it goes on only if nothing keeps it from that.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy

from evaluations.models import COACH, MIND_MAP, SUMMARY
from queueing import pipelines
from queueing.models import Breaker, Forecast, Pause, Phase, Task
from queueing.models.phase import SYSTEM
from queueing.policy.places import NO_BATCH, Line, LineEntry
from queueing.report.durations import spoken
from queueing.states import PhaseName, PhaseStep, State

_DOING: Final = {
    PhaseName.STT: pgettext_lazy("what a machine does", "transcribing"),
    PhaseName.EVAL: pgettext_lazy("what a machine does", "filling in forms and rating"),
}
# Of pipelines beside the evaluation: what a machine does that works on nothing else.
_DOING_BESIDE: Final = {
    COACH: pgettext_lazy("what a machine does", "answering questions"),
    **dict.fromkeys((SUMMARY, MIND_MAP), pgettext_lazy("what a machine does", "summing up videos")),
}
_PAUSED: Final = {
    Pause.What.EVERYTHING: gettext_lazy("All work"),
    Pause.What.STT: gettext_lazy("Transcription"),
    Pause.What.EVAL: gettext_lazy("Rating"),
}


@dataclass(frozen=True, slots=True)
class QueueView:
    """The line as it is right now."""

    line: Line  # of the submissions
    whole: Line  # of all pipelines
    phases: tuple[Phase, ...]
    workers: Mapping[uuid.UUID, str]  # alive, by their heartbeats, and the node of each
    silences: Mapping[uuid.UUID, float]  # of those that neither are nor stopped: seconds since then
    pauses: tuple[Pause, ...]
    forecast: Forecast
    silent_servers: tuple[Breaker, ...]  # of language models, with an open breaker

    @property
    def nodes(self) -> frozenset[str]:
        """Those with a living worker."""
        return frozenset(self.workers.values())

    @property
    def machines(self) -> list[Phase]:
        """Those with a living worker: the phase of another one is what it did last, not what it does."""
        return [phase for phase in self.phases if phase.node in self.nodes]

    @property
    def can_estimate(self) -> bool:
        """Whether nothing stops the work, so that its duration can be estimated. Else pages show what stops it."""
        stuck = any(machine.step == PhaseStep.BLOCKED for machine in self.machines)
        return bool(self.workers) and not (self.pauses or self.silent_servers or stuck)

    def works_on(self, machine: Phase) -> frozenset[PhaseName]:
        """Of which phases tasks run there."""
        return frozenset(map(_phase_of, self._running_on(machine)))

    def _running_on(self, machine: Phase) -> list[LineEntry]:
        running = [(entry.worker, entry) for entry in self.whole.entries if entry.runs and entry.worker]
        return [entry for worker, entry in running if self.workers.get(worker) == machine.node]

    def pause_of(self, phase: PhaseName) -> Pause | None:
        """The pause, if any, that keeps every node from starting work of `phase`."""
        here = {pause.node: pause for pause in self.pauses if pause.what in (phase, Pause.What.EVERYTHING)}
        everywhere = here.get("")
        return everywhere or (next(iter(here.values())) if here and self.nodes <= here.keys() else None)

    def may_start(self, node: str, phase: PhaseName) -> bool:
        """Whether neither a pause nor a silent server keeps the node from starting work of `phase`."""
        kinds, places = (phase, Pause.What.EVERYTHING), ("", node)
        paused = any(pause.what in kinds and pause.node in places for pause in self.pauses)
        return not paused and not (phase == PhaseName.EVAL and self.silent_servers)

    def goes_on(self, machine: Phase) -> bool:
        """Whether somebody waits for what the machine may start."""
        return any(self.may_start(machine.node, _phase_of(entry)) for entry in self.whole.entries if not entry.runs)

    # What pages say of the lab

    @property
    def activity(self) -> str:
        """What the machines are doing, in sentences."""
        if not self.workers:
            return " ".join([self.absence, _("Videos are safe and wait.")])
        servers = [_silent_words(self.silent_servers)] if self.silent_servers else []
        return " ".join([*_pauses_words(self.pauses), *servers, *self._machine_words()])

    @property
    def absence(self) -> str:
        """That no worker is alive, in one sentence."""
        if not self.silences:
            return _("The computer that does the work is not running at the moment.")
        return _silence_words(min(self.silences.values()))

    @property
    def counts(self) -> str:
        """How many are in line, in one sentence."""
        if not self.line.entries:
            return _("Nobody is waiting.")
        figures = {"running": self.line.running(), "waiting": self.line.waiting()}
        if self.workers:
            return _("%(running)s being worked on, %(waiting)s waiting.") % figures
        return _("%(running)s started, %(waiting)s waiting.") % figures

    def _machine_words(self) -> list[str]:
        """What each machine does; only if none does anything, what comes next."""
        at_work = list(dict.fromkeys(filter(None, map(self._work_words, self.machines))))
        if at_work:
            return at_work
        if any(map(self.goes_on, self.machines)):
            return [_("The lab’s computer goes on in a moment.")]
        return [] if self.whole.entries or self.pauses or self.silent_servers else [str(_IDLE)]

    def _work_words(self, machine: Phase) -> str:
        """Empty while it does nothing."""
        step, running = PhaseStep(machine.step), self.works_on(machine)
        if step == PhaseStep.BLOCKED:
            return str(_STUCK)
        if step == PhaseStep.ACTIVE and machine.name in running:
            phase = PhaseName(machine.name)
            if self.may_start(machine.node, phase):
                pipelines_of_it = [one.pipeline for one in self._running_on(machine) if _phase_of(one) == phase]
                beside = [_DOING_BESIDE.get(pipeline) for pipeline in pipelines_of_it]
                return _("The lab’s computer is %(now)s.") % {"now": beside[0] if all(beside) else _DOING[phase]}
            return _("The lab’s computer is finishing what it has begun.")
        coming = _coming(machine)
        if coming is None or not self.may_start(machine.node, coming):
            if step == PhaseStep.DRAINING:
                return _("The lab’s computer is finishing what it has begun.")
            return _("The lab’s computer is clearing its memory.") if step in _LEAVING else ""
        return _CHANGING[step] % {"coming": _DOING[coming]}

    # What pages say of one submission

    def situation(self, task: Task) -> str:
        """What happens to a live task, or why it waits, in one sentence and that it is safe."""
        if task.state == State.RUNNING:
            if task.worker_id in self.workers:
                return _("Being worked on: %(doing)s.") % {"doing": task.status.label}
            silence = _silence_words(self.silences.get(task.worker_id) if task.worker_id else None)
            safe = _("Your video is safe: work on it goes on when it is back, or another one takes over.")
            return f"{silence} {safe}"
        if not self.workers:
            return " ".join([self.absence, _("Your video is safe: work on it goes on by itself.")])
        needed = pipelines.spec_of(task.stage).phase
        if pause := self.pause_of(needed):
            return " ".join(_pauses_words([pause]))
        if self.silent_servers and needed == PhaseName.EVAL:
            return _silent_words(self.silent_servers)
        if self.machines and all(machine.step == PhaseStep.BLOCKED for machine in self.machines):
            return str(_STUCK)
        if task.error_code and task.failures:
            return _("It did not work at first and is tried again by itself.")
        if task.error_code:
            return _("The work on it was interrupted and goes on by itself; your video is not the reason.")
        return self._wait_words(task, needed)

    def _wait_words(self, task: Task, needed: PhaseName) -> str:
        machines = [machine for machine in self.machines if self.may_start(machine.node, needed)]
        words = {"coming": _DOING[needed]}
        if any(machine.name == needed and needed in self.works_on(machine) for machine in machines):
            first = min(self._waiting_for(needed), key=_claim_order, default=None)
            return _("It is next.") if first and first.task == task.pk else _("Others come before it.")
        if any(_coming(machine) == needed for machine in machines):
            return _("The lab’s computer is getting ready for %(coming)s.") % words
        if any(self.works_on(machine) or _coming(machine) for machine in machines):
            return _("The lab’s computer does one kind of work at a time; %(coming)s comes next.") % words
        return _("It goes on in a moment.")

    def _waiting_for(self, phase: PhaseName) -> Iterator[LineEntry]:
        return (entry for entry in self.line.entries if not entry.runs and _phase_of(entry) == phase)

    def put_ahead(self, task: int) -> str:
        """Why a place is not what it may have been before: itself began again, or others come first. Else empty."""
        own = any(entry.again for entry in self.line.entries if entry.task == task)
        others = self.line.put_ahead(task)
        phrases = [
            ngettext("%(count)s whose work began again", "%(count)s whose work began again", others.again)
            % {"count": others.again},
            ngettext(
                "%(count)s from somebody with fewer videos in the line",
                "%(count)s from others with fewer videos in the line",
                others.newcomers,
            )
            % {"count": others.newcomers},
            ngettext(
                "%(count)s of the group that is being worked on",
                "%(count)s of the group that is being worked on",
                others.grouped,
            )
            % {"count": others.grouped},
        ]
        counts = (others.again, others.newcomers, others.grouped)
        who = ", ".join(phrase for phrase, count in zip(phrases, counts, strict=True) if count)
        said = [_("The work on this video began again.")] if own else []
        if who:
            said.append(_("Put ahead: %(who)s.") % {"who": who})
        said += [_("A teacher put somebody ahead of you: %(reason)s") % {"reason": why} for why in others.reasons]
        if others.put_last:
            said.append(_("A teacher lets others go first: %(reason)s") % {"reason": others.put_last})
        return " ".join(said)


_IDLE: Final = gettext_lazy("The lab’s computer is waiting for work.")
_STUCK: Final = gettext_lazy("The lab’s computer is stuck at the moment; it tries again by itself.")
_LEAVING: Final = (PhaseStep.UNLOADING, PhaseStep.VERIFYING)
_CHANGING: Final = {
    PhaseStep.LOADING: gettext_lazy("The lab’s computer is getting ready for %(coming)s."),
    PhaseStep.DRAINING: gettext_lazy(
        "The lab’s computer is finishing what it has begun, before it goes on with %(coming)s."
    ),
    **dict.fromkeys(_LEAVING, gettext_lazy("The lab’s computer is changing over to %(coming)s.")),
}


def _phase_of(entry: LineEntry) -> PhaseName:
    return pipelines.spec_of(entry.stage).phase


def _coming(machine: Phase) -> PhaseName | None:
    """The phase that a machine changes over to; None: it does not, or to none."""
    if machine.step == PhaseStep.LOADING:
        return PhaseName(machine.target or machine.name)
    return PhaseName(machine.target) if machine.step in (PhaseStep.DRAINING, *_LEAVING) and machine.target else None


def _claim_order(entry: LineEntry) -> tuple[int, int, int, int]:
    """As `TaskQuerySet.in_turn`."""
    names = [spec.name for spec in pipelines.specs()]
    return (NO_BATCH if entry.batch is None else entry.batch, names.index(entry.stage), entry.turn, entry.task)


def _silence_words(seconds: float | None) -> str:
    """How long the worker has sent no heartbeat, rounded so that the text seldom changes; None: not known."""
    if seconds is None:
        return _("The computer that does the work has not been heard of for a while.")
    if seconds >= 7200:
        return _("The computer that does the work has not been heard of for hours.")
    long = _("%(count)s s") % {"count": int(seconds // 10) * 10} if seconds < 120 else spoken(seconds // 60 * 60)
    return _("The computer that does the work has not been heard of for %(long)s.") % {"long": long}


def _pauses_words(pauses: Sequence[Pause]) -> list[str]:
    """Sentences on what is paused, and that nobody loses their place by it."""
    return [*map(_pause_words, pauses), *([_("Videos are safe and keep their place.")] if pauses else [])]


def _pause_words(pause: Pause) -> str:
    """What is paused, why and until when; the technical reasons of automatic pauses are for the admin."""
    facts = {"what": _PAUSED[Pause.What(pause.what)], "node": pause.node, "reason": pause.reason.rstrip(".")}
    if pause.by == SYSTEM:
        words = _("%(what)s rests for a moment, because the machine has a problem of its own; it goes on by itself.")
        return words % facts
    if pause.until is None:
        words = _("%(what)s on %(node)s is paused: %(reason)s.") if pause.node else _("%(what)s is paused: %(reason)s.")
        return words % facts
    words = _("%(what)s is paused until %(time)s: %(reason)s.")
    if pause.node:
        words = _("%(what)s on %(node)s is paused until %(time)s: %(reason)s.")
    return words % (facts | {"time": f"{localtime(pause.until):%H:%M}"})


def _silent_words(servers: Sequence[Breaker]) -> str:
    """That a language model's server is down; its address and error are for the admin."""
    if any(server.given_up for server in servers):
        return _(
            "The language model does not answer, and restarting it did not help: please tell whoever looks after the"
            " machine. Videos are safe; work goes on by itself when it is back."
        )
    return _("The language model does not answer at the moment; work goes on by itself when it is back.")
