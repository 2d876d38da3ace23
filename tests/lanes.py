"""Which tests are unit tests, and what those do without: PostgreSQL, Valkey, models, a browser, other processes.

Every test gets the mark `unit` at collection that neither asks for the database nor is slow nor starts anything. In the
lane of those alone (`make test-unit`: `-m unit`) no server runs, and whatever reaches for one fails its test: the mark
can't be wrong for long.
"""

from __future__ import annotations

import gc
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Never

import hypothesis
import psycopg
import pytest

ROOT: Final = Path(__file__).parents[1]
UNIT: Final = "unit"
OTHERS: Final = ("slow", "external", "django_db")  # marks of which a unit test has none
DATABASE_FIXTURES: Final = {
    "db",
    "transactional_db",
    "django_db_setup",
    "django_db_reset_sequences",
    "django_db_serialized_rollback",
    "live_server",
}
# In the text of a module: none of its tests is a unit test. So the lane need not import it, nor what it imports.
STARTERS: Final = r"subprocess|multiprocessing|http\.server|tests\.doubles\.(http|ollama)"
RULES_OUT: Final = re.compile(rf"^pytestmark = .*\b({'|'.join(OTHERS)})\b|^(import|from) ({STARTERS})\b", re.MULTILINE)

# Whole folders, modules or single tests that start something too far down for the rule above to see it.
EXTERNAL: Final = (
    "tests/browser/",
    "tests/chaos/",
    "tests/processes/",
    "tests/evaluations/errors/test_catalogue.py",  # these three parse all sources, which takes a linter's time
    "tests/evaluations/media/test_one_door.py",
    "tests/evaluations/views/test_unmarked.py",
    "tests/evaluations/media/test_clock.py",  # the decoder is a process of its own
    "tests/evaluations/media/test_damage.py",
    "tests/evaluations/media/test_decoding.py",
    "tests/evaluations/media/test_devices.py",
    "tests/evaluations/media/test_hostile_files.py",
    "tests/evaluations/media/test_tracks.py",
    "tests/introeval/lan/test_addresses.py",  # which way a datagram would go is asked of the kernel
    "tests/introeval/serving/test_sockets.py",  # Valkey
    "tests/introeval/serving/test_tls.py",  # a new certificate comes from a process of its own
    "tests/queueing/engines/llm/test_openai_compatible.py",  # these two ask servers, if only on this machine
    "tests/queueing/engines/llm/test_served.py",
    "tests/queueing/engines/speech/test_checkpoint.py",  # torch takes seconds to import, and starts helpers
    "tests/queueing/engines/speech/test_simulated.py",
    "tests/queueing/worker/test_restart.py::test_a_command",
    "tests/queueing/worker/test_restart.py::test_of_a_flood",
    "tests/queueing/worker/test_restart.py::test_the_command",
    "tests/queueing/engines/llm/test_ollama.py::test_a_server_that_cannot_be_reached",  # asks a name server
)
# These modules take longest, in this order: each a minute of a lane at least.
LONGEST: Final = (
    "tests/queueing/engines/speech/",
    "tests/processes/test_rehearsal.py",
    "tests/processes/test_failpoints.py",
    "tests/browser/test_pages.py",
    "tests/processes/test_up.py",
    "tests/evaluations/access/test_access.py",
    "tests/browser/test_recorder.py",
    "tests/processes/test_rerate.py",
    "tests/test_benchmarks.py",
    "tests/evaluations/rating/test_clips.py",
    "tests/processes/test_dashboards.py",
    "tests/chaos/test_up.py",
    "tests/processes/test_demo_class.py",
    "tests/browser/test_journeys.py",
    "tests/chaos/test_explorer.py",
    "tests/browser/test_student.py",
    "tests/chaos/test_switches.py",
    "tests/processes/test_operating.py",
    "tests/browser/test_board.py",
    "tests/processes/test_backup.py",
    "tests/queueing/models/test_machine.py",
    "tests/processes/test_worker.py",
    "tests/queueing/engines/llm/test_embedded.py",
    "tests/browser/test_review.py",
    "tests/processes/test_dead_server.py",
    "tests/processes/test_ollama_lab.py",
    "tests/browser/test_sessions.py",
    "tests/queueing/engines/llm/test_embedded_heads.py",
    "tests/deploy/test_nginx.py",
    "tests/processes/test_hung_tests.py",
)
# Folders whose tests share what is dear: one lane takes all of their modules. The engines of speech are loaded there.
SHARING: Final = ("tests/queueing/engines/speech/",)
# Examples of a property in the lane; `make test` tries as many as the test says.
EXAMPLES: Final = 20

STARTING: Final = {
    "subprocess.Popen",
    "os.posix_spawn",
    "os.fork",
    "os.forkpty",
    "os.exec",
    "os.system",
}  # names of audit events
CONNECTING: Final = {"socket.connect", "socket.sendto"}


class NotAUnitTestError(AssertionError):
    """A unit test reached for what its lane doesn't have."""


