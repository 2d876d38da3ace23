"""A server that ends under somebody who tends it is back, whatever it left; one that can't start is tried on."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from queue import SimpleQueue
from threading import Event

import psutil
import psycopg
import pytest

from introeval import embedded
from introeval.embedded import postgres, tending
from introeval.embedded import server as server_module
from introeval.embedded import valkey as valkey_module
from introeval.embedded.layout import ServiceLayout
from introeval.embedded.locks import wait_until
from introeval.embedded.postgres import Postgres
from introeval.embedded.server import EmbeddedServer, ServerReply
from introeval.embedded.tending import ASK_SECONDS, PAUSES_SECONDS, Tender
from introeval.embedded.valkey import Valkey
from tests.introeval.conftest import Hold, ask, connect, postmaster, started_at

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


@pytest.fixture
def used(own_data_dir: Path, hold: Hold) -> Path:
    """A data directory whose servers run for somebody."""
    hold(own_data_dir).entered()
    return own_data_dir


def unheard(words: str) -> None:
    """For a test that does not ask what is said."""


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, 10)


def valkey(data_dir: Path) -> int:
    return int((data_dir / "services" / "valkey.lock").read_text())


def test_a_killed_database_is_back_at_the_next_look(used: Path) -> None:
    said: list[str] = []
    tender, began = Tender(Postgres(ServiceLayout(used)), say=said.append), started_at(used)
    assert tender.look() == ASK_SECONDS
    assert not said

    kill(postmaster(used))
    tender.look()

    assert started_at(used) != began
    assert said == ["PostgreSQL had ended and was started again."]


def test_a_killed_broker_is_back_at_the_next_look(used: Path) -> None:
    server = Valkey(ServiceLayout(used))
    kill(valkey(used))
    assert not server.answers()

    Tender(server, say=unheard).look()

    assert server.answers()


@pytest.mark.parametrize("server", [Postgres, Valkey])
def test_one_that_is_killed_is_missed_at_once(
    used: Path, server: type[EmbeddedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the kernel's word: the next question would be asked when this test is long over."""
    monkeypatch.setattr(tending, "ASK_SECONDS", 3600.0)
    asked, ask_it = Event(), server.ask

    def ask_and_tell(self: EmbeddedServer) -> ServerReply:
        asked.set()
        return ask_it(self)

    monkeypatch.setattr(server, "ask", ask_and_tell)
    said: SimpleQueue[str] = SimpleQueue()
    tender = Tender(server(ServiceLayout(used)), say=said.put)
    tender.start()
    try:
        assert asked.wait(30)
        kill(postmaster(used) if server is Postgres else valkey(used))
        assert said.get(timeout=30) == f"{server.name} had ended and was started again."
    finally:
        tender.stop()


def test_a_killed_database_does_not_wait_for_a_session_that_can_not_end(used: Path) -> None:
    with connect(used) as stuck:
        backend = stuck.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        kill(postmaster(used))
        assert psutil.pid_exists(backend)

        Tender(Postgres(ServiceLayout(used)), say=unheard).look()

    assert ask(used, "SELECT 1") == "1"


@pytest.mark.parametrize("server", [Postgres, Valkey])
def test_a_server_that_hangs_is_killed_and_started_again(
    used: Path, server: type[EmbeddedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REPLY_SECONDS", "SILENT_SECONDS"):
        for module in (server_module, postgres, valkey_module):
            monkeypatch.setattr(module, name, 0.2, raising=False)
    hung = psutil.Process(postmaster(used) if server is Postgres else valkey(used))
    hung.suspend()
    said: list[str] = []

    Tender(server(ServiceLayout(used)), say=said.append).look()

    assert not hung.is_running() or hung.status() == psutil.STATUS_ZOMBIE
    assert server(ServiceLayout(used)).answers()
    assert said == [f"{server.name} had ended and was started again."]


def test_a_server_that_still_starts_is_not_taken_for_one_that_hangs(
    used: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "SILENT_SECONDS", 0)
    monkeypatch.setattr(server_module, "LISTEN_SECONDS", 0)
    replies = iter([ServerReply.NOT_YET] * 3)
    began, ask_it = started_at(used), Postgres.ask
    monkeypatch.setattr(Postgres, "ask", lambda self: next(replies, None) or ask_it(self))

    Postgres(ServiceLayout(used)).ensure_running()

    assert next(replies, None) is None
    assert started_at(used) == began


def test_a_server_whose_socket_was_swept_away_gets_another(used: Path) -> None:
    server = Valkey(ServiceLayout(used))
    server.socket.unlink()

    Tender(server, say=unheard).look()

    assert server.answers()


def test_a_database_without_a_free_connection_is_left_alone(used: Path) -> None:
    began, server = started_at(used), Postgres(ServiceLayout(used))
    others = [connect(used) for _ in range(59)]
    try:
        with connect(used):
            with pytest.raises(psycopg.OperationalError, match="too many clients"):
                connect(used)
            assert server.answers()
            Tender(server, say=unheard).look()
    finally:
        for each in others:
            each.close()
    assert started_at(used) == began


def test_one_that_can_not_start_is_told_once_and_tried_on_until_it_can(used: Path) -> None:
    said: list[str] = []
    place = ServiceLayout(used)
    tender = Tender(Postgres(place), say=said.append)
    (place.cluster / "PG_VERSION").write_text("15\n")
    kill(postmaster(used))

    assert [tender.look() for _ in range(3)] == list(PAUSES_SECONDS[:3])
    assert len(said) == 1
    assert "was made by PostgreSQL 15" in said[0]

    (place.cluster / "PG_VERSION").write_text("18\n")
    assert tender.look() == ASK_SECONDS
    assert ask(used, "SELECT 1") == "1"


def test_what_is_tended_no_more_is_not_started_again(used: Path) -> None:
    server = Valkey(ServiceLayout(used))
    with embedded.tended(used, say=unheard):
        pass
    tender = Tender(server, say=unheard)
    tender.start()
    tender.stop()
    kill(valkey(used))
    tender.look()

    assert not server.answers()
