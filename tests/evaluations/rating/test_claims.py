from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evaluations.rating import evidence

CLAIMS = Path(__file__).parent / "claims"


def cases(name: str) -> list[dict[str, Any]]:
    return list(json.loads((CLAIMS / name).read_text(encoding="utf-8")))


def named(case: dict[str, Any]) -> str:
    return f"{case['field']}={case['claim']}: {case['said']}"


@pytest.mark.parametrize("case", [*cases("given.json"), *cases("own.json")], ids=named)
def test_a_claim_is_said_of_the_speaker_or_it_is_not(case: dict[str, Any]) -> None:
    said = evidence.sentences_of_text(case["said"], case["language"])
    assert evidence.is_said(said, case["field"], case["claim"], case["language"]) is case["supported"]
