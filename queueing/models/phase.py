"""The phase of each node's GPU, and the pauses that people (or a full disk) put on it."""

from __future__ import annotations

from functools import partial
from typing import Any, Final, Self

from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from queueing.models.clock import in_seconds, is_ahead, shifted
from queueing.models.connections import wake_workers
from queueing.models.history import Event
from queueing.signals import phase_changed
from queueing.states import PhaseName, PhaseStep

SYSTEM: Final = "system"  # who pauses when it is no person
SYSTEM_SECONDS: Final = 60.0  # how long it pauses at most, until it looks again


class PhaseQuerySet(models.QuerySet["Phase"]):
    def mend_times(self) -> int:
        """After a step of the clock back: a wish lasts no longer than it was to. Returns how many were mended."""
        wishes = self.filter(is_ahead("wanted_at"))
        mended = wishes.update(wanted_until=shifted("wanted_until", "wanted_at"), wanted_at=Now())
        return mended + self.filter(is_ahead("since")).update(since=Now())

    def wished(self) -> Self:
        """Nodes whose phase a person asked for, while that stands."""
        return self.filter(wanted_until__gt=Now())

    def end_wishes(self, *, by: str, reason: str) -> int:
        """End what people asked these nodes for; returns how many wishes still stood."""
        with transaction.atomic():
            standing = list(self.wished().order_by("node").select_for_update())
            self.model.objects.filter(pk__in=[row.pk for row in standing]).update(
                wanted="", wanted_at=None, wanted_until=None
            )
            for row in standing:
                note(row.node, "phase_wish_ended", name=row.wanted, by=by, reason=reason)
        return len(standing)


class Phase(models.Model):
    """What the GPU of one node is for, and where it is in handing over. The row is the intent, never the proof."""

    node = models.CharField(max_length=100, primary_key=True)
    name = models.CharField(max_length=10, choices=PhaseName.choices, blank=True)
    step = models.CharField(max_length=10, choices=PhaseStep.choices, default=PhaseStep.IDLE)
    target = models.CharField(max_length=10, choices=PhaseName.choices, blank=True)
    reason = models.TextField(blank=True)
    since = models.DateTimeField(db_default=Now())
    wanted = models.CharField(
        max_length=10, choices=PhaseName.choices, blank=True, help_text="The phase that a person asked for."
    )
    wanted_at = models.DateTimeField(null=True, blank=True, help_text="When that was asked for.")
    wanted_until = models.DateTimeField(
        null=True, blank=True, help_text="Up to then it is not left by itself, as long as it has work."
    )

    plan = models.TextField(blank=True, help_text="How the models share the memory, and why.")
    empty_bytes = models.BigIntegerField(
        null=True, blank=True, help_text="GPU memory in use when none of our models was loaded: what others hold."
    )

    objects = PhaseQuerySet.as_manager()

    class Meta:
        constraints = (
            models.CheckConstraint(condition=~Q(step="blocked") | ~Q(reason=""), name="blocked_means_reason"),
            models.CheckConstraint(
                condition=Q(wanted="", wanted_until=None) | (~Q(wanted="") & Q(wanted_until__isnull=False)),
                name="wanted_means_until",
            ),
        )

    def __str__(self) -> str:
        doing = [self.get_name_display(), self.get_step_display()]
        return f"{self.node}: {', '.join(filter(None, doing))}"

    def enter(self, step: PhaseStep, *, name: str = "", target: str = "", reason: str = "") -> None:
        """Write the next step of a hand-over. Only the node's own coordinator calls this; it holds the node's lock."""
        changes: dict[str, Any] = {"step": step, "name": name, "target": target, "reason": reason, "since": Now()}
        with transaction.atomic():
            Phase.objects.update_or_create(node=self.node, defaults=changes)
            note(self.node, f"phase_{step}", name=name, target=target, reason=reason)
        self.refresh_from_db()

    def note_plan(self, plan: str) -> None:
        """Record how the models share the memory. Only the node's own coordinator calls this."""
        with transaction.atomic():
            # Created anew if the node slept for so long that others forgot it.
            Phase.objects.update_or_create(node=self.node, defaults={"plan": plan})
            note(self.node, "plan", plan=plan)
        self.refresh_from_db()

    @classmethod
    def request(cls, phase: PhaseName, *, node: str, hold_seconds: float, by: str, reason: str = "") -> bool:
        """A person wants `phase` on `node` now, and kept for at most `hold_seconds` while it has work.

        False when the node is not known. What ends it earlier: `policy.phases.wish_is_over`.
        """
        wish: dict[str, Any] = {"wanted": phase, "wanted_at": Now(), "wanted_until": in_seconds(hold_seconds)}
        with transaction.atomic():
            asked = cls.objects.filter(node=node).update(**wish)
            if asked:
                note(node, "phase_wanted", name=phase, by=by, reason=reason)
        return bool(asked)

    @classmethod
    def accept_gpu_memory(cls, *, node: str, by: str) -> bool:
        """A person accepts what is in the GPU's memory now, beside our models, as others' that may stay."""
        with transaction.atomic():
            accepted = cls.objects.filter(node=node).update(empty_bytes=None)
            if accepted:
                note(node, "gpu_memory_accepted", by=by)
        return bool(accepted)


