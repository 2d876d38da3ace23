"""`python -m tests.benchmarks judge`: rates the texts of tests/gold and sets the answers beside the two markings.

The engine is that of the settings (LLM_PROTOCOL, LLM_RATE_URL …). Nothing else is needed: no database, no audio.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from queueing.engines.base import Engines
    from tests.benchmarks.judge.texts import GoldText


def arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks judge", description=__doc__)
    parser.add_argument("--only", type=int, metavar="N", help="N texts of each kind, and N groups of fairness")
    parser.add_argument("--model", help="in place of LLM_EXTRACT_MODEL and LLM_RATE_MODEL")
    parser.add_argument("--further", action="store_true", help="the texts of further.json, which have one marking")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the answers there, each as soon as it is known")
    parser.add_argument("--resume", action="store_true", help="rate only what the file does not have yet")
    options = parser.parse_args(given)
    if options.resume and not options.json:
        parser.error("--resume needs --json FILE")
    if options.only is not None and options.only < 1:
        parser.error("--only: at least 1")
    return options


def main(given: Sequence[str]) -> None:
    options = arguments(given)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "introeval.settings")
    os.environ.setdefault("LOG_LEVEL", "ERROR")
    if options.model:
        os.environ |= {"LLM_EXTRACT_MODEL": options.model, "LLM_RATE_MODEL": options.model}
    import django

    django.setup()
    from django.conf import settings

    from queueing.engines import build
    from queueing.exceptions import QueueError
    from tests.benchmarks import report
    from tests.benchmarks.judge.figures import tables
    from tests.benchmarks.judge.texts import further_texts, gold_texts
    from tests.gold.material import load

    engines = build.from_settings(settings)
    if not engines.can_judge:
        sys.exit(f"{engines.language['rate'].model} can't judge: `make judge` brings a model that can, or see --model.")
    try:
        kept = Kept(options.json, made_by(engines), resume=options.resume)
        texts = further_texts() if options.further else gold_texts(options.only)
        rate_all(texts, engines, kept, attempts=settings.MAX_ATTEMPTS, say=_say)
    except (QueueError, OtherRunError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(f"Stopped; --resume goes on where {options.json} ends." if options.json else "Stopped.")
    print(f"{made_by(engines)['engine']} {made_by(engines)['model']}\n")
    keys = [item["key"] for item in load("items")]
    if options.further:
        a = b = {each["id"]: each for each in load("further")}
    else:
        a, b = load("markings-a"), load("markings-b")
    print("\n\n".join(map(report.as_text, tables(kept.rows, a, b, keys))))


class OtherRunError(Exception):
    """The kept answers were made by something else, so these would not belong to them."""


class Kept:
    """The answers so far, in a file if there is one."""

    def __init__(self, path: Path | None, made_by: dict[str, Any], *, resume: bool = False) -> None:
        """
        Raises:
            OtherRunError: see there.
        """
        self.path, self.made_by = path, made_by
        self.rows: list[dict[str, Any]] = []
        if path and resume and path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["made_by"] != made_by:
                raise OtherRunError(f"{path} is of another model, rubric or prompt: {found['made_by']}")
            self.rows = found["rows"]

    def has(self, text: GoldText) -> bool:
        return any(row["id"] == text.id for row in self.rows)

    def add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        if self.path:
            # Beside it and renamed: a stop in the middle of writing leaves the last whole one.
            new = self.path.with_name(f"{self.path.name}.new")
            content = {"made_by": self.made_by, "rows": self.rows}
            new.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
            new.replace(self.path)


def made_by(engines: Engines) -> dict[str, Any]:
    """What answers depend on."""
    from evaluations.rating import default_rubric
    from evaluations.rating.calibration import platt
    from evaluations.stages import prompts

    return {
        "engine": engines.language["rate"].name,
        "model": engines.language["rate"].model,
        "rubrics": {spec.language: spec.digest for spec in default_rubric.DEFAULTS},
        "prompts": prompts.VERSION,
        "calibrations": hashlib.sha256(platt.FILE.read_bytes()).hexdigest()[:12],
    }


def rate_all(
    texts: Sequence[GoldText], engines: Engines, kept: Kept, *, attempts: int, say: Callable[[str], None]
) -> None:
    """Rate what `kept` doesn't have.

    Raises:
        StageError: the model or its server is not there.
    """
    from evaluations.uploads.local_texts import loaded

    left = [text for text in texts if not kept.has(text)]
    if not left:
        return
    with loaded(engines.language["rate"]):
        for number, text in enumerate(left, start=1):
            row = rated(text, engines, attempts=attempts)
            kept.add(row)
            outcome = row["error"] or f"{row['overall']:g}"
            say(f"{number} of {len(left)}: {text.id} ({text.kind}): {outcome}, {row['seconds']:.1f} s")


def rated(text: GoldText, engines: Engines, *, attempts: int) -> dict[str, Any]:
    """One row: a text that can't be rated has the code of its error, and no score.

    Without its form, which is in no score, and without the gate for short ones: it would refuse what is left of some
    adversarial texts without their orders.
    """
    from evaluations.rating import default_rubric
    from evaluations.stages.written import WrittenSpeech, rating_of
    from queueing.exceptions import Permanent, Transient

    row: dict[str, Any] = {"id": text.id, "kind": text.kind, "language": text.language, "of": text.of}
    row |= {"rung": text.rung, "error": "", "overall": None, "scores": {}, "items": {}, "flags": []}
    began = time.monotonic()
    try:
        said = WrittenSpeech(text.text, text.language)
        rubric = default_rubric.of_language(text.language)
        made = rating_of(said, {}, rubric, engines, Event(), attempts=attempts)
    except (Permanent, Transient) as error:
        return row | {"error": error.code, "seconds": round(time.monotonic() - began, 2)}
    items = {item["key"]: item for criterion in made.scores for item in criterion["items"]}
    return row | {
        "overall": made.overall,
        "scores": {criterion["key"]: criterion["score"] for criterion in made.scores},
        "items": {key: item["credit"] for key, item in items.items()},
        "probabilities": {key: item["probability"] for key, item in items.items()},
        "quotes": {key: [quote["sentence"] for quote in item["sentences"]] for key, item in items.items()},
        "flags": made.flags,
        "feedback": made.feedback,
        "suggestions": made.suggestions,
        "seconds": round(time.monotonic() - began, 2),
    }


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
