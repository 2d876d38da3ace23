"""What ratings must have in common to be compared with each other, in a few characters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Final

from evaluations.rating.calibration import Calibration
from queueing.engines.base import Resident

LENGTH: Final = 16  # hexadecimal digits: 64 bits, of a handful of seals


def seal(
    *,
    rubric_sha256: str,
    prompts: int,
    model: str,
    engine: str,
    engine_version: str,
    device: str,
    calibration: Calibration,
) -> str:
    """Digest of everything but the speech that can change a score: two ratings with one seal can be compared.

    Args:
        rubric_sha256: of the items, their points and examples: `RubricSpec.digest`. Its name and version don't matter.
        prompts: the prompts' version.
        model: the digest of the model's file, or its name where nobody tells that.
        engine: the engine's kind, e.g. `ollama`.
        engine_version: of the program behind it; empty where it is not known.
        device: the kind on which the model lies, e.g. `cuda`; numbers are rounded in another order on another kind.
        calibration: how far the model's probabilities were believed; teachers may fit another one between two ratings.

    Returns:
        The first LENGTH hexadecimal digits of a SHA-256.
    """
    parts = [rubric_sha256, prompts, model, engine, engine_version, device, calibration.as_dict()]
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:LENGTH]


def kind_of_device(held: Iterable[Resident]) -> str:
    """`cpu`, `cuda`, `cuda+cpu` …, whichever card of several it is; empty where the engine doesn't know it."""
    return "+".join(sorted({model.device.partition(":")[0] for model in held}))
