"""A certificate that was made anew is shown to the next visitor."""

from __future__ import annotations

import errno
import ipaddress
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from django.conf import settings
from OpenSSL import SSL
from pytest_django import Settings
from twisted.internet.task import Clock

from introeval.lan import addresses
from introeval.lan.certificates import Certificates
from introeval.management.commands.up import LabNetwork, tls_endpoint
from introeval.serving import tls
from introeval.serving.tls import LOOK_SECONDS, LiveCertificate

# Twisted's own.
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")

LONG_AGO = datetime.now(UTC) - timedelta(days=500)


@pytest.fixture
def lab(settings: Settings, tmp_path: Path) -> Certificates:
    settings.LAB, settings.DATA_DIR, settings.ALLOWED_HOSTS = True, tmp_path, ["localhost"]
    made = Certificates(tmp_path / "tls")
    made.ensure(["localhost", *addresses.names()], now=LONG_AGO)
    return made


def live(lab: Certificates, clock: Clock) -> LiveCertificate:
    """As daphne listens by the words of `up`, without listening."""
    endpoint: Any = tls.endpoint(clock, tls_endpoint("127.0.0.1", 8443, lab))
    found = endpoint._sslContextFactory
    assert isinstance(found, LiveCertificate)
    return found


def shown(certificate: LiveCertificate, lab: Certificates) -> x509.Certificate:
    """What a browser that trusts the lab is shown, hands shaken in memory."""
    trusting = ssl.create_default_context(cafile=str(lab.authority))
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server, server_hostname="localhost")
    server = SSL.Connection(certificate.getContext())
    server.set_accept_state()
    for _ in range(4):
        for shake, waits in ((client.do_handshake, ssl.SSLWantReadError), (server.do_handshake, SSL.WantReadError)):
            with suppress(waits):
                shake()
            if data := to_server.read():
                server.bio_write(data)
            with suppress(SSL.WantReadError):
                to_client.write(server.bio_read(65_536))
    found = client.getpeercert(binary_form=True)
    assert found
    return x509.load_der_x509_certificate(found)


def test_the_next_visitor_is_shown_the_new_one(lab: Certificates) -> None:
    certificate = live(lab, Clock())
    before = shown(certificate, lab)
    assert not certificate.look()
    lab.ensure(["localhost"])
    assert shown(certificate, lab) == before
    assert certificate.look()
    after = shown(certificate, lab)
    assert after.not_valid_after_utc - before.not_valid_after_utc > timedelta(days=400)
    assert not certificate.look()


def test_the_site_looks_by_itself(lab: Certificates) -> None:
    clock = Clock()
    certificate = live(lab, clock)
    before = shown(certificate, lab)
    lab.ensure(["localhost"])
    clock.advance(LOOK_SECONDS + 1)
    assert shown(certificate, lab) != before


def test_a_pair_that_does_not_fit_is_not_shown(lab: Certificates) -> None:
    certificate = live(lab, Clock())
    before, key = shown(certificate, lab), lab.site_key.read_bytes()
    lab.ensure(["localhost"])
    right = lab.site_key.read_bytes()
    lab.site_key.write_bytes(key)  # as while it is being written
    assert not certificate.look()
    assert shown(certificate, lab) == before
    lab.site_key.write_bytes(right)
    assert certificate.look()
    assert shown(certificate, lab) != before


def test_another_address_gets_a_certificate_and_is_told(lab: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    at = ["192.168.1.7"]
    monkeypatch.setattr(addresses, "_all", lambda: iter([ipaddress.ip_address(at[0])]))
    said: list[str] = []
    clock = [0.0]
    network = LabNetwork(say=said.append, clock=lambda: clock[0])
    clock[0] += 60
    assert not network.look()
    assert "192.168.1.7" in settings.ALLOWED_HOSTS
    at[0] = "192.168.1.99"
    assert not network.look()  # not at every turn
    clock[0] += 60
    assert network.look()
    assert "192.168.1.99" in settings.LAB_URL
    assert {"192.168.1.7", "192.168.1.99"} <= set(settings.ALLOWED_HOSTS)
    names = x509.load_pem_x509_certificate(lab.site.read_bytes()).extensions
    found = names.get_extension_for_class(x509.SubjectAlternativeName).value
    assert at[0] in {str(name.value) for name in found}
    clock[0] += 60
    assert not network.look()
    at[0] = "141.20.1.5"  # for which the authority may not sign: said once
    for _ in range(3):
        clock[0] += 60
        network.look()
    assert [words for words in said if "141.20.1.5" in words] == said
    assert len(said) == 1


def test_an_address_that_nobody_is_told_needs_no_certificate(
    lab: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IPv6 changes those of each day, and signs for none that is not private."""
    at = ["192.168.1.7", "2001:db8::1"]
    monkeypatch.setattr(addresses, "_all", lambda: map(ipaddress.ip_address, at))
    said: list[str] = []
    clock = [0.0]
    network = LabNetwork(say=said.append, clock=lambda: clock[0])
    for day in range(3):
        at[1] = f"2001:db8::{day}"
        clock[0] += 60
        network.look()
    assert said == []
    at.reverse()
    clock[0] += 60
    assert network.look()
    assert said == ["ALERT: The lab's authority can't vouch for 2001:db8::2."]


def test_where_addresses_can_not_be_read_the_lab_goes_on_and_looks_again(
    lab: Certificates, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    at, short = "192.168.1.7", [False]

    def read() -> list[ipaddress.IPv4Address]:
        if short[0]:
            raise OSError(errno.EMFILE, "Too many open files")
        return [ipaddress.IPv4Address(at)]

    monkeypatch.setattr(addresses, "_all", read)
    said: list[str] = []
    clock, reactor = [0.0], Clock()
    network, certificate = LabNetwork(say=said.append, clock=lambda: clock[0]), live(lab, reactor)
    short[0] = True
    for _ in range(2):
        clock[0] += 60
        assert not network.look()
        reactor.advance(LOOK_SECONDS)
    assert [words for words in said if "Too many open files" in words] == said
    assert len(said) == 1
    assert "not looked at" in caplog.text
    short[0], at = False, "192.168.1.99"
    clock[0] += 60
    assert network.look()
    before = certificate.context
    reactor.advance(LOOK_SECONDS)
    assert certificate.context is not before
    assert "192.168.1.99" in settings.LAB_URL


def test_it_is_renewed_while_the_lab_runs(lab: Certificates) -> None:
    clock = [0.0]
    network = LabNetwork(say=print, clock=lambda: clock[0])
    ends_at = lab.ends_at()
    clock[0] += 4000
    network.look()
    now_ends_at = lab.ends_at()
    assert ends_at
    assert now_ends_at
    assert now_ends_at - ends_at > timedelta(days=400)
