"""The site's own settings, with a pipeline and a task that do nothing, and the peers where they are installed."""

from __future__ import annotations

from importlib.util import find_spec

from introeval.environment import flag
from introeval.settings import *  # noqa: F403 - the site's, as they are
from introeval.settings import DATABASES, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.benchmarks.noop"]

if find_spec("django_tasks_db"):
    INSTALLED_APPS = [*INSTALLED_APPS, "django_tasks", "django_tasks_db"]
    TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}

# For workers that close old connections after each task: the site's settings leave keeping them to the pool.
if flag("BENCH_PERSISTENT_CONNECTIONS", default=False):
    DATABASES["default"] |= {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": False}
    DATABASES["default"]["OPTIONS"].pop("pool", None)
