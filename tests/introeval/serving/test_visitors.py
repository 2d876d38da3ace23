"""AA: what a connection may cost before anybody knows whose it is, without nginx: numbers, memory and time."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.conf import settings
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from introeval.serving import bodies, visitors
from introeval.serving.bodies import ANONYMOUS_BYTES, BODY_SECONDS, BYTES_A_SECOND, BoundedRequest
from introeval.serving.visitors import HEAD_SECONDS, IDLE_SECONDS, PER_ADDRESS, BoundedFactory, Visitors, network_of

COOKIE = b"Cookie: sessionid=somebody\r\n"
MIB = 1024 * 1024


class FakeWire(StringTransport):
    """A connection without a network; Twisted's class has no types."""

    @property
    def sent(self) -> bytes:
        return bytes(self.value())  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: object = None) -> None:  # noqa: N802
        """Twisted's own calls the protocol; here the test does."""


@dataclass
class Server:
    """What daphne's requests need of their server."""

    proxy_forwarded_address_header: str | None = None
    request_buffer_size: int = 0
    root_path: str = ""
    server_name: str = ""
    connected: list[Any] = field(default_factory=list)

    def create_application(self, protocol: Any, scope: object) -> None:
        """None that would answer; the test does."""

    def protocol_connected(self, protocol: Any) -> None:
        self.connected.append(protocol)

    def protocol_disconnected(self, protocol: Any) -> None:
        self.connected.remove(protocol)


class Site:
    """A factory with a clock of the test's own."""

    def __init__(self, **server: Any) -> None:
        self.factory = BoundedFactory(Server(**server))
        self.clock = self.factory.clock = Clock()
        self.lines: list[tuple[Any, FakeWire]] = []

    def connect(self, host: str = "10.0.0.1") -> FakeWire | None:
        protocol = self.factory.buildProtocol(IPv4Address("TCP", host, 5))
        if protocol is None:
            return None
        protocol.requestFactory, protocol.callLater = BoundedRequest, self.clock.callLater
        protocol._channel.callLater = self.clock.callLater
        wire = FakeWire()  # type: ignore[no-untyped-call]
        protocol.makeConnection(wire)
        self.lines.append((protocol, wire))
        return wire

    def send(self, data: bytes) -> None:
        self.lines[-1][0].dataReceived(data)

    def opened(self, data: bytes) -> FakeWire:
        wire = self.connect()
        assert wire is not None
        self.send(data)
        return wire

    def close_all(self) -> None:
        for protocol, wire in self.lines:
            protocol.connectionLost(Failure(ConnectionDone()))  # type: ignore[no-untyped-call]
            wire.connectionLost(None)
        self.lines.clear()


@pytest.fixture
def site() -> Iterator[Site]:
    before = BoundedRequest.in_flight
    made = Site()
    yield made
    made.close_all()
    assert BoundedRequest.in_flight == before, "what a body took was not given back"
    assert not made.clock.getDelayedCalls()


def head(length: int | None = None, extra: bytes = b"") -> bytes:
    size = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
    return b"PATCH /api/uploads/x HTTP/1.1\r\nHost: lab\r\n" + extra + size + b"\r\n\r\n"


def status(wire: FakeWire) -> int:
    return int(wire.sent.split()[1]) if wire.sent else 0


# ---- how many


def test_an_address_has_so_many_and_others_are_served() -> None:
    here = Visitors(at_once=9, per_address=3)
    assert [here.admit("a") for _ in range(5)] == [True, True, True, False, False]
    assert here.admit("b")
    here.leave("a")
    assert here.admit("a")


def test_all_together_there_are_as_many_as_the_machine_holds() -> None:
    here = Visitors(at_once=3, per_address=None)
    assert [here.admit(address) for address in "aabc"] == [True, True, True, False]
    for address in "aab":
        here.leave(address)
    assert not here.of


def test_a_class_behind_one_address_fits() -> None:
    assert PER_ADDRESS >= 30 * (6 + 1)


def test_one_too_many_is_closed_and_each_that_ends_makes_room(site: Site) -> None:
    assert all(site.connect() for _ in range(PER_ADDRESS))
    assert site.connect() is None
    assert site.connect("10.0.0.2") is not None
    site.close_all()
    assert site.connect() is not None


def test_behind_a_proxy_all_come_from_one_address() -> None:
    assert Site(proxy_forwarded_address_header="X-Forwarded-For").factory.visitors.per_address is None


