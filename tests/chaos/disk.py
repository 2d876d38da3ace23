"""A real folder whose calls are watched, with a machine that dies before any of them.

A power cut takes back what no fsync has confirmed: the last renames, new names and removals of each folder, and the
ends of files.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from django.db import connection

from tests.chaos.scheduler import Killed, Scheduler

PIECE_BYTES = 1000
OTHER_FILE_SYSTEM = OSError(18, "Invalid cross-device link")


@dataclass
class Change:
    """Something done to a folder that only its fsync makes last."""

    folder: Path
    undo: Callable[[], object]


@dataclass
class Disk:
    """Counts the calls, and decides at each whether the machine dies before it."""

    scheduler: Scheduler
    crash_chance: float
    unsure: list[Change] = field(default_factory=list)
    unwritten: set[Path] = field(default_factory=set)  # files with bytes that no fsync has confirmed
    dead: bool = False

    def step(self, place: str) -> None:
        if self.dead:
            raise Killed  # no `except` or `finally` of a dead process tidies up
        self.scheduler.steps += 1
        self.scheduler.trace.append(place)
        if self.scheduler.chance.random() < self.crash_chance:
            self.dead = True
            raise Killed

    def cut_power(self) -> None:
        chance = self.scheduler.chance
        for folder in sorted({change.folder for change in self.unsure}):
            changes = [change for change in self.unsure if change.folder == folder]
            for change in reversed(changes[chance.randint(0, len(changes)) :]):
                with suppress(OSError):  # what it was on is lost as well
                    change.undo()
        for path in sorted(self.unwritten):
            if path.is_file():
                os.truncate(path, chance.randint(0, path.stat().st_size))
        self.unsure.clear()
        self.unwritten.clear()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within, every call of this process to change a file or query the database is one of the disk's steps."""
        self.dead = False
        with ExitStack() as patches:
            for name in ("rename", "unlink", "mkdir", "fsync"):
                patches.enter_context(patch.object(os, name, getattr(self, f"_{name}")(getattr(os, name))))
            patches.enter_context(patch.object(shutil, "copyfileobj", self._copy))
            patches.enter_context(connection.execute_wrapper(self._statement))
            yield

    def _copy(self, source: Any, target: Any, length: int = 0) -> None:
        """In small pieces, so that there is something to be torn."""
        self.unwritten.add(Path(target.name))
        while piece := source.read(PIECE_BYTES):
            self.step("write")
            target.write(piece)
            target.flush()

    def _rename(self, rename: Any) -> Any:
        def watched(source: Path, target: Path) -> None:
            self.step(f"rename to {target.name}")
            if source.parent.name == "uploads" and self.scheduler.chance.random() < 0.3:
                raise OTHER_FILE_SYSTEM
            rename(source, target)
            if source in self.unwritten:
                self.unwritten = self.unwritten - {source} | {target}
            self.unsure.append(Change(target.parent, lambda: rename(target, source)))

        return watched

    def _unlink(self, unlink: Any) -> Any:
        def watched(path: Path) -> None:
            self.step(f"unlink {path.name}")
            content = path.read_bytes() if path.is_file() else b""
            unlink(path)
            self.unsure.append(Change(path.parent, lambda: path.write_bytes(content)))

        return watched

    def _mkdir(self, mkdir: Any) -> Any:
        def watched(path: Path, mode: int = 0o777) -> None:
            self.step("mkdir")
            mkdir(path, mode)
            self.unsure.append(Change(path.parent, lambda: shutil.rmtree(path)))

        return watched

    def _fsync(self, fsync: Any) -> Any:
        def watched(descriptor: int) -> None:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            self.step(f"fsync {path.name}")
            self.unwritten.discard(path)
            self.unsure = [change for change in self.unsure if change.folder != path]

        return watched

    def _statement(self, execute: Any, sql: str, params: Sequence[Any], many: bool, context: dict[str, Any]) -> Any:
        self.step(sql.split(None, 1)[0].lower())
        return execute(sql, params, many, context)