class Guard:
    """Refuses what is outside of this process while it is armed, and remembers what it refused."""

    def __init__(self) -> None:
        self.armed = False
        self.refused: list[str] = []

    def install(self) -> None:
        """For as long as this process lives: an audit hook can't be taken out."""
        sys.addaudithook(self.audit)
        # libpq connects in C, which no audit hook sees.
        for owner in (psycopg, psycopg.Connection, psycopg.AsyncConnection):
            setattr(owner, "connect", self._no_database)  # noqa: B010 - mypy refuses the assignment

    @contextmanager
    def armed_for(self) -> Iterator[None]:
        """Armed in the block, which fails at its end for what the code under test swallowed or did in a thread."""
        self.armed, self.refused = True, []
        try:
            yield
        finally:
            self.armed = False
        if self.refused:
            raise NotAUnitTestError(self.refused[0])

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event in STARTING:
            self._refuse(f"started a process ({event})")
        if event in CONNECTING and not is_loopback(args[1]):
            self._refuse(f"opened a socket to {args[1]!r}")
        if event == "socket.getaddrinfo" and not is_loopback((args[0],)):
            self._refuse(f"looked up {args[0]!r}")

    def _no_database(self, *args: object, **kwargs: object) -> Never:
        self._refuse("opened a connection to PostgreSQL")

    def _refuse(self, what: str) -> Never:
        self.refused.append(f"a unit test {what}: mark it `external` (or `django_db`), or have it do without")
        raise NotAUnitTestError(self.refused[-1])


def is_loopback(address: Any) -> bool:
    """Whether it is on this machine and by TCP: a path leads to a server that the lane doesn't have."""
    if not isinstance(address, tuple):
        return False
    host = address[0].decode() if isinstance(address[0], bytes) else address[0]
    if host in (None, "", "localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@cache
def is_ruled_out(path: Path) -> bool:
    """Whether no test of that module is a unit test."""
    name = path.as_posix().removeprefix(f"{ROOT.as_posix()}/")
    return name.startswith(EXTERNAL) or bool(RULES_OUT.search(path.read_text()))


def is_unit(item: pytest.Item) -> bool:
    asks_for = set(getattr(item, "fixturenames", ()))
    marked = any(item.get_closest_marker(mark) for mark in OTHERS)
    return not (marked or asks_for & DATABASE_FIXTURES or is_ruled_out(item.path) or item.nodeid.startswith(EXTERNAL))


def try_fewer_examples(item: pytest.Item) -> None:
    """Where a test says itself how many it tries; the others go by the profile."""
    function = getattr(item, "obj", None)
    own = getattr(function, "_hypothesis_internal_use_settings", None)
    if own is not None and own.max_examples > EXAMPLES:
        fewer = hypothesis.settings(own, max_examples=EXAMPLES)
        function._hypothesis_internal_use_settings = fewer  # type: ignore[union-attr]


def import_a_share(config: pytest.Config) -> None:
    """Of all modules a lane's own share: in a fresh clone, where nothing is compiled yet, each is then compiled once.

    Lanes collect all tests in the same order, so each would compile all of them, at the same time as the others.
    """
    lane: dict[str, Any] | None = getattr(config, "workerinput", None)
    if lane is None or config.args != config.getini("testpaths") or units_only(config):
        return
    modules = sorted(ROOT.glob("tests/**/test_*.py"))
    for path in modules[int(lane["workerid"].removeprefix("gw")) :: lane["workercount"]]:
        with suppress(Exception):  # which collection meets again, and reports
            import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


def units_only(config: pytest.Config) -> bool:
    """Whether this run is the lane of the unit tests."""
    return bool(config.option.markexpr == UNIT)


guard = Guard()


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell's background jobs ignore Ctrl-C, and so would each process that a test starts and interrupts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # No deadline for an example: on a busy machine any of them may wait for its turn. A hung test has its own.
    # A whole run answers for the code that it is of, so its examples are always the same; the unit lane seeks new ones.
    hypothesis.settings.register_profile("introeval", deadline=None, derandomize=True)
    hypothesis.settings.register_profile("unit", deadline=None, max_examples=EXAMPLES)
    hypothesis.settings.load_profile("unit" if units_only(config) else "introeval")
    if units_only(config):
        guard.install()


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """What collection makes stays until the end: half a million objects that no search for garbage need go through."""
    gc.disable()
    import_a_share(session.config)
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    is_module = collection_path.match("test_*.py")
    return True if units_only(config) and is_module and is_ruled_out(collection_path) else None


@pytest.hookimpl(wrapper=True)  # around the others: `-m` chooses by the mark, and pytest-randomly shuffles
def pytest_collection_modifyitems(items: list[pytest.Item], config: pytest.Config) -> Iterator[None]:
    for item in filter(is_unit, items):
        item.add_marker(UNIT)
        if units_only(config):
            try_fewer_examples(item)
    yield
    # Lanes take modules in this order: the long ones first, so that none of them ends alone.
    items.sort(key=lambda item: (_rank(item.nodeid), item.get_closest_marker("slow") is None))


def _rank(nodeid: str) -> int:
    return next((rank for rank, start in enumerate(LONGEST) if nodeid.startswith(start)), len(LONGEST))


def scope(nodeid: str) -> str:
    """The tests of one scope are one lane's: those of a module, or of one of the folders in SHARING."""
    return next((start for start in SHARING if nodeid.startswith(start)), nodeid.partition("::")[0])


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if config.option.dist != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class SharedScopes(LoadScopeScheduling):  # type: ignore[misc] # published without types
        def _split_scope(self, nodeid: str) -> str:
            return scope(nodeid)

    return SharedScopes(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    with guard.armed_for() if units_only(item.config) else nullcontext():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with guard.armed_for() if units_only(item.config) else nullcontext():
        return (yield)
