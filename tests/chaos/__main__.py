"""`python -m tests.chaos [PART] [--seed N]`: all parts, or one. Exit status 1 if any of them found fault."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable

from tests.chaos import storm

PARTS: dict[str, Callable[[int], bool]] = {
    "storm": storm.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("part", nargs="?", choices=PARTS, help="all of them by default")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="to repeat a run")
    chosen = parser.parse_args()
    good = True
    for name in [chosen.part] if chosen.part else PARTS:
        print(f"{name}: seed {chosen.seed}", flush=True)
        good &= PARTS[name](chosen.seed)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
