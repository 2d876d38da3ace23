"""What a lab was told of itself at its first start: `lab.json` in DATA_DIR, read by the settings of every process.

An environment variable of the same meaning (SCHOOL, TIME_ZONE) has the last word.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from django.core.exceptions import ImproperlyConfigured

from introeval import embedded

FILE: Final = "lab.json"
LONGEST_SCHOOL: Final = 80  # characters; more do not fit on a card


@dataclass(frozen=True, slots=True, kw_only=True)
class LabProfile:
    """None: nobody has said yet."""

    school: str | None = None
    """Its name; empty where none is to be shown."""
    language: str | None = None
    """Of the first class."""
    time_zone: str | None = None


def read(data_dir: Path) -> LabProfile:
    """What is kept; nothing where nothing was ever answered, or DATA_DIR is not for this account to see.

    Raises:
        ImproperlyConfigured: the file is none of ours any more.
    """
    file = data_dir / FILE
    names = {field.name for field in fields(LabProfile)}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return LabProfile()
    except (OSError, ValueError) as error:
        raise _unreadable(file, str(error)) from None
    if not isinstance(found, dict) or not all(isinstance(found.get(name, ""), str) for name in names):
        raise _unreadable(file, "it is not what `up --lab` writes")
    return LabProfile(**{name: found[name] for name in names & found.keys()})


def _unreadable(file: Path, why: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{file} can't be read: {why}. Remove it: `up --lab` asks again")


def keep(data_dir: Path, profile: LabProfile) -> None:
    said = {name: value for name, value in asdict(profile).items() if value is not None}
    embedded.replace(data_dir / FILE, json.dumps(said, ensure_ascii=False, indent=1) + "\n")
