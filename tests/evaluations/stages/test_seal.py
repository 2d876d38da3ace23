"""Which ratings can be compared with each other."""

from __future__ import annotations

import re
from dataclasses import replace
from threading import Event
from typing import Any

import pytest

from evaluations.rating import calibration, default_rubric
from evaluations.rating.calibration import Calibration
from evaluations.stages.rate import RateResult, rate
from evaluations.stages.seal import kind_of_device, seal
from queueing.engines.base import Resident
from tests.evaluations.stages.test_rate import Scripted, engines, run, work

PARTS: dict[str, Any] = {
    "rubric_sha256": "ab" * 32,
    "prompts": 3,
    "model": "cd" * 32,
    "engine": "ollama",
    "engine_version": "0.12.11",
    "device": "cuda",
    "calibration": calibration.NONE,
}


def test_a_seal_is_short_and_the_same_for_the_same_parts() -> None:
    assert re.fullmatch("[0-9a-f]{16}", seal(**PARTS))
    assert seal(**PARTS) == seal(**PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_each_part_makes_another_seal(part: str) -> None:
    others = {"prompts": 4, "calibration": Calibration(1.0, {"plan": -0.5})}
    assert seal(**{**PARTS, part: others.get(part, "other")}) != seal(**PARTS)


def test_what_moves_from_one_part_to_the_next_makes_another_seal() -> None:
    assert seal(**{**PARTS, "engine": "ollama0", "engine_version": ".12.11"}) != seal(**PARTS)


@pytest.mark.parametrize(
    ("devices", "kind"), [((), ""), (("cpu",), "cpu"), (("cuda:1",), "cuda"), (("cuda:0", "cuda:1", "cpu"), "cpu+cuda")]
)
def test_the_kind_of_device_is_the_same_on_each_card(devices: tuple[str, ...], kind: str) -> None:
    assert kind_of_device(Resident("m", 1, device) for device in devices) == kind


class OnAGpu(Scripted):
    def resident(self) -> tuple[Resident, ...]:
        return (Resident(self.model, 1, "cuda:0"),)


def test_a_rating_is_sealed_by_what_it_came_from() -> None:
    one: RateResult = run(Scripted())
    assert one.columns()["seal"] == one.seal
    assert one.seal == run(Scripted(likely={"event": 0.9})).seal  # whatever it says
    on_a_gpu = run(OnAGpu())
    assert on_a_gpu.provenance["device"] == "cuda"
    fitted = {"": Calibration(1.0, {"plan": -0.5})}  # of a model whose digest is unknown
    assert run(Scripted(), work(fitted=fitted)).seal != one.seal
    fewer = replace(default_rubric.ENGLISH, criteria=default_rubric.ENGLISH.criteria[:2])
    assert len({one.seal, on_a_gpu.seal, run(Scripted(), work(rubric=fewer)).seal}) == 3


def test_a_rating_without_a_judge_has_another_seal() -> None:
    none = rate(work(), engines(Scripted(), can_judge=False), lambda done, total: None, Event())
    assert none.seal not in ("", run(Scripted()).seal)
