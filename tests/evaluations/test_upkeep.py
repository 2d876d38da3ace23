from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from evaluations import upkeep
from evaluations.media import store
from evaluations.models import Upload
from queueing.signals import upkeep_due
from tests.conftest import Cast
from tests.evaluations.material import hand_in


@pytest.fixture(autouse=True)
def due(monkeypatch: pytest.MonkeyPatch) -> None:
    for duty in upkeep.DUTIES:
        monkeypatch.setattr(duty, "next_at", 0.0)


def abandoned(cast: Cast) -> Upload:
    past = timezone.now() - timedelta(hours=1)
    return Upload.objects.create(student=cast.ada, classroom=cast.classroom, length=10, offset=4, expires_at=past)


def test_a_workers_upkeep_removes_abandoned_uploads_but_not_at_every_turn(cast: Cast) -> None:
    abandoned(cast)
    upkeep_due.send(sender=None)
    assert not Upload.objects.exists()
    abandoned(cast)
    upkeep_due.send(sender=None)
    assert Upload.objects.exists()


def test_a_workers_upkeep_says_that_stored_videos_are_lost(cast: Cast, caplog: pytest.LogCaptureFixture) -> None:
    hand_in(cast.ada, cast.classroom)
    lost = hand_in(cast.ada, cast.classroom)
    store.locate(lost.path).unlink()
    upkeep_due.send(sender=None)
    assert "'file_missing': 1" in caplog.text
    assert "verify_store" in caplog.text
    caplog.clear()
    upkeep_due.send(sender=None)
    assert not caplog.text


def test_a_workers_upkeep_says_nothing_while_all_is_there(cast: Cast, caplog: pytest.LogCaptureFixture) -> None:
    hand_in(cast.ada, cast.classroom)
    upkeep_due.send(sender=None)
    assert not caplog.text
