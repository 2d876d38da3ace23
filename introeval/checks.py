"""What must hold before the project runs; Django asks at the start of every command."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

Version = tuple[int, ...]

MIN_PYTHON = (3, 11)

# Below these there are known holes, or behaviour that the project leans on is missing.
MIN_VERSIONS: dict[str, Version] = {
    "django": (5, 2, 14),  # CVE-2026-33033, CVE-2026-33034, CVE-2026-5766: uploads
    "asgiref": (3, 13),  # a thread that outlives its request, see introeval/serving/threads.py
    "daphne": (4, 2, 2),  # CVE-2026-44545, CVE-2026-44546: WebSocket memory, header smuggling
    "channels": (4, 3),
    "channels-redis": (4, 3),  # the PubSub layer as used here
    "psycopg": (3, 3),
    "django-axes": (8, 3),
    "av": (18,),
    "openai-whisper": (20250625,),  # from here on checkpoints load without running what is in them
}
OPTIONAL = frozenset({"openai-whisper"})

# The first version that is too new.
MAX_VERSIONS: dict[str, Version] = {"av": (19,)}  # drops Python 3.11 and an argument that faster-whisper passes


def numbers(text: str) -> Version:
    """The leading numbers of a version: `5.2.14rc1` → (5, 2, 14)."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def unsuitable_software() -> Iterator[str]:
    """One sentence for each package (and Python) that is missing, too old or too new."""
    if sys.version_info < MIN_PYTHON:
        yield f"Python is {sys.version.split()[0]}, at least {_dotted(MIN_PYTHON)} is needed"
    for name, minimum in MIN_VERSIONS.items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            if name not in OPTIONAL:
                yield f"{name} is not installed, at least {_dotted(minimum)} is needed"
            continue
        if numbers(installed) < minimum:
            yield f"{name} is {installed}, at least {_dotted(minimum)} is needed"
        elif name in MAX_VERSIONS and numbers(installed) >= MAX_VERSIONS[name]:
            yield f"{name} is {installed}, below {_dotted(MAX_VERSIONS[name])} is needed"


def _dotted(parts: Version) -> str:
    return ".".join(str(part) for part in parts)


@register("runtime")  # asked for by commands without pages, too: queueing/checks.py
def check_software(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    return [Error(f"{what}.", hint="`make setup`", id="introeval.E001") for what in unsuitable_software()]


def stale_catalogues() -> Iterator[Path]:
    """Catalogues of words that were changed, or came, after what Django reads was made of them."""
    for folder in settings.LOCALE_PATHS:
        for written in Path(folder).glob("*/LC_MESSAGES/*.po"):
            compiled = written.with_suffix(".mo")
            if not compiled.exists() or compiled.stat().st_mtime < written.stat().st_mtime:
                yield written


@register
def check_words(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    return [
        Warning(f"{path} is newer than the words that pages show.", hint="`make setup`", id="introeval.W001")
        for path in stale_catalogues()
    ]
