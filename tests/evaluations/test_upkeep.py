from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from evaluations import upkeep
from evaluations.models import Upload
from queueing.signals import upkeep_due
from tests.conftest import Cast


def abandoned(cast: Cast) -> Upload:
    past = timezone.now() - timedelta(hours=1)
    return Upload.objects.create(student=cast.ada, classroom=cast.classroom, length=10, offset=4, expires_at=past)


def test_a_workers_upkeep_removes_abandoned_uploads_but_not_at_every_turn(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep._Next, "at", 0.0)
    abandoned(cast)
    upkeep_due.send(sender=None)
    assert not Upload.objects.exists()
    abandoned(cast)
    upkeep_due.send(sender=None)
    assert Upload.objects.exists()
