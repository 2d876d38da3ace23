from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from evaluations import actions
from evaluations.media import store
from evaluations.models import Transcript, Upload
from evaluations.uploads import audit, upkeep
from queueing.signals import upkeep_due
from tests.conftest import Cast
from tests.evaluations.material import hand_in, write_results


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


@pytest.mark.parametrize("gone", ["its submission is deleted", "its words were made up by an engine", "both"])
def test_a_file_that_nobody_misses_is_no_alarm(cast: Cast, gone: str, caplog: pytest.LogCaptureFixture) -> None:
    hand_in(cast.bo, cast.classroom)
    submission = hand_in(cast.ada, cast.classroom)
    store.locate(submission.path).unlink()
    if gone != "its submission is deleted":
        write_results(submission)
        Transcript.objects.update(simulated=True)
    if gone != "its words were made up by an engine":
        actions.delete(submission=submission, by=cast.ada)
    upkeep_due.send(sender=None)
    assert "stored videos are lost" not in caplog.text
    assert not audit.alarming()


def test_a_damaged_file_of_made_up_words_still_is_an_alarm(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    store.locate(submission.path).write_bytes(b"")
    write_results(submission)
    Transcript.objects.update(simulated=True)
    assert audit.alarming() == {"file_damaged": 1}
