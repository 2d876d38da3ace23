"""What somebody is told: raised and resolved by whoever looks (`worker.background.watchdog`, or the site)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Self

from django.contrib.postgres.fields import ArrayField
from django.db import connection, models, transaction
from django.db.models import F, Func, Q, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now

from queueing.models.clock import in_seconds
from queueing.policy.alerts import FiringAlert, Severity

LOCK: Final = 0x616C657274  # of PostgreSQL's advisory locks: one looks at a time
AGAIN_SECONDS: Final = 3600.0  # one that comes back within it is the same: nobody is notified of it twice
MAX_MESSAGES: Final = 10  # within an hour; then what comes up is gathered, and sent every DIGEST_SECONDS
DIGEST_SECONDS: Final = 900.0
MAX_TRIES: Final = 30  # to send one, the pauses between them growing to an hour: about a day
FIRST_PAUSE_SECONDS: Final = 15.0
_RANK: Final = {"": 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


class AlertQuerySet(models.QuerySet["Alert"]):
    def active(self) -> Self:
        return self.filter(resolved_at=None)

    def acknowledge(self, *, by: str) -> int:
        """A person knows of them: they stay until their cause ends. Returns how many nobody had acknowledged."""
        return self.active().filter(acknowledged_at=None).update(acknowledged_at=Now(), acknowledged_by=by)


_Manager = models.Manager.from_queryset(AlertQuerySet)


class AlertManager(_Manager["Alert"]):
    @contextmanager
    def looking(self) -> Iterator[bool]:
        """A transaction in which nobody else raises or resolves; False: somebody else is at it, leave it to them."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
            (mine,) = cursor.fetchone()
            yield bool(mine)

    def apply(self, firing: Iterable[FiringAlert], *, among: models.QuerySet[Alert]) -> None:
        """Raise or update what fires, and resolve those active `among` that no longer do. Within `looking` only."""
        wanted = {(one.kind, one.subject): one for one in firing}
        active = {(row.kind, row.subject): row for row in self.active()}
        for key, one in wanted.items():
            row = active.get(key) or self._ended_lately(*key) or self.model(kind=one.kind, subject=one.subject)
            row.update(one)
        over = [row.pk for row in among.filter(resolved_at=None) if (row.kind, row.subject) not in wanted]
        self.filter(pk__in=over).update(resolved_at=Now())

    def take_new(self, channels: Collection[str]) -> list[Alert]:
        """Those whose severity nobody was notified of yet; it is to be, by all `channels`. Within `looking` only."""
        found = [row for row in self.active().order_by("since") if _RANK[row.severity] > _RANK[row.notified]]
        if not found or self._is_digest_time():
            return []
        fields = {"notified": F("severity"), "unsent": [*channels], "tries": 0, "next_try": Now(), "told_at": Now()}
        self.filter(pk__in=[row.pk for row in found]).update(**fields)
        return found

    def take_due(self) -> list[Alert]:
        """Those that are to be sent now. Until `note_sent`, they are tried again after a pause. Within `looking` only.

        So one whose sender dies, hangs or fails is sent all the same, at worst twice.
        """
        due = list(self.active().exclude(unsent=[]).filter(next_try__lte=Now(), tries__lt=MAX_TRIES).order_by("since"))
        for row in due:
            pause = min(FIRST_PAUSE_SECONDS * 2**row.tries, AGAIN_SECONDS)
            self.filter(pk=row.pk).update(tries=row.tries + 1, next_try=in_seconds(pause))
        return due

    def note_sent(self, told: Mapping[int, str], channel: str) -> None:
        """By id, what `notified` was when they were taken: one that has turned worse meanwhile is still to be sent."""
        left = Func(F("unsent"), Value(channel), function="array_remove")
        for severity in set(told.values()):
            alerts = [pk for pk, each in told.items() if each == severity]
            self.filter(pk__in=alerts, notified=severity).update(unsent=left)

    def _is_digest_time(self) -> bool:
        """Whether so many messages went out lately that what is new waits for the next one."""
        lately = self.filter(told_at__gte=in_seconds(-AGAIN_SECONDS)).order_by().values("told_at").distinct()
        return lately.count() >= MAX_MESSAGES and lately.filter(told_at__gte=in_seconds(-DIGEST_SECONDS)).exists()

    def _ended_lately(self, kind: str, subject: str) -> Alert | None:
        lately = self.filter(kind=kind, subject=subject, resolved_at__gte=in_seconds(-AGAIN_SECONDS))
        return lately.order_by("-resolved_at").first()


class Alert(models.Model):
    """One kind of trouble with one subject, from when it was seen until it ended. Rows are history afterwards."""

    kind = models.CharField(max_length=30)
    subject = models.CharField(max_length=300, blank=True, help_text="A stage, server or node; empty: the whole lab.")
    severity = models.CharField(max_length=10, choices=[(each.value, each.value) for each in Severity])
    text = models.TextField()
    cure = models.TextField(blank=True)
    value = models.FloatField(null=True, blank=True)
    since = models.DateTimeField(db_default=Now())
    last_seen = models.DateTimeField(db_default=Now())
    resolved_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=150, blank=True)
    notified = models.CharField(max_length=10, blank=True, help_text="The severity that was told; empty: not yet.")
    told_at = models.DateTimeField(null=True, blank=True, help_text="Those with the same time are one message.")
    unsent = ArrayField(
        models.CharField(max_length=40),
        default=list,
        db_default=RawSQL("'{}'::varchar[]", ()),
        blank=True,
        help_text="The channels by which it is still to be sent.",
    )
    tries = models.PositiveSmallIntegerField(default=0, db_default=0)
    next_try = models.DateTimeField(null=True, blank=True)

    objects = AlertManager()

    class Meta:
        ordering = ("-since", "-pk")
        constraints = (
            models.UniqueConstraint(
                fields=("kind", "subject"), condition=Q(resolved_at=None), name="one_active_alert_of_a_kind"
            ),
        )

    def __str__(self) -> str:
        return f"{self.severity}: {self.text}"

    def update(self, seen: FiringAlert) -> None:
        """Set what is seen now. A person who acknowledged a warning has not acknowledged that it became critical."""
        if _RANK[seen.severity] > _RANK[self.severity]:
            self.acknowledged_at, self.acknowledged_by = None, ""
        self.severity, self.text, self.cure, self.value = seen.severity.value, seen.text, seen.cure, seen.value
        self.last_seen, self.resolved_at = Now(), None
        self.save()
