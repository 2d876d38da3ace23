"""PostgreSQL and Valkey of the test session's own; of each process, when pytest-xdist shares the tests out.

A plugin (`-p tests.services`), because pytest-django reads the settings before any conftest.py is imported, and the
settings read DATA_DIR.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from scripts import languages

DATA_DIR = Path(tempfile.mkdtemp(prefix="introeval-tests-"))
os.environ["DATA_DIR"] = str(DATA_DIR)
for _own in ("DATABASE_URL", "REDIS_URL"):
    os.environ.pop(_own, None)  # a developer's servers are not for tests
# Tests race threads against each other, end their connections and drop databases under them; the processes that they
# start have their pools (tests/processes/conftest.py).
os.environ["DATABASE_POOL_SIZE"] = "0"
os.environ.setdefault("SECRET_KEY", "tests-only-" + "k" * 40)
# Playwright's synchronous driver runs an event loop in this thread, and Django would then refuse the ORM.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

_services = ExitStack()


def pytest_sessionstart(session: pytest.Session) -> None:
    from introeval import embedded

    languages.compile_all()
    shares_out = not hasattr(session.config, "workerinput") and session.config.getoption("numprocesses", None)
    if not session.config.option.collectonly and not shares_out:
        _services.enter_context(embedded.services(DATA_DIR))


@pytest.hookimpl(wrapper=True)
def pytest_unconfigure() -> Iterator[None]:
    yield
    _services.close()
    shutil.rmtree(DATA_DIR, ignore_errors=True)
