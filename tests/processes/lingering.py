"""`manage.py`, on a machine whose simulated language model is still in memory for two looks after its unload."""

from __future__ import annotations

import manage
from queueing.engines import build
from queueing.engines.base import Resident
from queueing.engines.llm.simulated import SimulatedLanguage


class Lingering(SimulatedLanguage):
    looks = 0

    def unload(self) -> None:
        self.looks = 2 if self._loaded else 0
        super().unload()

    def resident(self) -> tuple[Resident, ...]:
        if self.looks:
            self.looks -= 1
            return (Resident(self.model, 1, "simulated"),)
        return super().resident()


if __name__ == "__main__":
    build.SimulatedLanguage = Lingering  # type: ignore[attr-defined]
    manage.main()
