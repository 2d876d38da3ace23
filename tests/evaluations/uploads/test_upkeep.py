from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from unittest.mock import Mock

import pytest
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from evaluations import actions
from evaluations.media import store
from evaluations.models import Transcript, Upload
from evaluations.uploads import audit, upkeep
from queueing.policy.alerts import FiringAlert, Severity
from queueing.signals import upkeep_due
from tests.conftest import Cast
from tests.evaluations.material import hand_in, write_results


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


def look(monkeypatch: pytest.MonkeyPatch) -> list[FiringAlert]:
    """What a worker's upkeep finds of stored videos, as whoever raises alerts hears of it."""
    for duty in upkeep.DUTIES:
        monkeypatch.setattr(duty, "next_at", 0.0)
    upkeep_due.send(sender=None)
    return upkeep.stored_videos.alert()["videos_lost"]


def test_lost_videos_are_an_alert_until_they_are_there_again(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    assert upkeep.stored_videos.alert() == {}, "who has not looked can't say that all is there"
    hand_in(cast.ada, cast.classroom)
    lost = store.locate(hand_in(cast.ada, cast.classroom).path)
    away = lost.rename(lost.with_suffix(".away"))
    (alert,) = look(monkeypatch)
    assert (alert.value, alert.severity) == (1, Severity.CRITICAL)
    assert "verify_store" in alert.cure
    away.rename(lost)
    monkeypatch.setattr(upkeep.stored_videos, "rest_until", 0.0)
    assert not look(monkeypatch)


def test_a_look_that_takes_long_is_taken_seldom(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("evaluations.uploads.upkeep.time.monotonic", lambda: clock[0])
    looked: list[float] = []

    def alarming() -> Counter[str]:
        looked.append(clock[0])
        clock[0] += 10
        return Counter({"file_missing": 1})

    monkeypatch.setattr(audit, "alarming", alarming)
    for _ in range(300):
        upkeep.stored_videos.look()
        clock[0] += 1
    assert looked == [1000, 1100, 1200, 1300]


def test_many_lost_videos_take_no_more_statements_than_one(
    cast: Cast, django_assert_max_num_queries: Callable[..., AbstractContextManager[CaptureQueriesContext]]
) -> None:
    for _ in range(12):
        store.locate(hand_in(cast.ada, cast.classroom).path).unlink()
    with django_assert_max_num_queries(3):
        assert audit.alarming() == {"file_missing": 12}


def test_a_store_in_which_all_is_there_is_looked_at_seldom(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    store.locate(hand_in(cast.ada, cast.classroom).path)
    assert not look(monkeypatch)
    monkeypatch.setattr(audit, "alarming", Mock(side_effect=AssertionError))
    assert not look(monkeypatch)


@pytest.mark.parametrize("gone", ["its submission is deleted", "its words were made up by an engine", "both"])
def test_a_file_that_nobody_misses_is_no_alarm(cast: Cast, gone: str) -> None:
    hand_in(cast.bo, cast.classroom)
    submission = hand_in(cast.ada, cast.classroom)
    store.locate(submission.path).unlink()
    if gone != "its submission is deleted":
        write_results(submission)
        Transcript.objects.update(simulated=True)
    if gone != "its words were made up by an engine":
        actions.delete(submission=submission, by=cast.ada)
    assert not audit.alarming()


def test_a_damaged_file_of_made_up_words_still_is_an_alarm(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    store.locate(submission.path).write_bytes(b"")
    write_results(submission)
    Transcript.objects.update(simulated=True)
    assert audit.alarming() == {"file_damaged": 1}
