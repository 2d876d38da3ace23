"""S19: Damaged files: each ends in samples or in a reason, and the parent lives. `make chaos` damages thousands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluations.media import mutants
from tests.evaluations.media.conftest import Clips

FILES = 100


@pytest.mark.slow
def test_a_hundred_damaged_files_end_in_samples_or_a_reason(clips: Clips, tmp_path: Path) -> None:
    outcomes = mutants.play(sorted(clips.values()), FILES, seed=20_26, folder=tmp_path)
    assert set(outcomes) <= mutants.ALLOWED
    assert outcomes["decoded"] > FILES / 5  # else the damage is too coarse to reach the decoders
    assert outcomes["unreadable"] > FILES / 10
    assert outcomes["decoder_crashed"] <= FILES / 50
