"""Outages that are active now, as files in one folder: every process of a rehearsal sees the same."""

from __future__ import annotations

from pathlib import Path

from queueing.exceptions import Infrastructure


class Outages:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def start(self, what: str) -> None:
        (self.folder / what).touch()

    def end(self, what: str) -> None:
        (self.folder / what).unlink(missing_ok=True)

    def raise_if_active(self, what: str, code: str) -> None:
        """
        Raises:
            Infrastructure: the outage `what` is active.
        """
        if (self.folder / what).exists():
            raise Infrastructure(f"rehearsed: {what}", code=code)

    def take_once(self, what: str) -> bool:
        """Whether it was active; the first caller ends it."""
        try:
            (self.folder / what).unlink()
        except FileNotFoundError:
            return False
        return True
