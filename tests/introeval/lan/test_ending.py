"""Who is told that the lab's certificate ends, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pytest_django import Settings

from introeval.lan import ending
from introeval.lan.certificates import AUTHORITY_DAYS, SITE_DAYS, Certificates
from queueing.models import Alert
from queueing.policy.alerts import CERTIFICATE_ENDS, Severity
from queueing.report import health
from queueing.worker.background import watchdog

HOSTS = ["localhost"]


@pytest.fixture
def lab(settings: Settings, tmp_path: Path) -> Certificates:
    settings.LAB, settings.DATA_DIR = True, tmp_path
    return Certificates(tmp_path / "tls")


@pytest.mark.parametrize(
    ("left", "severity"),
    [(100, None), (20, Severity.WARNING), (5, Severity.CRITICAL), (-3, Severity.CRITICAL)],
)
def test_it_is_told_by_the_days_that_are_left(lab: Certificates, left: int, severity: Severity | None) -> None:
    lab.ensure(HOSTS, now=datetime.now(UTC) - timedelta(days=SITE_DAYS - left))
    assert [one.severity for one in ending.alert()[CERTIFICATE_ENDS]] == ([severity] if severity else [])


@pytest.mark.django_db
def test_a_renewal_resolves_the_alert_at_the_next_look(lab: Certificates, settings: Settings) -> None:
    lab.ensure(HOSTS, now=datetime.now(UTC) - timedelta(days=SITE_DAYS - 5))
    watchdog.look(lambda: health.read_node(settings.NODE))
    assert "ends in 5 days" in Alert.objects.active().get(kind=CERTIFICATE_ENDS).text
    lab.ensure(HOSTS)
    watchdog.look(lambda: health.read_node(settings.NODE))
    assert not Alert.objects.active().filter(kind=CERTIFICATE_ENDS).exists()


def test_where_it_is_a_proxys_nothing_is_said(settings: Settings, lab: Certificates) -> None:
    settings.LAB = False
    assert ending.alert() == {}


def test_in_the_authoritys_last_year_it_is_not_made_anew_again_and_again(lab: Certificates) -> None:
    began = datetime.now(UTC)
    lab.ensure(HOSTS, now=began)
    late = began + timedelta(days=AUTHORITY_DAYS - 100)
    lab.ensure(HOSTS, now=late)
    made = lab.stamp()
    lab.ensure(HOSTS, now=late + timedelta(days=1))
    assert lab.stamp() == made
