"""The lab's own certificate authority: what it signs, for whom, for how long, and what becomes of a broken one."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from introeval.lan.certificates import RENEWED_DAYS, SITE_DAYS, Certificates, UnusableCertificateError

HOSTS = ["localhost", "127.0.0.1", "[::1]", "lab", "lab.local", "192.168.1.7", "[fd00::7]", "141.20.1.5"]
NOW = datetime(2026, 11, 30, tzinfo=UTC)


@pytest.fixture
def lab(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "tls")


def site_of(lab: Certificates) -> x509.Certificate:
    return x509.load_pem_x509_certificate(lab.site.read_bytes())


def names_in(lab: Certificates) -> set[str]:
    found = site_of(lab).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in found}


def verify(lab: Certificates, subject: x509.GeneralName, now: datetime = NOW) -> None:
    """As a browser does that trusts the authority."""
    authority = x509.load_pem_x509_certificate(lab.authority.read_bytes())
    policy = PolicyBuilder().store(Store([authority])).time(now + timedelta(hours=1))
    policy.build_server_verifier(subject).verify(site_of(lab), [])  # type: ignore[arg-type]


def test_a_device_that_trusts_the_authority_trusts_the_site_under_each_name(lab: Certificates) -> None:
    assert lab.ensure(HOSTS, now=NOW) == []
    assert names_in(lab) == {host.strip("[]") for host in HOSTS}
    for host in ("lab", "lab.local", "localhost"):
        verify(lab, x509.DNSName(host))
    ssl.create_default_context(cafile=str(lab.authority)).load_cert_chain(lab.site, lab.site_key)


def test_keys_are_their_owners_alone(lab: Certificates) -> None:
    lab.ensure(HOSTS, now=NOW)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (lab.folder, *lab.folder.glob("*.key"))}
    assert modes == {"tls": 0o700, "authority.key": 0o600, "site.key": 0o600}


def test_the_authority_can_vouch_for_this_lab_alone(lab: Certificates) -> None:
    """Whoever steals its key can't be a bank's site on thirty phones."""
    lab.ensure(HOSTS, now=NOW)
    assert lab.ensure([*HOSTS, "bank.example", "8.8.8.8"], now=NOW) == ["bank.example", "8.8.8.8"]
    assert names_in(lab) == {host.strip("[]") for host in HOSTS}
    authority = x509.load_pem_x509_certificate(lab.authority.read_bytes())
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert "bank.example" not in {str(name.value) for name in constraints.value.permitted_subtrees or ()}
    with pytest.raises(VerificationError):
        verify(lab, x509.DNSName("bank.example"))


def test_a_machine_that_gets_another_private_address_needs_no_new_authority(lab: Certificates) -> None:
    lab.ensure(HOSTS, now=NOW)
    trusted = lab.fingerprint()
    assert lab.ensure(["localhost", "10.3.2.1", "169.254.7.7", "[fe80::1]"], now=NOW) == []
    assert names_in(lab) == {"localhost", "10.3.2.1", "169.254.7.7", "fe80::1"} | {"localhost"}
    assert lab.fingerprint() == trusted


def test_nothing_is_made_again_before_its_time(lab: Certificates) -> None:
    lab.ensure(HOSTS, now=NOW)
    before = lab.site.read_bytes()
    lab.ensure(HOSTS[:3], now=NOW + timedelta(days=SITE_DAYS - RENEWED_DAYS - 1))
    assert lab.site.read_bytes() == before


@pytest.mark.parametrize("days", [SITE_DAYS - RENEWED_DAYS + 1, SITE_DAYS + 30, -3])
def test_a_certificate_near_its_end_or_of_another_time_is_made_again(days: int, lab: Certificates) -> None:
    lab.ensure(HOSTS, now=NOW)
    trusted, before = lab.fingerprint(), lab.site.read_bytes()
    then = NOW + timedelta(days=days)
    if days < 0:  # the clock was set back: the authority has not begun either, so it stays as it is
        then = NOW - timedelta(days=1)
        assert lab.ensure(HOSTS, now=then) == []
        assert lab.site.read_bytes() == before
        return
    lab.ensure(HOSTS, now=then)
    assert (lab.fingerprint(), lab.site.read_bytes() == before) == (trusted, False)
    verify(lab, x509.DNSName("lab"), then)


def test_phones_accept_how_long_it_is_valid(lab: Certificates) -> None:
    lab.ensure(HOSTS, now=NOW)
    site = site_of(lab)
    assert site.not_valid_after_utc - site.not_valid_before_utc <= timedelta(days=825)
    assert lab.ends_at() == site.not_valid_after_utc


def test_it_never_outlives_its_authority_and_an_ended_one_is_told_with_the_cure(lab: Certificates) -> None:
    lab.ensure(HOSTS, now=NOW)
    lab.ensure(HOSTS, now=NOW + timedelta(days=3600))
    assert lab.ends_at() == NOW + timedelta(days=3650)
    with pytest.raises(UnusableCertificateError, match="has ended"):
        lab.ensure(HOSTS, now=NOW + timedelta(days=3651))


@pytest.mark.parametrize("name", ["site.pem", "site.key"])
@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_lost_or_broken_site_certificate_is_made_again(name: str, content: bytes | None, lab: Certificates) -> None:
    lab.ensure(HOSTS, now=NOW)
    broken = lab.folder / name
    broken.unlink() if content is None else broken.write_bytes(content)
    lab.ensure(HOSTS, now=NOW)
    verify(lab, x509.DNSName("lab"))
    ssl.create_default_context().load_cert_chain(lab.site, lab.site_key)


@pytest.mark.parametrize("name", ["authority.pem", "authority.key"])
def test_a_broken_authority_is_never_replaced_silently(name: str, lab: Certificates) -> None:
    """Every device would have to be told again; a backup may have it."""
    lab.ensure(HOSTS, now=NOW)
    (lab.folder / name).write_bytes(b"")
    with pytest.raises(UnusableCertificateError, match="Restore it from a backup"):
        lab.ensure(HOSTS, now=NOW)


def test_the_key_of_another_authority_is_noticed(lab: Certificates, tmp_path: Path) -> None:
    lab.ensure(HOSTS, now=NOW)
    other = Certificates(tmp_path / "other")
    other.ensure(HOSTS, now=NOW)
    (lab.folder / "authority.key").write_bytes((other.folder / "authority.key").read_bytes())
    with pytest.raises(UnusableCertificateError, match="is not the key of"):
        lab.ensure(HOSTS, now=NOW)


def test_a_folder_that_can_not_be_used_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnusableCertificateError, match="can't be used"):
        Certificates(tmp_path / "file" / "tls").ensure(HOSTS, now=NOW)


def test_patterns_and_names_that_no_certificate_can_hold_are_left_out(lab: Certificates) -> None:
    assert lab.ensure(["localhost", "*", ".example.org", "schüler"], now=NOW) == []
    assert names_in(lab) == {"localhost"}
