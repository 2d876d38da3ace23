"""What the decoding child finds in a file, for tests that need no samples."""

from __future__ import annotations

from pathlib import Path

from evaluations.media.confined import run_child
from evaluations.media.decode import WALL_SECONDS, MediaFacts


def read_facts(path: Path, *, max_seconds: float = 4 * 3600.0, wall_seconds: float = WALL_SECONDS) -> MediaFacts:
    """As `decode`, but without keeping the samples, which for a long file are large."""
    return run_child(
        "decode",
        path,
        answer=MediaFacts,
        collect=lambda samples: None,
        max_seconds=max_seconds,
        wall_seconds=wall_seconds,
    )
