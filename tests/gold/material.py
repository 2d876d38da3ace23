"""The files of this folder, and the rule by which their sentences are counted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent
END_OF_SENTENCE: Final = re.compile(r"(?<=[.!?…])\s+")


def load(name: str) -> Any:
    """What `name`.json holds; README.md tells the form of each."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def sentences(text: str) -> list[str]:
    """The sentences of a text in order; markings count them from 1."""
    return END_OF_SENTENCE.split(text.strip())
