"""Events and attempts go by their age, results stay."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.utils.timezone import now

from queueing.models import Attempt, Event, Task
from queueing.worker import upkeep
from tests.conftest import Cast
from tests.evaluations.material import claim, finish, hand_in
from tests.evaluations.views.conftest import disk, signed_in

__all__ = ["disk"]


def age(days: float) -> None:
    """Let all that happened so far have happened so long ago; events are guarded against changes."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE queueing_event SET at = %s", [now() - timedelta(days=days)])
        cursor.execute("UPDATE queueing_attempt SET began_at = %s", [now() - timedelta(days=days)])
        cursor.execute("SET LOCAL session_replication_role = origin")


@pytest.mark.parametrize(("days", "stays"), [(399, True), (401, False)])
def test_what_happened_is_kept_for_so_many_days(cast: Cast, days: float, stays: bool) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    finish(submission)
    age(days)
    assert bool(upkeep.prune_history(400)) is not stays
    assert Event.objects.exists() is Attempt.objects.exists() is stays
    assert Task.objects.get().state == "done"
    page = signed_in(cast.ada).get(f"/submissions/{submission.pk}/")
    assert page.status_code == 200
    assert signed_in(cast.ada).get(f"/api/submissions/{submission.pk}/results").status_code == 200


def test_of_a_task_that_lives_nothing_goes_and_nothing_that_is_younger(cast: Cast) -> None:
    claim(hand_in(cast.ada, cast.classroom))
    age(500)
    finish(hand_in(cast.bo, cast.classroom))
    before = Event.objects.count(), Attempt.objects.count()
    assert upkeep.prune_history(400) == 0
    assert (Event.objects.count(), Attempt.objects.count()) == before


def test_it_takes_a_bounded_number_at_once_and_comes_back(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "PRUNED_AT_ONCE", 2)
    finish(hand_in(cast.ada, cast.classroom))
    age(500)
    assert upkeep.prune_history(400) == 4
    while upkeep.prune_history(400):
        pass
    assert not Event.objects.exists()
    assert not Attempt.objects.exists()
