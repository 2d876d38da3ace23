"""The task of django-tasks-db, which finds it by its module and name."""

from __future__ import annotations

from django_tasks import task

from tests.benchmarks.noop import work


@task()  # type: ignore[untyped-decorator]  # its package is installed for the benchmark only
def noop() -> None:
    work.run()
