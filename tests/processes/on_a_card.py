"""`manage.py`, on a machine with a GPU of 8 GB: its driver and both models are doubles over the card in the file CARD.

The language model is a server's: its memory is held by the process SERVER_PID and outlives the worker. Speech to text
is a child's.
FREES_AFTER: seconds from "unloaded" to free (inf: never). ON_GPU: the share of the language model that is on the GPU.
VERIFY_SECONDS and DWELL_SECONDS replace the product's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tests.doubles.card import GIB, FakeCard
from tests.doubles.nvml import Nvml

CARD = FakeCard(Path(os.environ["CARD"]))
sys.modules["pynvml"] = Nvml(CARD)  # type: ignore[assignment]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "introeval.settings")

import django  # noqa: E402 - after the driver

django.setup()

import manage  # noqa: E402
from queueing.engines import build  # noqa: E402
from queueing.engines.base import Resident  # noqa: E402
from queueing.engines.llm.simulated import SimulatedLanguage  # noqa: E402
from queueing.engines.speech.simulated import SimulatedSpeech  # noqa: E402
from queueing.gpu import watch  # noqa: E402
from queueing.worker.coordinator import Coordinator  # noqa: E402

SPEECH_BYTES, LANGUAGE_BYTES = 3 * GIB, 5 * GIB
ENVIRONMENT: Mapping[str, str] = os.environ


class CardSpeech(SimulatedSpeech):
    def needs(self) -> int | None:
        return SPEECH_BYTES

    def load(self) -> None:
        fresh = self._child.pid is None
        super().load()
        if fresh:
            CARD.take("whisper", "stt", SPEECH_BYTES, pid=self._child.pid)

    def resident(self) -> tuple[Resident, ...]:
        return tuple(replace(one, device="cuda:0") for one in super().resident())


class CardLanguage(SimulatedLanguage):
    @property
    def server(self) -> str:
        return "http://card"

    def needs(self) -> int:
        return LANGUAGE_BYTES

    def load(self) -> None:
        if not self.resident():
            CARD.take("mistral", "eval", LANGUAGE_BYTES, pid=int(ENVIRONMENT["SERVER_PID"]))
        super().load()

    def unload(self) -> None:
        super().unload()
        if self.resident():
            CARD.give_back("mistral", after=float(ENVIRONMENT.get("FREES_AFTER", "0.3")))

    def resident(self) -> tuple[Resident, ...]:
        """As the server would say it: what is being given back is not loaded any more."""
        if not any(one.owner == "mistral" and one.free_at is None for one in CARD.look().holdings):
            return ()
        on_gpu = int(float(ENVIRONMENT.get("ON_GPU", "1")) * LANGUAGE_BYTES)
        return (Resident("mistral", LANGUAGE_BYTES, "cuda", gpu_bytes=on_gpu),)


def main() -> None:
    build.SimulatedSpeech = CardSpeech  # type: ignore[attr-defined]
    build.SimulatedLanguage = CardLanguage  # type: ignore[attr-defined]
    watch.DWELL_SECONDS = float(ENVIRONMENT.get("DWELL_SECONDS", watch.DWELL_SECONDS))
    if seconds := ENVIRONMENT.get("VERIFY_SECONDS"):
        (Coordinator.__init__.__kwdefaults__ or {})["verify_seconds"] = float(seconds)
    manage.main()


if __name__ == "__main__":
    main()
