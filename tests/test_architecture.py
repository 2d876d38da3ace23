"""The map in docs/architecture.md against the folders, the paths that pages name, and two limits of the layout."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
MAP: Final = ROOT / "docs" / "architecture.md"
PACKAGES: Final = ("introeval", "evaluations", "queueing")
DETAILED: Final = ("queueing/policy", "queueing/worker")  # of these each module has its line, too

CODE: Final = (*PACKAGES, "scripts", "tests")
MAY_REPEAT: Final = {
    "Command": "Django finds a management command by this name",
    "Migration": "Django finds a migration by this name",
    "Meta": "Django reads a model's options from an inner class of this name",
}

MAX_ENTRIES: Final = 14
"""What a reader takes in at a glance is about a dozen; two more are allowed before a folder has to be parted."""
DEMANDED: Final = frozenset(  # names that Django looks for in an app: they say nothing of how full a folder is
    {"__init__", "admin", "apps", "urls", "management", "migrations", "static", "templatetags"}
)

PAGES: Final = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").glob("*.md"))
)
QUOTED: Final = re.compile(r"`([^`\s]+)`")
LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
FILE: Final = re.compile(r"\w\.(py|md|js|css|html|sh|toml|po|lock|conf|yml|service)$")


def test_the_map_names_every_room() -> None:
    named = {quoted.rstrip("/") for quoted in QUOTED.findall(MAP.read_text())}
    assert not sorted({*_top_level(), *_packages(), *_detailed_modules()} - named)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_no_path_that_is_not_there(page: str) -> None:
    text = (ROOT / page).read_text()
    assert not [quoted for quoted in QUOTED.findall(text) if not _is_there(quoted)]
    assert not [link for link in LINK.findall(text) if not _leads_somewhere(link, ROOT / page)]


def test_a_path_that_is_not_there_is_noticed() -> None:
    assert not _is_there("queueing/pilot/")
    assert not _is_there("queueing/pilot.py")
    assert not _is_there("pilot.py")
    assert not _leads_somewhere("proof.md#no-such-heading", MAP)
    assert _leads_somewhere("proof.md#the-storm", MAP)


def test_a_class_name_occurs_once() -> None:
    """So that a name in a log, a traceback or a page leads to one place."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in (path for folder in CODE for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    repeated = {name: found for name, found in places.items() if len(found) > 1}
    assert repeated.keys() >= MAY_REPEAT.keys(), "an exception that nothing needs any more"
    assert not {name: found for name, found in repeated.items() if name not in MAY_REPEAT}


def test_no_folder_is_crowded() -> None:
    crowded = {package: found for package in _packages() if len(found := _entries(package)) > MAX_ENTRIES}
    assert not crowded


@cache
def _top_level() -> frozenset[str]:
    """The folders of the checkout that are under version control; without git, those of the code."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return frozenset(CODE)
    run = subprocess.run([git, "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    return frozenset(name.split("/")[0] for name in run.stdout.splitlines() if "/" in name) or frozenset(CODE)


def _packages() -> Iterator[str]:
    for top in PACKAGES:
        for init in (ROOT / top).rglob("__init__.py"):
            if init.parent.name != "migrations":  # Django adds one after the other
                yield init.parent.relative_to(ROOT).as_posix()


def _detailed_modules() -> Iterator[str]:
    for folder in DETAILED:
        for module in (ROOT / folder).glob("[!_]*.py"):
            yield module.relative_to(ROOT).as_posix()


def _entries(package: str) -> set[str]:
    """What `ls` shows there, without what Django demands and what Python leaves behind."""
    return {path.name for path in (ROOT / package).iterdir() if path.stem not in DEMANDED and _holds_anything(path)}


def _holds_anything(path: Path) -> bool:
    """Whether it is a file or holds one, other than what Python compiled, which stays behind when a folder moves."""
    files = path.rglob("*") if path.is_dir() else [path]
    return any(file.is_file() and "__pycache__" not in file.parts for file in files)


def _is_there(quoted: str) -> bool:
    """Whether what is quoted exists, if it is a path: below a folder of the checkout, or the end of a file's path."""
    pattern = re.sub(r"<\w+>", "*", quoted).rstrip("/")
    if pattern.split("/")[0] in _top_level() and "/" in quoted:
        return any(ROOT.glob(pattern))
    if FILE.search(quoted) and re.fullmatch(r"[\w./-]+", quoted) and not quoted.startswith("/"):
        return any(ROOT.glob(pattern)) or any(any((ROOT / top).rglob(pattern)) for top in _top_level())
    return True


def _leads_somewhere(link: str, page: Path) -> bool:
    if "://" in link:
        return True
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    return target.exists() and (not anchor or anchor in _anchors(target))


def _anchors(page: Path) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
