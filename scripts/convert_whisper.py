"""Convert a CTranslate2 Whisper model to an openai-whisper checkpoint.

.venv/bin/python scripts/convert_whisper.py MODEL TARGET.pt     MODEL: a packaged name (tiny.en, base) or a folder
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from queueing.engines.speech import checkpoint, models
from queueing.exceptions import Infrastructure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    try:
        checkpoint.convert(models.find(options.model), options.target)
    except Infrastructure as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
