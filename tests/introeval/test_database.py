"""DATABASE_URL, read as psql reads it, and the limits of each session."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections
from django.db.backends.postgresql.base import DatabaseWrapper

from introeval import database

LIMITS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")


@pytest.mark.parametrize(
    ("url", "facts"),
    [
        (
            "postgresql://u:p%40w@db.example:5433/lab",
            {"USER": "u", "PASSWORD": "p@w", "HOST": "db.example", "PORT": "5433"},
        ),
        ("postgres://%2Fvar%2Frun%2FPostgreSQL/lab", {"HOST": "/var/run/PostgreSQL"}),
        ("postgresql://u@//tmp/introeval-0/abc/lab", {"USER": "u", "HOST": "/tmp/introeval-0/abc"}),
        ("postgresql:///lab?host=/run/pg&port=5433", {"HOST": "/run/pg", "PORT": "5433"}),
        ("postgresql://[2001:db8::1]:5432/lab", {"HOST": "2001:db8::1"}),
        ("postgresql://one:5432,two:5433/lab", {"HOST": "one,two", "PORT": "5432,5433"}),
        ("postgresql://u:a+b@db/lab", {"PASSWORD": "a+b"}),
    ],
)
def test_an_address_is_read_as_psql_reads_it(url: str, facts: dict[str, str]) -> None:
    found = database.configuration(url)
    assert found["NAME"] == "lab"
    assert {name: found[name] for name in facts} == facts


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("sslmode=require", {"sslmode": "require"}),
        ("sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem", {"sslmode": "verify-full", "sslrootcert": "/etc/ca.pem"}),
        ("connect_timeout=2", {"connect_timeout": 2}),
        ("application_name=lab%203", {"application_name": "lab 3"}),
        ("target_session_attrs=read-write", {"target_session_attrs": "read-write"}),
        ("options=-c%20search_path%3Dlab", {"options": "-c search_path=lab"}),
    ],
)
def test_its_own_options_come_before_ours_and_ours_stay(query: str, options: dict[str, Any]) -> None:
    assert database.configuration(f"postgresql://db/lab?{query}")["OPTIONS"] == {**database.OPTIONS, **options}


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///lab.db",
        "mysql://db/lab",
        "db.example/lab",
        "postgresql://db",
        "postgresql://db/",
        "postgresql://db:port/lab",
        "postgresql://db:99999/lab",
        "postgresql://[::1/lab",
        "postgresql://db/lab?sslmode=requier",
        "postgresql://db/lab?ssl_mode=require",
        "postgresql://db/lab?connect_timeout=5s",
        "postgresql://db/lab?tcp_user_timeout=ten",
        "postgresql://db/lab?target_session_attrs=primry",
        "postgresql://db/%zz",
    ],
)
def test_nonsense_stops_the_start_with_the_address(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^DATABASE_URL must be ") as refused:
        database.configuration(url)
    assert str(refused.value).endswith(f"it is {url!r}")


def test_a_refused_address_does_not_show_its_password() -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        database.configuration("postgresql://lab:s3cret@db/lab?sslmode=requier")
    assert "s3cret" not in str(refused.value)
    assert "postgresql://lab:…@db/lab" in str(refused.value)


@pytest.mark.django_db(transaction=True)
def test_each_session_has_its_limits_also_one_that_a_pool_hands_out_again() -> None:
    alias = dict(connection.settings_dict)
    alias["OPTIONS"] = {**alias["OPTIONS"], "pool": {"min_size": 0, "max_size": 1, "timeout": 10}}
    own = DatabaseWrapper(alias, "limits")
    try:
        for _ in range(2):
            with own.cursor() as cursor:
                cursor.execute("SELECT setting FROM pg_settings WHERE name = ANY(%s) ORDER BY name", [list(LIMITS)])
                assert [row[0] for row in cursor.fetchall()] == ["20000", "5000", "30000"]
            own.close()
    finally:
        own.close_pool()


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ("", set(LIMITS)),
        ("-c statement_timeout=60s", set(LIMITS) - {"statement_timeout"}),
        ("-c deadlock_timeout=2s", set(LIMITS)),
        ("-c lock_timeout=0 -c statement_timeout=0", {"idle_in_transaction_session_timeout"}),
    ],
)
def test_a_limit_that_the_address_sets_is_left_alone(options: str, left: set[str]) -> None:
    assert database.limits(options).keys() == left


@pytest.mark.django_db
def test_nothing_is_sent_at_the_start_of_a_session_that_a_pooler_would_refuse() -> None:
    """PgBouncer knows these start-up parameters and refuses any other: `unsupported startup parameter: options`."""
    with closing(psycopg.connect(**connections["default"].get_connection_params())) as asked:
        sent = {each.keyword.decode() for each in asked.pgconn.info if each.val and each.keyword != b"password"}
        on_the_wire = {"options", "replication"} & sent
    assert not on_the_wire
