"""Where the services of one DATA_DIR live, and as whom they run."""

from __future__ import annotations

import errno
import hashlib
import os
import pwd
import stat
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from introeval.embedded.errors import EmbeddedError, explained, user_name

# PostgreSQL refuses to run as root. The first of these that the machine has is used then; an operator who wants an
# account for nothing else makes `introeval`. `nobody` is on every machine.
SERVICE_ACCOUNTS = ("introeval", "postgres", "nobody")

# A socket's path has at most 107 bytes, and every process must come to the same one whatever its TMPDIR or
# XDG_RUNTIME_DIR: so neither DATA_DIR nor those.
SOCKETS_BASE = Path("/tmp")  # noqa: S108 (owner and mode of what is below are checked)


@dataclass(frozen=True)
class Account:
    uid: int
    gid: int

    @property
    def ids(self) -> tuple[int, int]:
        return self.uid, self.gid

    def may_enter(self, path: Path) -> bool:
        """Whether the permission bits let this account through to `path`; access lists are not looked at."""
        return all(self._allowed(parent.stat(), 0o1) for parent in path.resolve().parents)

    def may_run(self, program: Path) -> bool:
        return self._allowed(program.stat(), 0o5)

    def _allowed(self, facts: os.stat_result, bits: int) -> bool:
        shift = 6 if facts.st_uid == self.uid else 3 if facts.st_gid == self.gid else 0
        return (facts.st_mode >> shift) & bits == bits


def _owner_of(path: Path) -> Account | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return Account(facts.st_uid, facts.st_gid)


@dataclass(frozen=True)
class ServiceLayout:
    """The directories and accounts of one DATA_DIR. Looking at it touches nothing."""

    data_dir: Path  # resolved

    @cached_property
    def owner(self) -> Account:
        """Who owns DATA_DIR: root works on behalf of its owner, so that `sudo` once does not lock a user out."""
        if os.geteuid() == 0:
            return _owner_of(self.data_dir) or Account(0, 0)
        return Account(os.geteuid(), os.getegid())

    @cached_property
    def account(self) -> Account:
        """As whom the servers run: never root.

        Raises:
            EmbeddedError: this machine has no account to run them as.
        """
        if self.owner.uid != 0:
            return self.owner
        before = _owner_of(self.cluster)
        return before if before is not None and before.uid != 0 else _service_account()

    @property
    def cluster(self) -> Path:
        return self.data_dir / "postgres"

    @property
    def services(self) -> Path:
        """Locks and logs."""
        return self.data_dir / "services"

    @cached_property
    def sockets(self) -> Path:
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:12]
        return SOCKETS_BASE / f"introeval-{self.owner.uid}" / digest

    def prepare(self) -> None:
        """Make the directories below DATA_DIR.

        Raises:
            EmbeddedError: DATA_DIR is unusable.
        """
        with explained(self.data_dir):
            # 0711: the servers' account must get through, nobody else need see what is in it.
            self.data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
            _make(self.services, owner=self.owner, mode=0o700)
            if not os.access(self.data_dir, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.data_dir))

    def open_sockets(self) -> None:
        """Make the sockets' directory.

        Raises:
            EmbeddedError: somebody else was first in its place.
        """
        with explained(self.sockets):
            _make(self.sockets.parent, owner=self.owner, mode=0o711)
            _make(self.sockets, owner=self.account, mode=0o700)

    def close_sockets(self) -> None:
        """Leave nothing in /tmp, except what is not empty or somebody else's."""
        with suppress(OSError):
            if self.sockets.lstat().st_uid == self.account.uid:
                self.sockets.rmdir()
                self.sockets.parent.rmdir()


def _service_account() -> Account:
    for name in SERVICE_ACCOUNTS:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(found.pw_uid, found.pw_gid)
    raise EmbeddedError(
        "PostgreSQL can't run as root, and this machine has none of the accounts " + ", ".join(SERVICE_ACCOUNTS) + ".",
        fix="`useradd --system introeval`, start it as an ordinary user, or set DATABASE_URL and REDIS_URL",
    )


def _make(path: Path, *, owner: Account, mode: int) -> None:
    """A directory of `owner` with that mode, made or found.

    Raises:
        EmbeddedError: it belongs to somebody else or is no directory; what is in it can't be trusted.
    """
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    facts = path.lstat()
    mine = {owner.uid, os.geteuid()}  # our own: root was killed between making it and giving it away
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid not in mine:
        raise EmbeddedError(
            f"{path} belongs to {user_name(facts.st_uid)}, so nothing in it can be trusted.",
            fix=f"`sudo rm -r {path}`, then start again",
        )
    if facts.st_uid != owner.uid:
        os.chown(path, *owner.ids, follow_symlinks=False)
    if stat.S_IMODE(facts.st_mode) != mode:
        path.chmod(mode)
