"""What this machine is called and reached by on its network."""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

__all__ = ["best", "hosts", "https_url", "names", "numbers"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

SIOCGIFADDR = 0x8915  # linux/sockios.h: the IPv4 address of an interface
# To addresses of documentation (RFC 5737, RFC 3849): connecting a datagram socket chooses a route and sends nothing.
SOMEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)  # this process or machine has no socket left
LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]  # as Django's ALLOWED_HOSTS has them


def names() -> list[str]:
    """The machine's own name and the one that multicast DNS gives it (`name.local`), in lower case.

    What a school's name server calls it is not asked for: one that does not answer would hold up every start. Such a
    name belongs into ALLOWED_HOSTS.
    """
    own = socket.gethostname().lower().rstrip(".")
    short = own.partition(".")[0]
    return [name for name in dict.fromkeys((short, f"{short}.local", own)) if _is_host(name) and name not in LOOPBACK]


def numbers() -> list[Address]:
    """The addresses that others reach the machine by, the one of its default route first.

    Raises:
        OSError: they can't be read now.
    """
    found = [address for address in _all() if not (address.is_loopback or address.is_link_local)]
    return [*dict.fromkeys(found)]


def best() -> str:
    """The host that a person is told: the address of the default route, as names need a name server that knows them."""
    found = numbers()
    return in_url(found[0]) if found else "127.0.0.1"


def hosts() -> list[str]:
    """All of them as Django's ALLOWED_HOSTS wants them, those of the machine itself included."""
    return [*LOOPBACK, *names(), *(in_url(address) for address in numbers())]


def https_url(host: str, port: int) -> str:
    """The address of a site; the usual port is left out, as browsers do."""
    return f"https://{host}{'' if port == 443 else f':{port}'}/"


def in_url(address: Address) -> str:
    return f"[{address}]" if address.version == 6 else str(address)


def _is_host(name: str) -> bool:
    return (
        bool(name) and len(name) <= 253 and all(part and part.replace("-", "a").isalnum() for part in name.split("."))
    )


def _all() -> Iterator[Address]:
    for family, somewhere in SOMEWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as asked:
                asked.connect((somewhere, 9))
                yield ipaddress.ip_address(asked.getsockname()[0])
        except OSError as error:  # no route, or nothing at all of this kind
            if error.errno in SHORT:
                raise
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # it has none
                answer = fcntl.ioctl(asked, SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                yield ipaddress.ip_address(answer[20:24])
