"""What `rehearse_lab` refuses before it breaks anything."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.management import CommandError, call_command

from introeval.rehearsal import plan
from queueing.models import Task


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if `manage.py` had made a database for it."""
    monkeypatch.setenv("INTROEVAL_REHEARSAL", "1")


def test_outside_of_a_database_of_its_own_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTROEVAL_REHEARSAL", raising=False)
    with pytest.raises(CommandError, match="a database of its own"):
        call_command("rehearse_lab")


@pytest.mark.django_db
def test_a_database_with_tasks_in_it_is_refused(scratch: None, enqueue: Callable[..., Task]) -> None:
    enqueue()
    with pytest.raises(CommandError, match="would destroy them"):
        call_command("rehearse_lab")


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("faults", "flood:3", "no fault 'flood'"),
        ("faults", "kill:many", "--faults"),
        ("slots", 0, "at least 1"),
        ("scale", 0.0, "above 0"),
        ("arrive", -1.0, "above 0"),
    ],
)
def test_what_can_not_be_rehearsed_is_told_in_words(scratch: None, option: str, value: object, says: str) -> None:
    with pytest.raises(CommandError, match=says):
        call_command("rehearse_lab", **{option: value})


def test_faults_are_read_with_their_numbers() -> None:
    assert plan.read_faults("kill:20, stop:5,pg") == {"kill": 20, "stop": 5, "pg": 1}
    assert plan.read_faults("") == {}
