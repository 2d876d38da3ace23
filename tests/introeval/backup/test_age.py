"""When an operator is told that the last backup is too old."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.utils.timezone import now

from evaluations.models import Submission
from introeval.backup import age
from introeval.backup.age import BackupAge
from queueing.models import Alert
from queueing.policy.alerts import BACKUP_OLD, Severity
from queueing.report import health
from queueing.signals import health_asked
from queueing.worker.background import watchdog
from tests.conftest import Cast
from tests.evaluations.material import hand_in

pytestmark = pytest.mark.django_db


def _severity() -> Severity | None:
    found = BackupAge().alert()[BACKUP_OLD]
    return found[0].severity if found else None


def test_a_lab_in_which_nothing_was_handed_in_needs_none(cast: Cast) -> None:
    assert _severity() is None


@pytest.mark.parametrize(("days", "severity"), [(6, None), (8, Severity.WARNING), (400, Severity.WARNING)])
def test_none_ever_is_a_warning_after_a_week_of_work(cast: Cast, days: int, severity: str | None) -> None:
    video = hand_in(cast.ada, cast.classroom)
    Submission.objects.filter(pk=video.pk).update(created_at=now() - timedelta(days=days))
    assert _severity() == severity


@pytest.mark.parametrize(("days", "severity"), [(6, None), (8, Severity.WARNING), (31, Severity.CRITICAL)])
def test_it_is_told_by_the_age_of_the_last_one(cast: Cast, days: int, severity: str | None) -> None:
    age.note_made(now() - timedelta(days=days), folder="/backup", by="command:root")
    assert _severity() == severity


def test_a_backup_resolves_the_alert_at_the_next_look(cast: Cast) -> None:
    own = BackupAge()
    health_asked.connect(own.alert, dispatch_uid="a test's")
    try:
        age.note_made(now() - timedelta(days=8), folder="/backup", by="command:root")
        watchdog.look(lambda: health.read_node(settings.NODE))
        assert Alert.objects.active().filter(kind=BACKUP_OLD).exists()

        age.note_made(now(), folder="/backup", by="command:root")
        watchdog.look(lambda: health.read_node(settings.NODE))
        assert not Alert.objects.active().filter(kind=BACKUP_OLD).exists()
    finally:
        health_asked.disconnect(dispatch_uid="a test's")
