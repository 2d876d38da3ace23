"""Whether a model server may be called, as all nodes see it."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce, Greatest, Now

from queueing.exceptions import StageError
from queueing.models.clock import in_seconds, is_ahead
from queueing.models.phase import note
from queueing.models.worker import Worker
from queueing.policy import breaker
from queueing.policy.breaker import BreakerConfig, BreakerState, Sign


class BreakerQuerySet(models.QuerySet["Breaker"]):
    """Every verb is an update guarded by what the writer saw; it returns whether this writer was the one."""

    def open(self) -> Self:
        return self.filter(openings__gt=0)

    def down(self) -> Self:
        """Open, or found silent by a worker that is still there to find it otherwise."""
        watching = Worker.objects.alive().values("node")
        return self.filter(Q(openings__gt=0) | Q(silent_since__isnull=False, silent_to__in=watching))

    def note_silence(self, node: str, silent: Mapping[str, str], *, unheard: Collection[str] = ()) -> None:
        """What `node` finds silent, and why, whether or not it has work for it; what living others find is theirs.

        A server that answers again is believed as far as it was only that: who waits for it may call it.

        Args:
            unheard: those that `node` asks and has heard nothing of yet; what it found before it began anew stays.
        """
        watched = Q(silent_to=node) | Q(silent_to__in=Worker.objects.alive().values("node"))
        for server, error in silent.items():
            self.get_or_create(server=server)
            fields = {"silent_since": Now(), "silent_to": node, "silence": error}
            self.filter(server=server).exclude(watched, silent_since__isnull=False).update(**fields)
        over = self.filter(silent_to=node).exclude(server__in={*silent, *unheard})
        if found := list(over.values_list("server", "error_code")):
            over.update(silent_since=None, silent_to="", silence="")
            back = [server for server, code in found if code == "engine_unavailable"]
            self.filter(server__in=back).close(node=node)

    def of_node(self, node: str) -> Self:
        """The servers that only this node can reach."""
        return self.filter(server__endswith=local_address("", node))

    def now(self) -> Self:
        """With the database's clock, which `breaker_state` needs."""
        return self.annotate(now=Now())

    def fail(self, server: str, error: StageError, *, node: str, config: BreakerConfig) -> bool:
        """A call failed while tasks were let through. True: that opened it."""
        self.get_or_create(server=server)
        closed = self.filter(server=server, openings=0)
        weight = config.opens_after if breaker.sign_of(error) is Sign.PROOF else 1
        closed.update(failures=F("failures") + weight, **_error_fields(error))
        pause = in_seconds(breaker.pause_seconds(1, 0, config))
        # Guarded: several calls fail at once, on several nodes, and an answer may have come in between.
        opened = closed.filter(failures__gte=config.opens_after).update(openings=1, opened_at=Now(), open_until=pause)
        if opened:
            note(node, "breaker_open", server=server, error=str(error))
        return bool(opened)

    def reserve(self, server: str, *, worker: uuid.UUID, seconds: float) -> bool:
        """Its pause is over: the one worker that moves the row may probe it. The others wait again.

        For `seconds`, to be renewed by `extend`: a worker that dies while it probes must not keep it shut.
        """
        over = self.filter(server=server, openings__gt=0, open_until__lte=Now())
        return bool(over.update(asked_by=worker, open_until=in_seconds(seconds)))

    def extend(self, server: str, *, worker: uuid.UUID, seconds: float) -> bool:
        """It is still being probed, or restarted."""
        return bool(self.filter(server=server, asked_by=worker).update(open_until=in_seconds(seconds)))

    def stay_open(self, server: str, error: StageError, *, worker: uuid.UUID, config: BreakerConfig) -> bool:
        """It did not answer `worker`'s probe: open again, for longer."""
        row = self.filter(server=server, asked_by=worker).first()
        if row is None:
            return False
        openings = row.openings + 1
        pause = in_seconds(breaker.pause_seconds(openings, row.restarts, config))
        mine = self.filter(server=server, asked_by=worker, openings=row.openings)
        changes = {"openings": openings, "failures": F("failures") + 1, "asked_by": None, "open_until": pause}
        return bool(mine.update(**changes, **_error_fields(error)))

    def release(self, server: str, *, worker: uuid.UUID) -> bool:
        """`worker` did not probe it, or its restart has ended: the next one may probe at once."""
        return bool(self.filter(server=server, asked_by=worker).update(asked_by=None, open_until=Now()))

    def restart(self, seen: Breaker, *, node: str, worker: uuid.UUID, action: str, seconds: float) -> bool:
        """Count a restart before it is begun, so that two nodes don't do it twice and a crash forgets none.

        Guarded by the restarts that were `seen`; the server is not probed for `seconds`, see `extend`.
        """
        guard = {"restarts": seen.restarts, "restarted_at": seen.restarted_at, "openings": seen.openings}
        kept = seen.restarted_at[-9:]  # more than a budget's worth
        began = self.filter(server=seen.server, **guard).update(
            restarts=seen.restarts + 1,
            restarted_at=[*kept, seen.now],
            failures=Greatest(F("failures"), 1),
            openings=Greatest(F("openings"), 1),
            opened_at=Coalesce(F("opened_at"), Now()),
            asked_by=worker,
            open_until=in_seconds(seconds),
        )
        if began:
            note(node, "server_restart", server=seen.server, action=action)
        return bool(began)

    def mend_times(self, lease_seconds: float, config: BreakerConfig) -> int:
        """After a step of the clock back: it is asked again, and restarted, no later than it was to be.

        Returns how many were mended.
        """
        longest = max(breaker.longest_pause_seconds(config), lease_seconds)
        paused = self.filter(is_ahead("open_until", longest)).update(open_until=in_seconds(longest))
        opened = self.filter(is_ahead("opened_at")).update(opened_at=Now())
        late = RawSQL("EXISTS (SELECT FROM unnest(restarted_at) AS r (at) WHERE at > statement_timestamp())", ())
        mended = RawSQL("ARRAY(SELECT least(at, statement_timestamp()) FROM unnest(restarted_at) AS r (at))", ())
        restarts = self.annotate(late=late).filter(late=True)
        return paused + opened + self.filter(pk__in=restarts.values("pk")).update(restarted_at=mended)

    def close(self, *, node: str = "", by: str = "", reason: str = "") -> int:
        """The servers answered, or a person closes them. The restarts of the last minutes still count."""
        closed = 0
        for server, openings in self.exclude(**_AT_REST).values_list("server", "openings"):
            moved = self.model.objects.filter(server=server).exclude(**_AT_REST)
            changes = {"opened_at": None, "open_until": None, "asked_by": None, "closed_at": Now(), "closed_by": by}
            if moved.update(**_AT_REST, **changes):
                closed += 1
                if openings:
                    note(node, "breaker_close", server=server, by=by, reason=reason)
        return closed


