"""Files of every container, damaged at random: each ends in samples or in a reason.

    python -m tests.chaos media --files 3000 --seed 7

A few of them are in `make test`: test_mutants.py.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from evaluations.media.decode import decode
from queueing.exceptions import Permanent, Transient
from tests.evaluations.media import corpus

REASONS = {"empty_file", "unreadable", "not_media", "no_audio", "too_long", "too_many_pixels"}
# A bug of FFmpeg is allowed to end the child; running out of time is not.
ALLOWED = {"decoded", "decoder_crashed"} | REASONS


def play(originals: Sequence[Path], files: int, *, seed: int, folder: Path) -> Counter[str]:
    """Damage the originals in turn until there are so many `files`, and decode each; how often what came of it."""
    mutator = corpus.Mutator(seed)
    paths = []
    for number, original in zip(range(files), itertools.cycle(originals), strict=False):
        paths.append(folder / f"{number}-{original.name}")
        paths[-1].write_bytes(mutator.mutate(original.read_bytes()))
    with ThreadPoolExecutor(2) as pool:
        return Counter(pool.map(_outcome, paths))


def _outcome(path: Path) -> str:
    try:
        decoded = decode(path, max_seconds=30, wall_seconds=60)
    except (Permanent, Transient) as failure:
        return failure.code
    return "decoded" if len(decoded.samples) <= 31 * 16_000 else "more than was asked for"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--files", type=int, default=3000, help="damaged ones (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the damage (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="introeval-media-") as made, tempfile.TemporaryDirectory() as damaged:
        originals = [corpus.make(Path(made) / recipe.name, recipe) for recipe in corpus.RECIPES]
        found = play(originals, options.files, seed=options.seed, folder=Path(damaged))
    print(dict(found.most_common()))
    return 0 if set(found) <= ALLOWED and found["decoder_crashed"] <= options.files / 50 else 1
