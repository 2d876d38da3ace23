"""What is broken at the moment, as files in one folder: every process of a rehearsal sees the same."""

from __future__ import annotations

from pathlib import Path

from queueing.exceptions import Infrastructure


class Trouble:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def begin(self, what: str) -> None:
        (self.folder / what).touch()

    def end(self, what: str) -> None:
        (self.folder / what).unlink(missing_ok=True)

    def refuse(self, what: str, code: str) -> None:
        """
        Raises:
            Infrastructure: `what` is broken.
        """
        if (self.folder / what).exists():
            raise Infrastructure(f"rehearsed: {what}", code=code)

    def once(self, what: str) -> bool:
        """Whether it was there; whoever asks first takes it away."""
        try:
            (self.folder / what).unlink()
        except FileNotFoundError:
            return False
        return True
