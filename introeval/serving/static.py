"""Static files as `collectstatic` leaves them: compressed, and under names that change with their content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.contrib.staticfiles.finders import get_finders
from whitenoise.storage import CompressedManifestStaticFilesStorage

__all__ = ["StaticFiles"]

STAMP = "collected.sha256"
# Not Django's own pattern for modules: it also follows what packages import only under a build tool.
OUR_IMPORTS = (r"""(?P<matched>from\s+"(?P<url>\.{1,2}/[^"]+\.js)")""", 'from "%(url)s"')


class StaticFiles(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Addresses of the collected files while those are what the packages hold; else plain ones.

    WhiteNoise serves plain addresses from the packages: a site works before anything is collected, and after an update
    that was not collected nobody gets yesterday's script with today's page.
    """

    # Without Django's pattern for source maps, which packages name and do not bring.
    patterns = (
        *(pattern for pattern in CompressedManifestStaticFilesStorage.patterns if pattern[0] == "*.css"),
        ("evaluations/*.js", (OUR_IMPORTS,)),
    )

    def is_current(self) -> bool:
        """Whether all was collected, of the very files that the packages hold now."""
        try:
            return self._stamp.read_text() == _fingerprint()
        except OSError:
            return False

    def read_manifest(self) -> str | None:
        return super().read_manifest() if self.is_current() else None

    def stored_name(self, name: str) -> str:
        return super().stored_name(name) if self.hashed_files else name

    def post_process(self, paths: dict[str, Any], dry_run: bool = False, **options: Any) -> Iterator[Any]:
        if not dry_run:  # a collection that is cut off leaves none that counts
            self._stamp.unlink(missing_ok=True)
        yield from super().post_process(paths, dry_run=dry_run, **options)
        if not dry_run:
            self._stamp.write_text(_fingerprint())

    @property
    def _stamp(self) -> Path:
        return Path(self.location) / STAMP


def _fingerprint() -> str:
    """Of the names, sizes and times of all files that would be collected."""
    digest = hashlib.sha256()
    for finder in get_finders():
        for path, storage in finder.list(None):
            status = Path(storage.path(path)).stat()
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()
