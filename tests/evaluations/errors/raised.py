"""Which error codes the sources can raise, read from their syntax, and the page that lists them.

`python -m tests.evaluations.errors.raised` writes docs/errors.md anew.
"""

from __future__ import annotations

import ast
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "introeval.settings")
django.setup()  # as a program nobody else has; in a test it is done already

from evaluations.errors import catalogue, refusals  # noqa: E402

ROOT: Final = Path(__file__).parents[3]
PAGE: Final = ROOT / "docs" / "errors.md"
SUBMISSION: Final = "a submission"
EVALUATE, RATE_TEXT = "`evaluate`", "`rate_text`"
_COMMANDS: Final = {"local_files.py": EVALUATE, "local_texts.py": RATE_TEXT}
_TABLES: Final = {
    "MACHINES_FAULT": SUBMISSION,
    "_REFUSED": f"{EVALUATE}; {RATE_TEXT}",
    "REFUSALS": f"{SUBMISSION}; {EVALUATE}; a request, 415",
}

_HEAD = """\
# Errors

Everything that can go wrong has a code and words for people: what happened, and what to do. Pages, the API, the admin
and the commands take them from one catalogue, `evaluations/errors/catalogue.py`; this page is written from it by
`python -m tests.evaluations.errors.raised`, and a test compares the two. Technical detail is for staff: a task's page
in the admin (`error detail`), and the log.

The API returns an error as `{code, title, what, todo, id}`. A submission's `id` is its task's number and a count: the
admin finds the task by the number. A refused request's `id` is in the log, in a line `refused`.

Where it shows: *a submission* has it as the reason for which it failed or is tried again (the student's list, the
result page, `error` in the API, the admin, `evaluate --json`); *a request* is refused with it, by that HTTP status;
`evaluate` and `rate_text` are the commands. What the disk does to an upload (`disk_full`, `disk_failed`) refuses it by
507, and the bytes stay.

| code | title | what happened | what to do | where it shows |
|---|---|---|---|---|
"""


def raised() -> dict[str, set[str]]:
    """Code → where it shows, for every code that the sources name."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in [*(ROOT / "queueing").rglob("*.py"), *(ROOT / "evaluations").rglob("*.py")]:
        for code, door in codes_of(ast.parse(path.read_text()), path.name):
            if code:  # else a default that says "none"
                found[code].update(door.split("; "))
    for status, code in refusals.CODES.items():
        found[code].add(f"a request, {status}")
    return dict(found)


def codes_of(tree: ast.AST, file: str) -> Iterator[tuple[str, str]]:
    """Each code that a module names, and where it shows."""
    for node in ast.walk(tree):
        code, door = _given(node, file)
        yield from ((word, door) for word in _words(code))


def _given(node: ast.AST, file: str) -> tuple[ast.AST | None, str]:
    """The expression for a code that `node` is, if it is one: an argument, a declaration, or a table of faults."""
    match node:
        case ast.Call(func=ast.Name(id="RefusedError"), args=[ast.Constant(value=int(status)), code, *_]):
            return code, f"a request, {status}"
        case ast.keyword(arg="otherwise", value=code):
            return code, "a request, 409"
        case ast.keyword(arg="code", value=code):
            return code, _COMMANDS.get(file, SUBMISSION)
        case ast.Assign(targets=[ast.Name(id=name)], value=code) | ast.AnnAssign(target=ast.Name(id=name), value=code):
            return code if name in ("code", "default_code", *_TABLES) else None, _TABLES.get(name, SUBMISSION)
    return None, ""


def _words(node: ast.AST | None) -> Iterator[str]:
    """The codes that an expression may come to: itself, both ways of an `… if … else …`, the values of a table."""
    match node:
        case ast.Constant(value=str(word)):
            yield word
        case ast.IfExp(body=body, orelse=orelse):
            yield from (*_words(body), *_words(orelse))
        case ast.Dict(values=values):
            yield from (word for value in values for word in _words(value))
        case ast.Call(func=ast.Attribute(attr="fromkeys"), args=[_, value]):
            yield from _words(value)


def page() -> str:
    """What docs/errors.md must be."""
    doors = raised()
    rows = (
        f"| `{code}` | {words.title} | {words.what} | {words.todo} | {_doors(doors.get(code, set()))} |\n"
        for code, words in catalogue.CATALOGUE.items()
    )
    return _HEAD + "".join(rows)


def _doors(doors: set[str]) -> str:
    """`a submission; a request, 400, 413`."""
    statuses = sorted(door.rpartition(" ")[2] for door in doors if door.startswith("a request"))
    found = [
        *sorted(doors & {SUBMISSION, EVALUATE, RATE_TEXT}),
        *([f"a request, {', '.join(statuses)}"] if statuses else []),
    ]
    return "; ".join(found)


if __name__ == "__main__":
    PAGE.write_text(page())
