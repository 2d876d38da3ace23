"""After a test that committed the database is as Django's own flush leaves it."""

from __future__ import annotations

import re
from threading import Event, Thread
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from evaluations.models import Classroom
from tests import flush
from tests.conftest import Cast
from tests.evaluations.material import hand_in

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def flushed() -> dict[str, Any]:
    """What Django's leaves, and ours after it: the rows of each table that has any."""
    call_command("flush", verbosity=0, interactive=False)
    djangos = rows()
    flush.flush()
    assert unnumbered(rows()) == unnumbered(djangos)
    return rows()


def rows() -> dict[str, Any]:
    found = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.django_table_names(only_existing=True, include_views=False):
            cursor.execute(f'SELECT row::text FROM "{table}" AS row ORDER BY 1')  # noqa: S608 - a name of ours
            found[table] = cursor.fetchall()
    return {table: some for table, some in found.items() if some}


def unnumbered(found: dict[str, Any]) -> dict[str, list[str]]:
    """Django's numbers its rows anew each time."""
    return {table: sorted(re.sub(r"\d+", "#", row) for (row,) in some) for table, some in found.items()}


def test_what_a_class_did_is_gone_and_what_the_site_begins_with_is_there(flushed: dict[str, Any], cast: Cast) -> None:
    hand_in(cast.ada, cast.classroom)
    assert len(rows()) > len(flushed) + 5
    with patch.object(flush, "call_command") as django:
        flush.flush()
    assert not django.called
    assert rows() == flushed


@pytest.mark.parametrize(
    "spoil",
    [
        lambda: Permission.objects.earliest("pk").delete(),
        lambda: Group.objects.create(name="friends"),
        lambda: Group.objects.earliest("pk").permissions.clear(),
        lambda: ContentType.objects.filter(model="user").update(model="other"),
    ],
    ids=["a permission", "a group", "what a group may", "a content type"],
)
def test_what_stays_is_mended_when_a_test_spoilt_it(spoil: Any, flushed: dict[str, Any]) -> None:
    spoil()
    flush.flush()
    assert unnumbered(rows()) == unnumbered(flushed)


def test_foreign_keys_hold_again_afterwards(cast: Cast) -> None:
    flush.flush()
    flush.flush()
    with pytest.raises(IntegrityError), transaction.atomic():
        Classroom.students.through.objects.create(classroom_id=1, user_id=1)


def test_it_waits_for_whoever_still_writes() -> None:
    """What a process that was killed had sent is either written, and deleted, or never written."""
    flush.flush()
    wrote, may_commit = Event(), Event()

    def write() -> None:
        try:
            with transaction.atomic():
                User.objects.create(username="late")
                wrote.set()
                may_commit.wait(10)
        finally:
            connection.close()

    def empty() -> None:
        try:
            flush.flush()
        finally:
            connection.close()

    writer = Thread(target=write)
    writer.start()
    assert wrote.wait(10)
    emptying = Thread(target=empty)
    emptying.start()
    emptying.join(0.2)
    assert emptying.is_alive()
    may_commit.set()
    writer.join()
    emptying.join(20)
    assert not User.objects.exists()
