"""Who may be connected, how many at once and for how long, where no nginx stands in front of the server.

A connection costs a descriptor, and what it has sent of a body costs memory, before anything is known of who it is.
"""

from __future__ import annotations

import ipaddress
import resource
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import structlog
from daphne import http_protocol, server

log = structlog.get_logger(__name__)

PER_ADDRESS: Final = 300  # a class of thirty behind one address: six connections and a socket for each, and then some
AT_ONCE: Final = 2000
DESCRIPTORS_KEPT: Final = 128  # for the database, the broker, files
HEAD_SECONDS: Final = 20.0  # for a connection's first request until its body begins
IDLE_SECONDS: Final = 75.0  # the same for each further one, from the answer before it on
SAID_EVERY_SECONDS: Final = 60.0


def most_at_once() -> int:
    """AT_ONCE, or as many as there are descriptors for. Takes all descriptors that this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = AT_ONCE + DESCRIPTORS_KEPT
    if soft < wanted:
        soft = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(AT_ONCE, soft - DESCRIPTORS_KEPT))


class Visitors:
    """How many connections there are, of whom."""

    def __init__(self, *, at_once: int, per_address: int | None) -> None:
        """`per_address`: None where all come from one address, a proxy's."""
        self.at_once = at_once
        self.per_address = per_address
        self.of: Counter[str] = Counter()
        self._said_at = -SAID_EVERY_SECONDS

    def admit(self, address: str) -> bool:
        """Count one in, unless there are too many; then log it, once in a while."""
        too_many = self.of[address] >= self.per_address if self.per_address else False
        if too_many or self.of.total() >= self.at_once:
            if time.monotonic() - self._said_at >= SAID_EVERY_SECONDS:
                self._said_at = time.monotonic()
                log.warning("too_many_connections", of_all=self.of.total(), of_one_address=self.of[address])
            return False
        self.of[address] += 1
        return True

    def leave(self, address: str) -> None:
        self.of[address] -= 1
        if not self.of[address]:
            del self.of[address]


def network_of(peer: Any) -> str:
    """The peer's address; of an IPv6 one its network, since everybody has as many of those as they like."""
    try:
        address = ipaddress.ip_address(getattr(peer, "host", ""))
    except ValueError:
        return ""  # a Unix socket: a proxy's
    return str(address) if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))


class BoundedFactory(http_protocol.HTTPFactory):  # type: ignore[misc]  # daphne has no types
    """Makes no protocol for one connection too many, which closes it, and cuts off those that take too long to ask."""

    clock: Any = server.reactor

    def __init__(self, server: Any) -> None:
        super().__init__(server)
        behind_proxy = server.proxy_forwarded_address_header is not None
        self.visitors = Visitors(at_once=most_at_once(), per_address=None if behind_proxy else PER_ADDRESS)

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802 - Twisted's name
        network = network_of(addr)
        if not self.visitors.admit(network):
            return None
        protocol = super().buildProtocol(addr)
        make = protocol.makeConnection

        def make_watched(transport: Any) -> None:
            transport.patience = Patience(self.clock, transport.abortConnection, HEAD_SECONDS)
            lost = transport.connectionLost  # of the transport: its protocol may become a WebSocket's

            def leave(*args: Any) -> None:
                transport.patience.end()
                self.visitors.leave(network)
                lost(*args)

            transport.connectionLost = leave
            make(transport)

        protocol.makeConnection = make_watched
        return protocol


class Patience:
    """Calls `give_up` after so many seconds, unless it was ended or begun anew before."""

    def __init__(self, clock: Any, give_up: Callable[[], object], seconds: float) -> None:
        self.clock = clock
        self._give_up = give_up
        self._call = clock.callLater(seconds, give_up)

    def begin(self, seconds: float) -> None:
        self.end()
        self._call = self.clock.callLater(seconds, self._give_up)

    def end(self) -> None:
        if self._call.active():
            self._call.cancel()