def local_address(address: str, node: str) -> str:
    """What a server is called whose address means another one on each node."""
    return f"{address} on {node}"


_AT_REST: dict[str, Any] = {"failures": 0, "openings": 0, "restarts": 0}


def _error_fields(error: StageError) -> dict[str, Any]:
    return {"error": str(error).replace("\0", ""), "error_code": error.code}


class Breaker(models.Model):
    """The circuit breaker between the tasks and one model server. No row, or all counts at 0: closed."""

    server = models.CharField(max_length=300, primary_key=True, help_text="Its address; with the node's name if local.")
    failures = models.PositiveIntegerField(default=0, help_text="In a row.")
    openings = models.PositiveIntegerField(default=0, help_text="Since it last answered; 0: closed.")
    opened_at = models.DateTimeField(null=True, blank=True)
    open_until = models.DateTimeField(null=True, blank=True, help_text="Then it is asked again.")
    asked_by = models.UUIDField(null=True, blank=True, help_text="The worker that asks or restarts it right now.")
    silent_since = models.DateTimeField(null=True, blank=True, help_text="It answers nothing at all, whoever asks.")
    silent_to = models.CharField(max_length=100, blank=True, default="", db_default="", help_text="The node that asks.")
    silence = models.TextField(blank=True, default="", db_default="")
    error = models.TextField(blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    restarts = models.PositiveSmallIntegerField(default=0, help_text="Since it last answered.")
    restarted_at = ArrayField(models.DateTimeField(), default=list, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.CharField(max_length=100, blank=True, help_text="Empty: it answered.")

    objects = BreakerQuerySet.as_manager()

    if TYPE_CHECKING:
        now: datetime  # by `BreakerQuerySet.now`

    class Meta:
        ordering = ("server",)
        constraints = (
            models.CheckConstraint(
                condition=Q(openings=0, opened_at=None, open_until=None, asked_by=None)
                | Q(openings__gt=0, failures__gt=0, opened_at__isnull=False, open_until__isnull=False),
                name="open_means_until",
            ),
        )

    def __str__(self) -> str:
        return f"{self.server}: {'open' if self.openings else 'closed'}"

    @property
    def given_up(self) -> bool:
        """All restarts have failed."""
        return breaker.given_up(self.restarts, BreakerConfig())

    @property
    def breaker_state(self) -> BreakerState:
        """Of a row that was read by `now`."""
        return BreakerState(
            openings=self.openings,
            pausing=self.open_until is not None and self.open_until > self.now,
            asked=self.asked_by is not None,
            error_code=self.error_code,
            restarts=self.restarts,
            restart_ages=tuple((self.now - at).total_seconds() for at in self.restarted_at),
        )