def test_there_are_never_more_than_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(256, 256), (256, 100_000), (100_000, 100_000)]
    taken: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[len(taken)])
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: taken.append(both))
    assert visitors.most_at_once() == 128
    assert visitors.most_at_once() == visitors.AT_ONCE
    assert visitors.most_at_once() == visitors.AT_ONCE
    assert taken == [(256, 256), (visitors.AT_ONCE + visitors.DESCRIPTORS_KEPT, 100_000)]


def test_a_network_counts_as_one() -> None:
    one, other, elsewhere = (
        IPv6Address("TCP", f"2001:db8:0:{net}::{host}", 5) for net, host in ((1, 1), (1, 9), (2, 1))
    )
    assert network_of(one) == network_of(other) != network_of(elsewhere)
    assert network_of(IPv4Address("TCP", "10.0.0.1", 5)) == "10.0.0.1"
    assert network_of(UNIXAddress("/door")) == ""


# ---- how long


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: lab\r\nX-A: "])
def test_a_head_that_does_not_end_is_cut_off_though_it_keeps_coming(site: Site, sent: bytes) -> None:
    wire = site.opened(sent)
    for _ in range(int(HEAD_SECONDS) - 1):
        site.clock.advance(1)
        site.send(b"a" if sent else b"")
    assert not wire.disconnected
    site.clock.advance(1)
    assert wire.disconnected


@pytest.mark.parametrize("session", [b"", COOKIE])
def test_a_body_that_does_not_come_is_refused_and_cut_off(site: Site, session: bytes) -> None:
    wire = site.opened(head(9, session) + b"a")
    site.clock.advance(BODY_SECONDS - 1)
    assert not wire.sent
    site.clock.advance(1)
    site.clock.advance(5)
    assert status(wire) == 408
    assert json.loads(wire.sent.split(b"\r\n\r\n", 1)[1])["code"] == "too_slow_to_send"
    site.clock.advance(bodies.LINGER_SECONDS)
    assert wire.disconnected


def test_a_body_that_comes_slowly_but_surely_is_taken(site: Site) -> None:
    wire = site.opened(head(4 * MIB, COOKIE))
    for _ in range(120):
        site.clock.advance(1)
        site.send(bytes(BYTES_A_SECOND))
    assert not wire.sent
    site.clock.advance(BODY_SECONDS + 5)
    assert status(wire) == 408


def test_a_connection_is_kept_for_the_next_request_but_not_for_ever(site: Site) -> None:
    wire = site.opened(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    site.clock.advance(2 * IDLE_SECONDS)  # of work on the answer
    site.factory.server.connected[-1].basic_error(400, b"Bad Request", "no")
    assert status(wire) == 400
    for _ in range(3):
        site.clock.advance(IDLE_SECONDS / 4)
        site.send(b"G")
    assert not wire.disconnected
    site.clock.advance(IDLE_SECONDS / 4)
    assert wire.disconnected


# ---- how much


@pytest.mark.parametrize("length", [ANONYMOUS_BYTES + 1, 4 * MIB, None])
def test_without_a_session_a_body_has_the_size_of_a_login(site: Site, length: int | None) -> None:
    wire = site.opened(head(length))
    if length is None:
        site.send(b"%x\r\n" % (ANONYMOUS_BYTES + 1) + bytes(ANONYMOUS_BYTES + 1) + b"\r\n")
    assert status(wire) == 401
    assert BoundedRequest.in_flight == 0


def test_a_login_needs_no_session(site: Site) -> None:
    wire = site.opened(head(300) + b"username=ada")
    assert not wire.sent


@pytest.mark.parametrize("length", [settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1, 300 * MIB])
def test_a_body_that_is_too_large_is_refused_before_it_comes(site: Site, length: int) -> None:
    assert status(site.opened(head(length, COOKIE))) == 413


def test_all_bodies_together_have_a_bound_and_whoever_is_over_it_comes_back_later(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "IN_FLIGHT_BYTES", 3 * MIB)
    for _ in range(3):
        assert not site.opened(head(4 * MIB, COOKIE) + bytes(MIB)).sent
    refused = site.opened(head(4 * MIB, COOKIE) + bytes(MIB))
    assert status(refused) == 503
    assert b"\r\nRetry-After: " in refused.sent
    assert b"\r\nTus-Resumable: 1.0.0\r\n" in refused.sent
    assert BoundedRequest.in_flight == 3 * MIB
    site.close_all()
    assert BoundedRequest.in_flight == 0
