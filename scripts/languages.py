#!/usr/bin/env python
"""The words of the pages in other languages: locale/<language>/LC_MESSAGES/django.po, and the .mo that Django reads.

    python scripts/languages.py            compile every .po whose .mo is missing or older; part of `make setup`
    python scripts/languages.py update     bring every .po up to date with the sources; `make messages`

Uses Babel, so that no machine needs the programs of GNU gettext.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_python
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
LOCALE = ROOT / "locale"
SOURCES = (
    "evaluations/**/*.py",
    "introeval/serving/*.py",
    "queueing/**/*.py",
    "templates/*.html",
    "templates/evaluations/**/*.html",
    "templates/guides/*.html",
    "templates/lan/*.html",
    "templates/registration/*.html",
)  # the admin speaks English
KEYWORDS: dict[str, Any] = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy", "gettext_noop")),
    **dict.fromkeys(("pgettext", "pgettext_lazy"), ((1, "c"), 2)),
    "ngettext": (1, 2),
    "npgettext": ((1, "c"), 2, 3),
}


def catalogues() -> list[Path]:
    return sorted(LOCALE.glob("*/LC_MESSAGES/django.po"))


def read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=path.parent.parent.name)


def found() -> Catalog:
    """Every message that the sources mark, without translations."""
    template = Catalog(fuzzy=False)
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            for message, context in messages(path.read_text(), is_template=path.suffix == ".html"):
                template.add(message, locations=[(str(path.relative_to(ROOT)), 1)], context=context)
    return template


def messages(source: str, *, is_template: bool) -> Iterator[tuple[Any, str | None]]:
    """(message, or singular and plural; context) for each call and tag that marks one."""
    if is_template:
        # Made for xgettext: calls between blanked text. Without its indentation it is Python, too.
        source = "\n".join(line.strip() for line in templatize(source).splitlines())
    for _line, function, arguments, _comments in extract_python(
        BytesIO(source.encode()), KEYWORDS, (), {"encoding": "utf-8"}
    ):
        given = [arguments] if isinstance(arguments, str) else list(arguments or [""])
        context = str(given.pop(0)) if "pgettext" in str(function) else None
        forms = given[:2] if str(function).startswith("n") else given[:1]
        if all(forms):  # else a variable: what it holds is marked where it is written
            yield (tuple(forms) if len(forms) > 1 else forms[0]), context


def compile_all() -> None:
    for path in catalogues():
        compiled = path.with_suffix(".mo")
        if compiled.exists() and compiled.stat().st_mtime >= path.stat().st_mtime:
            continue
        # By another name first: several may do this at once, and others may be reading.
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            write_mo(file, read(path))
        Path(file.name).chmod(0o644)
        Path(file.name).replace(compiled)


def update() -> None:
    template = found()
    for path in catalogues():
        catalogue = read(path)
        catalogue.update(template, no_fuzzy_matching=True, update_creation_date=False)
        with path.open("wb") as file:
            write_po(file, catalogue, width=120, sort_by_file=True, include_lineno=False, ignore_obsolete=True)
        missing = sum(not message.string for message in catalogue if message.id)
        sys.stdout.write(f"{path.relative_to(ROOT)}: {len(catalogue)} messages, {missing} to translate\n")


def main() -> None:
    if sys.argv[1:] == ["update"]:
        update()
    compile_all()


if __name__ == "__main__":
    main()
