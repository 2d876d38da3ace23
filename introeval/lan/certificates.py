"""A certificate authority of the lab's own, made once, and the certificate of the site that it signs.

    DATA_DIR/tls/
        authority.pem, authority.key    what devices trust, for ten years
        site.pem, site.key              what the site shows, for all names of the machine; made again in time

A device that trusts the authority trusts whatever it signs. So it can sign for the lab's network only: names of this
machine, and private addresses (RFC 1918, RFC 4193, link-local) beside those that the machine had when it was made. Its
key stays on this machine, readable by its owner alone.
"""

from __future__ import annotations

import ipaddress
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from introeval.embedded.locks import FileLock, wait_until

__all__ = ["Certificates", "UnusableCertificateError"]

AUTHORITY_DAYS = 3650
SITE_DAYS = 820  # iOS and macOS refuse certificates for more than 825 days
RENEWED_DAYS = 420  # before its end: a lab is started at least once a year
NEW_ONE = "Removing that folder makes a new one, which each device has to be told to trust."
LOCK_SECONDS = 10.0  # for another process that makes the same
BACKDATED = timedelta(days=2)  # a tablet's clock may be behind
PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10")
)
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


class UnusableCertificateError(Exception):
    """The certificates can't be used; the message says what fixes it."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Those of a folder, which need not be there."""

    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "authority.pem"

    @property
    def site(self) -> Path:
        """The site's certificate, followed by the authority's."""
        return self.folder / "site.pem"

    @property
    def site_key(self) -> Path:
        return self.folder / "site.key"

    def ensure(self, hosts: Sequence[str], *, now: datetime | None = None) -> list[str]:
        """Make what is missing, ends soon or lacks a name; returns the hosts that the authority can't sign for.

        Args:
            hosts: names and addresses as ALLOWED_HOSTS has them; a pattern (`*`, `.example.org`) is left out.

        Raises:
            UnusableCertificateError: what is there can't be read, or has ended.
        """
        now = now or datetime.now(UTC)
        wanted = [name for host in hosts if (name := _general_name(host)) is not None]
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(self.folder / "lock") as alone:
                wait_until(alone.take, LOCK_SECONDS)
                signed = self._ensure(wanted, now)
        except OSError as error:
            raise UnusableCertificateError(f"{self.folder} can't be used: {error}. Correct its rights.") from error
        return [str(name.value) for name in wanted if name not in signed]

    def _ensure(self, wanted: Sequence[x509.GeneralName], now: datetime) -> list[x509.GeneralName]:
        if not self.authority.exists():
            self._make_authority(wanted, now)
        authority, key = self._read_authority()
        if authority.not_valid_after_utc <= now:
            raise UnusableCertificateError(f"The authority in {self.folder} has ended. {NEW_ONE}")
        signed = [name for name in wanted if _may_sign(authority, name)]
        if not self._is_good(authority, signed, now):
            self._make_site(authority, key, signed, now)
        return signed

    def fingerprint(self) -> str:
        """The authority's SHA-256, as devices show it when they are asked to trust it: `AB:CD:…`."""
        found = x509.load_pem_x509_certificate(self.authority.read_bytes()).fingerprint(hashes.SHA256())
        return found.hex(":").upper()

    def stamp(self) -> tuple[int, ...]:
        """Another one whenever the site's files were written; all 0: they are not there."""
        return tuple(_written_at(path) for path in (self.site, self.site_key))

    def ends_at(self) -> datetime | None:
        """When the site's certificate ends; None: there is none that can be read."""
        with suppress(OSError, ValueError):
            return x509.load_pem_x509_certificate(self.site.read_bytes()).not_valid_after_utc
        return None

    def _make_authority(self, wanted: Sequence[x509.GeneralName], now: datetime) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "IntroEval"),
                # With its date: a machine that was set up again has another one, and devices list both.
                x509.NameAttribute(NameOID.COMMON_NAME, f"IntroEval lab {os.uname().nodename[:30]} {now:%Y-%m-%d}"),
            ]
        )
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(now + timedelta(days=AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.NameConstraints(_permitted(wanted), None), critical=True)
            .sign(key, hashes.SHA256())
        )
        # The key first: an authority without one would be trusted for nothing.
        _write(self.folder / "authority.key", _pem_of(key), mode=0o600)
        _write(self.authority, made.public_bytes(serialization.Encoding.PEM), mode=0o644)

    def _read_authority(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        try:
            authority = x509.load_pem_x509_certificate(self.authority.read_bytes())
            key = serialization.load_pem_private_key((self.folder / "authority.key").read_bytes(), None)
        except ValueError as error:
            words = f"The authority in {self.folder} can't be read ({error}). Restore it from a backup. {NEW_ONE}"
            raise UnusableCertificateError(words) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != authority.public_key():
            raise UnusableCertificateError(f"authority.key in {self.folder} is not the key of authority.pem.")
        return authority, key

    def _is_good(self, authority: x509.Certificate, signed: Sequence[x509.GeneralName], now: datetime) -> bool:
        try:
            site = x509.load_pem_x509_certificate(self.site.read_bytes())
            key = serialization.load_pem_private_key(self.site_key.read_bytes(), None)
            site.verify_directly_issued_by(authority)
            names = site.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (
            Exception
        ):  # cryptography has one for each way in which it can be wrong, and for all of them it is made anew
            return False
        # A new one would end with the authority, too.
        least = min(now + timedelta(days=RENEWED_DAYS), authority.not_valid_after_utc)
        in_time = site.not_valid_before_utc <= now and least <= site.not_valid_after_utc
        return in_time and key.public_key() == site.public_key() and set(signed) <= set(names)

    def _make_site(
        self,
        authority: x509.Certificate,
        authority_key: ec.EllipticCurvePrivateKey,
        signed: Sequence[x509.GeneralName],
        now: datetime,
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        end = min(now + timedelta(days=SITE_DAYS), authority.not_valid_after_utc)
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "IntroEval")]))
            .issuer_name(authority.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(signed), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
            .sign(authority_key, hashes.SHA256())
        )
        chain = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in (made, authority))
        _write(self.site_key, _pem_of(key), mode=0o600)
        _write(self.site, chain, mode=0o644)  # died in between: the two do not fit, and are made again