class PauseQuerySet(models.QuerySet["Pause"]):
    def mend_times(self) -> int:
        """After a step of the clock back: a pause lasts no longer than it was to. Returns how many were mended."""
        on = self.filter(lifted_at=None)
        mended = on.filter(is_ahead("since")).update(until=shifted("until", "since"), since=Now())
        # The system's own are prolonged while their cause lasts, and may have begun long before.
        own = on.filter(is_ahead("until", SYSTEM_SECONDS), by=SYSTEM)
        return mended + own.update(until=in_seconds(SYSTEM_SECONDS))

    def active(self) -> Self:
        return self.filter(lifted_at=None).exclude(until__lte=Now())

    def start(
        self, what: str, *, node: str = "", drain: bool = False, by: str, reason: str, seconds: float | None = None
    ) -> Pause:
        """Pause `what` from now on, for `seconds` or until it is lifted. An active one is updated."""
        until = in_seconds(seconds) if seconds is not None else None
        fields: dict[str, Any] = {"drain": drain, "by": by, "reason": reason, "until": until, "since": Now()}
        with transaction.atomic():
            pause, _ = self.update_or_create(what=what, node=node, lifted_at=None, defaults=fields)
            note(node, "drain" if drain else "pause", what=what, by=by, reason=reason)
        pause.refresh_from_db()
        return pause

    def start_or_extend(self, what: str, *, node: str, reason: str, seconds: float) -> None:
        """The system itself pauses; a person's active pause stays, and is not shortened.

        With the same reason as before it only lasts longer, without an event.
        """
        active = self.active().filter(what=what, node=node)
        if active.filter(by=SYSTEM, reason=reason).update(until=in_seconds(seconds)):
            return
        if not active.exclude(by=SYSTEM).exists():
            self.start(what, node=node, by=SYSTEM, reason=reason, seconds=seconds)

    def end(self, *, by: str, reason: str = "") -> int:
        """End these pauses; returns how many were still on."""
        lifted = 0
        with transaction.atomic():
            for pause in self.filter(lifted_at=None).select_for_update():
                # One whose time ran out has ended by itself; only its row is closed.
                lifted += self.model.objects.active().filter(pk=pause.pk).exists()
                self.model.objects.filter(pk=pause.pk).update(lifted_at=Now(), lifted_by=by)
                note(pause.node, "resume", what=pause.what, by=by, reason=reason)
        return lifted


class Pause(models.Model):
    """A person, or the system itself, lets certain work not begin for now. What runs is finished."""

    class What(models.TextChoices):
        EVERYTHING = "everything", "everything"
        STT = PhaseName.STT.value, PhaseName.STT.label
        EVAL = PhaseName.EVAL.value, PhaseName.EVAL.label
        UPLOADS = "uploads", "new uploads"
        LONG = "long", "long phases"

    WORK: Final = (What.EVERYTHING, What.STT, What.EVAL)
    """What keeps a node from beginning work. The others only say what else is to wait: who has not begun to upload, and
    an evaluation phase that would go on while uploads wait.
    """

    what = models.CharField(max_length=10, choices=What.choices, default=What.EVERYTHING)
    node = models.CharField(max_length=100, blank=True, help_text="Empty: on all nodes.")
    drain = models.BooleanField(default=False, help_text="Also unload the models.")
    reason = models.TextField()
    by = models.CharField(max_length=100)
    since = models.DateTimeField(db_default=Now())
    until = models.DateTimeField(null=True, blank=True, help_text="Empty: until it is lifted.")
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.CharField(max_length=100, blank=True)

    objects = PauseQuerySet.as_manager()

    class Meta:
        ordering = ("-since",)
        constraints = (
            models.UniqueConstraint(fields=("what", "node"), condition=Q(lifted_at=None), name="one_pause_of_a_kind"),
            models.CheckConstraint(condition=Q(until=None) | Q(until__gt=F("since")), name="pause_ends_after_it_began"),
        )

    def __str__(self) -> str:
        where = f" on {self.node}" if self.node else ""
        what = self.What(self.what).label
        return f"{'drain' if self.drain else 'pause'} of {what}{where}: {self.reason} ({self.by})"


def note(node: str, kind: str, **detail: str) -> None:
    """Record an event of a node; `phase_changed` is sent after the commit."""
    Event.objects.create(node=node, kind=kind, detail={key: value for key, value in detail.items() if value})
    transaction.on_commit(partial(phase_changed.send_robust, sender=Phase, node=node))
    if "by" in detail:
        wake_workers()  # a person did it
