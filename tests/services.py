"""PostgreSQL and Valkey of the test session's own; of each process, when pytest-xdist shares the tests out. And the end
of everything that its tests start, also when one of them hangs.

A plugin (`-p tests.services`), because pytest-django reads the settings before any conftest.py is imported, and the
settings read DATA_DIR.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import TIMEOUT_MAX, Timer

import pytest

from introeval import embedded
from scripts import languages
from tests import lanes, leftovers
from tests.processes import forks

OVERTIME_SECONDS = 5.0

DATA_DIR = Path(tempfile.mkdtemp(prefix="introeval-tests-"))
os.environ["DATA_DIR"] = os.environ[leftovers.MARK] = str(DATA_DIR)
for _own in ("DATABASE_URL", "REDIS_URL"):
    os.environ.pop(_own, None)  # a developer's servers are not for tests
# Tests race threads against each other, end their connections and drop databases under them; the processes that they
# start have their pools (tests/processes/conftest.py).
os.environ["DATABASE_POOL_SIZE"] = "0"
os.environ["ALERT_SECONDS"] = "86400"  # no site or worker writes into a test's database what the test did not cause
os.environ["LLM_MODELS_DIR"] = str(DATA_DIR / "models")  # else the tests would use the large model where it is there
os.environ.setdefault("API_PER_SECOND", "1000000")  # one of the limit lowers it
os.environ.setdefault("SECRET_KEY", "tests-only-" + "k" * 40)
# Playwright's synchronous driver runs an event loop in this thread, and Django would then refuse the ORM.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

_services = ExitStack()


def pytest_sessionstart() -> None:
    languages.compile_all()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start them where a test that is no unit test was chosen; each process of pytest-xdist's collects for itself."""
    needed = any(item.get_closest_marker(lanes.UNIT) is None for item in session.items)
    if needed and not session.config.option.collectonly:
        _services.enter_context(_watched(session.config))
        _services.enter_context(embedded.services(DATA_DIR))
        _services.callback(forks.server.stop)


@contextmanager
def _watched(config: pytest.Config) -> Iterator[None]:
    """Nothing that the tests start outlives this process, however it ends."""
    temporary: pytest.TempPathFactory = config._tmp_path_factory  # type: ignore[attr-defined]
    folders = [str(DATA_DIR), str(temporary.getbasetemp())]
    command = [sys.executable, "-I", "-S", leftovers.__file__, str(os.getpid()), str(DATA_DIR), *folders]
    env = {name: value for name, value in os.environ.items() if name != leftovers.MARK}
    with subprocess.Popen(command, env=env, start_new_session=True, stdout=subprocess.DEVNULL) as watcher:
        try:
            yield
            leftovers.kill_all(folders=folders, **{leftovers.MARK: str(DATA_DIR)})
        finally:
            watcher.kill()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test that hangs is ended by its time-out; what it waits for in its `finally` must then not hang, too."""
    if item.get_closest_marker(lanes.UNIT):
        return (yield)
    overtime = Timer(_time_out(item) + OVERTIME_SECONDS, _kill_started_by, [item.nodeid])
    overtime.daemon = True
    overtime.start()
    try:
        return (yield)
    finally:
        overtime.cancel()


def _time_out(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    own = (marker.args[0] if marker.args else marker.kwargs.get("timeout")) if marker else None
    return float(own or item.config.getoption("timeout") or item.config.getini("timeout") or 0) or TIMEOUT_MAX


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" and report.failed:
        _kill_started_by(item.nodeid)
    return report


def _kill_started_by(test: str) -> None:
    """What the test's own code started. Fixtures end what is theirs, which for one of a module may have to serve on."""
    marks = {leftovers.MARK: str(DATA_DIR), leftovers.TEST_MARK: f"{test} (call)"}
    leftovers.kill_all(spare=[str(DATA_DIR)], **marks)
    forks.server.kill_started_by(f"{test} (call)")


@pytest.hookimpl(wrapper=True)
def pytest_unconfigure() -> Iterator[None]:
    try:
        yield
    finally:  # whatever another plugin finds fault with at the end
        _services.close()
        shutil.rmtree(DATA_DIR, ignore_errors=True)