def _written_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _general_name(host: str) -> x509.GeneralName | None:
    if "*" in host or host.startswith(".") or not host.isascii():
        return None
    try:
        return x509.IPAddress(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return x509.DNSName(host.rstrip(".").lower())


def _permitted(wanted: Sequence[x509.GeneralName]) -> list[x509.GeneralName]:
    """What an authority made now can sign for: the private networks, and each name and other address of the machine."""
    names = [name for name in wanted if isinstance(name, x509.DNSName)]
    outside = [
        x509.IPAddress(ipaddress.ip_network(name.value))
        for name in wanted
        if isinstance(name, x509.IPAddress) and not _is_private(name)
    ]
    return [*names, *(x509.IPAddress(network) for network in (*PRIVATE, *LOOPBACK)), *outside]


def _is_private(name: x509.IPAddress) -> bool:
    return any(_contains(network, name) for network in (*PRIVATE, *LOOPBACK))


def _may_sign(authority: x509.Certificate, name: x509.GeneralName) -> bool:
    permitted = authority.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
    if isinstance(name, x509.IPAddress):
        return any(_contains(each.value, name) for each in permitted if isinstance(each, x509.IPAddress))
    hosts = [each.value for each in permitted if isinstance(each, x509.DNSName)]
    return any(name.value == host or name.value.endswith(f".{host}") for host in hosts)


def _contains(network: object, name: x509.IPAddress) -> bool:
    assert isinstance(network, ipaddress.IPv4Network | ipaddress.IPv6Network)
    assert isinstance(name.value, ipaddress.IPv4Address | ipaddress.IPv6Address)
    return name.value.version == network.version and name.value in network


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, *, mode: int) -> None:
    """Whole or not at all, and never readable by others before it has its mode."""
    fd, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, mode)
            file.write(content)
            file.flush()
            os.fsync(fd)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
