"""S19: Damaged files by the hundred: each ends in samples or in a reason, and the parent lives."""

from __future__ import annotations

import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evaluations.media.decode import decode
from queueing.exceptions import Permanent, Transient
from tests.evaluations.media import corpus
from tests.evaluations.media.conftest import Clips

MUTANTS = 300
SEED = 20_26
REASONS = {"empty_file", "unreadable", "not_media", "no_audio", "too_long", "too_many_pixels"}


def outcome(path: Path) -> str:
    try:
        decoded = decode(path, max_seconds=30, wall_seconds=60)
    except (Permanent, Transient) as failure:
        return failure.code
    return "decoded" if len(decoded.samples) <= 31 * 16_000 else "more than was asked for"


@pytest.mark.slow
def test_three_hundred_damaged_files_end_in_samples_or_a_reason(clips: Clips, tmp_path: Path) -> None:
    mutator = corpus.Mutator(SEED)
    paths = []
    for number, original in zip(range(MUTANTS), itertools.cycle(sorted(clips.values())), strict=False):
        paths.append(tmp_path / f"{number}-{original.name}")
        paths[-1].write_bytes(mutator.mutate(original.read_bytes()))
    with ThreadPoolExecutor(2) as pool:
        outcomes = Counter(pool.map(outcome, paths))
    # A bug of FFmpeg is allowed to end the child; running out of time is not.
    assert set(outcomes) <= {"decoded", "decoder_crashed"} | REASONS
    assert outcomes["decoded"] > MUTANTS / 5  # else the damage is too coarse to reach the decoders
    assert outcomes["unreadable"] > MUTANTS / 10
    assert outcomes["decoder_crashed"] <= MUTANTS / 50
