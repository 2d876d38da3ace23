"""Results of files, as the commands print them: JSON for programs, text for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def as_json(results: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(results, indent=2, ensure_ascii=False)


def as_text(results: Sequence[Mapping[str, Any]]) -> str:
    return "\n\n".join(map(_as_text, results))


def _as_text(row: Mapping[str, Any]) -> str:
    if row["error"]:
        return (
            f"{row['file']}: {row['status']}\n  {row['error']['title']}. {row['error']['what']} {row['error']['todo']}"
        )
    if row["form"] is None:
        return f"{row['file']}: {row['status']}"
    lines = [f"{row['file']}: {row['status']}", f"  {row['transcript']}"]
    if row["damage"]:
        lines.insert(1, f"  {row['damage']}")
    lines += [f"  {key:<22}{_plain(value)}" for key, value in row["form"].items()]
    if row["overall"] is not None:
        lines += [f"  {score['title']:<22}{score['score']:>5}" for score in row["scores"]]
        lines += [f"  {'Overall':<22}{row['overall']:>5}", f"  {row['feedback']}"]
        lines += [f"  - {tip}" for tip in row["suggestions"]]
    return "\n".join(lines)


def _plain(value: object) -> str:
    if value is None:
        return "not said"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
