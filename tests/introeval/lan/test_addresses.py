"""What the machine is called and reached by."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from contextlib import nullcontext

import pytest

from introeval.lan import addresses


@pytest.mark.parametrize(
    ("hostname", "names"),
    [
        ("lab", ["lab", "lab.local"]),
        ("Lab-PC7", ["lab-pc7", "lab-pc7.local"]),
        ("pc7.school.example", ["pc7", "pc7.local", "pc7.school.example"]),
        ("localhost", ["localhost.local"]),
        ("", []),
        ("a b", []),
        ("lab_7", []),
    ],
)
def test_names(hostname: str, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: hostname)
    assert addresses.names() == names


def found(monkeypatch: pytest.MonkeyPatch, *numbers: str) -> None:
    monkeypatch.setattr(addresses, "_all", lambda: map(ipaddress.ip_address, numbers))


def test_what_only_the_machine_itself_can_use_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, "192.168.1.7", "127.0.0.1", "fe80::1", "169.254.1.1", "10.0.0.2", "192.168.1.7", "fd00::2")
    assert [*map(str, addresses.numbers())] == ["192.168.1.7", "10.0.0.2", "fd00::2"]
    assert addresses.best() == "192.168.1.7"
    assert addresses.hosts()[-1] == "[fd00::2]"


def test_a_machine_without_a_network_is_there_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, "127.0.0.1")
    assert addresses.best() == "127.0.0.1"
    assert set(addresses.LOOPBACK) <= set(addresses.hosts())


def test_this_machines_own_are_read_without_sending_anything() -> None:
    for address in addresses.numbers():
        with socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6) as own:
            own.bind((str(address), 0))  # only an address of this machine can be


@pytest.mark.parametrize(("code", "is_short"), [(errno.EMFILE, True), (errno.EAFNOSUPPORT, False)])
def test_a_process_without_a_socket_left_is_not_taken_for_a_machine_without_a_network(
    code: int, is_short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, made = [OSError(code, os.strerror(code))], socket.socket

    def make(*arguments: int) -> socket.socket:
        if once:
            raise once.pop()
        return made(*arguments)

    monkeypatch.setattr(socket, "socket", make)
    with pytest.raises(OSError, match=os.strerror(code)) if is_short else nullcontext():
        addresses.numbers()
