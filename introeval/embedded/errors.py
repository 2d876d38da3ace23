"""Errors of the embedded services, with what fixes them."""

from __future__ import annotations

import errno
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


class EmbeddedError(Exception):
    """An embedded service can't run. `fix` is what to do about it: a command wherever there is one."""

    def __init__(self, message: str, *, fix: str) -> None:
        super().__init__(message)
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.args[0]}\n  To fix it: {self.fix}"


def user_name(uid: int) -> str:
    """The account's name, or its number where it has none (common in containers)."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def disk_full(data_dir: Path) -> EmbeddedError:
    return EmbeddedError(
        f"The disk that holds DATA_DIR ({data_dir}) is full.",
        fix=f"free some space (`du -xsh {data_dir}/*` shows what is in it), or set DATA_DIR to a larger disk",
    )


def not_writable(path: Path) -> EmbeddedError:
    return EmbeddedError(
        f"DATA_DIR can't be used: {user_name(os.geteuid())} may not write to {path}.",
        fix=f'`sudo chown -R "$(id -un)" {path}`, or choose another place with DATA_DIR=DIR',
    )


def missing_wheel(what: str, distribution: str, variable: str) -> EmbeddedError:
    return EmbeddedError(
        f"{what} is not installed: the package {distribution} is missing or has no build for this machine.",
        fix=f"`make setup`, or name a server of your own in {variable}",
    )


@contextmanager
def explained(data_dir: Path) -> Iterator[None]:
    """Turn an OSError from below `data_dir` into words.

    Raises:
        EmbeddedError: with the command that fixes it.
    """
    try:
        yield
    except OSError as error:
        where = Path(os.fsdecode(error.filename)) if error.filename else data_dir
        if error.errno in DISK_FULL:
            raise disk_full(data_dir) from error
        if data_dir not in (where, *where.parents) and where not in data_dir.parents:
            raise EmbeddedError(
                f"{user_name(os.geteuid())} can't use {where}: {error.strerror}.",
                fix=f"look at its permissions (`namei -l {where}`), or install where this user may read",
            ) from error
        if error.errno in NOT_WRITABLE:
            raise not_writable(where) from error
        raise EmbeddedError(
            f"DATA_DIR can't be used: {error.strerror or error} ({where}).",
            fix="name a directory that can be written to with DATA_DIR=DIR",
        ) from error
