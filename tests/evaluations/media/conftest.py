from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluations.media import corpus

Clips = dict[str, Path]


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    """Two seconds of a tone in every container, by file name. Not to be written to."""
    folder = tmp_path_factory.mktemp("clips")
    return {recipe.name: corpus.make(folder / recipe.name, recipe) for recipe in corpus.RECIPES}


@pytest.fixture(scope="session")
def bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An hour of silence in 0.7 MB. Not to be written to."""
    return corpus.duration_bomb(tmp_path_factory.mktemp("bomb") / "bomb.flac", seconds=3600)
