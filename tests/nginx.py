"""nginx with the files of deploy/, as a process of its own in which only ports and paths differ."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.crowd import free_port

DEPLOY: Final = Path(__file__).parents[1] / "deploy"
PROGRAM: Final = shutil.which(
    "nginx", path=f"{os.environ['PATH']}:/usr/sbin"
)  # where users who are not root don't look
START_SECONDS: Final = 20.0

# What Debian's /etc/nginx/nginx.conf has around a file in conf.d, as far as it matters. Root must say whose the workers
# are: others than root could not enter a test's folder.
AROUND: Final = """\
daemon off;
{user}
worker_processes 2;
pid nginx.pid;
events {{ worker_connections 768; }}
http {{
    default_type application/octet-stream;
    access_log off;
    gzip on;
    ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include conf.d/*.conf;
}}
"""


@dataclass(frozen=True)
class Nginx:
    """Where it listens; `certificate` is the file to trust for `tls_port`."""

    port: int
    tls_port: int
    certificate: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"https://127.0.0.1:{self.tls_port}"


@contextmanager
def nginx_before(site_port: int, folder: Path, *, tls: bool = False) -> Iterator[Nginx]:
    """nginx while the block lasts, before the site that listens on `site_port` of this machine."""
    assert PROGRAM, "there is no nginx here: sudo make nginx"
    included = folder / "introeval.d"
    nginx = Nginx(free_port(), free_port(), included / "fullchain.pem")
    changes = {
        "listen 80 ": f"listen 127.0.0.1:{nginx.port} ",
        "listen 443 ": f"listen 127.0.0.1:{nginx.tls_port} ",
        "server 127.0.0.1:8000;": f"server 127.0.0.1:{site_port};",
        "/etc/nginx/": f"{folder}/",
    }
    for path in (folder / "conf.d", included):
        path.mkdir(parents=True)
    (folder / "nginx.conf").write_text(AROUND.format(user="user root;" if os.geteuid() == 0 else ""))
    _install("nginx.conf", folder / "conf.d" / "introeval.conf", changes)
    _install("nginx-upstream.conf", folder / "conf.d" / "introeval-upstream.conf", changes)
    if tls:
        _certify(included)
        _install("nginx-tls.conf", included / "tls.conf", changes)
    log = folder / "error.log"
    command = [PROGRAM, "-e", str(log), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _listens(nginx.port):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)
            yield nginx
        finally:
            process.terminate()


def _install(name: str, place: Path, changes: dict[str, str]) -> None:
    text = (DEPLOY / name).read_text()
    for shipped, here in changes.items():
        text = text.replace(shipped, here)
    place.write_text(text)


def _listens(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


def _certify(folder: Path) -> None:
    """A certificate for 127.0.0.1 that vouches for itself, good for an hour. What makes it came with daphne."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "introeval")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "fullchain.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "privkey.pem").write_bytes(private)
