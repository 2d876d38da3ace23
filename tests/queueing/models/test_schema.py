"""Old and new code on one database: which may work, and with which message the other is refused."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from queueing.models import schema
from queueing.models.schema import WrongSchema

pytestmark = pytest.mark.django_db


def test_the_schema_of_this_code_is_current() -> None:
    schema.ensure_current()
    assert not schema.is_ahead()


def test_a_database_that_lacks_a_migration_is_refused_with_the_command_that_mends_it() -> None:
    MigrationRecorder(connection).record_unapplied("queueing", "0001_initial")
    with pytest.raises(WrongSchema, match=r"lacks queueing\.0001_initial; run `manage\.py migrate`"):
        schema.ensure_current()
    assert not schema.is_ahead()


def test_a_database_of_a_newer_version_is_refused_with_a_message() -> None:
    MigrationRecorder(connection).record_applied("queueing", "9999_of_the_future")
    assert schema.is_ahead()
    with pytest.raises(WrongSchema, match="migrated by a newer version of IntroEval; update this one"):
        schema.ensure_current()


def test_what_an_app_left_behind_that_is_installed_no_more_is_nobodys_trouble() -> None:
    MigrationRecorder(connection).record_applied("an_app_of_the_past", "0001_initial")
    schema.ensure_current()


def test_a_database_without_any_table_is_refused_alike() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE django_migrations")
    with pytest.raises(WrongSchema, match=r"run `manage\.py migrate`"):
        schema.ensure_current()
