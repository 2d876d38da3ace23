# ruff: noqa: N802 (the driver's binding has names of its own)
"""NVML under pynvml's names, over the card that all fakes draw on.

The card's `trouble` says how it misbehaves: one of TROUBLES, "" for not at all. What was opened before the device was
lost stays lost until it is closed and opened again, as it is with a real driver.
"""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Final

import pynvml

from tests.doubles.card import FakeCard, Ledger

OPENING: Final = {
    "no library": pynvml.NVMLError_LibraryNotFound,
    "no driver": pynvml.NVMLError_DriverNotLoaded,
    "versions differ": pynvml.NVMLError_LibRmVersionMismatch,
}
ASKING: Final = {
    "lost": pynvml.NVMLError_GpuIsLost,
    "unknown": pynvml.NVMLError_Unknown,
    "not supported": pynvml.NVMLError_NotSupported,
    "uninitialised": pynvml.NVMLError_Uninitialized,
    "reset required": pynvml.NVMLError_ResetRequired,
}
HANGS: Final = "hang"  # until there is no trouble any more
NO_DEVICE: Final = "no device"
NO_PROCESSES: Final = "no processes"  # as in a container
TROUBLES: Final = (*OPENING, *ASKING, HANGS, NO_DEVICE, NO_PROCESSES)


class Nvml:
    """Stands in for the module `pynvml`; its errors are the real ones."""

    NVML_TEMPERATURE_GPU = pynvml.NVML_TEMPERATURE_GPU

    def __init__(self, card: FakeCard, name: str = "Example 8 GB") -> None:
        self.card, self.name = card, name
        self.opened = 0  # as often as nvmlInit was, less nvmlShutdown
        self.openings = self.calls = 0
        self._lost = False
        self.celsius = 55
        for error in ("NVMLError", *(name for name in dir(pynvml) if name.startswith("NVMLError_"))):
            setattr(self, error, getattr(pynvml, error))

    def nvmlInit(self) -> None:
        if error := OPENING.get(self.card.look().trouble):
            raise error
        self.opened += 1
        self.openings += 1
        self._lost = False

    def nvmlShutdown(self) -> None:
        if not self.opened:
            raise pynvml.NVMLError_Uninitialized
        self.opened -= 1

    def nvmlDeviceGetCount(self) -> int:
        return 0 if self._ask().trouble == NO_DEVICE else 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        self._ask()
        if index:
            raise pynvml.NVMLError_InvalidArgument
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        self._ask()
        return 0

    def nvmlDeviceGetName(self, handle: int) -> str:
        self._ask()
        return self.name

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        used = sum(one.size for one in self._ask().holdings)
        return SimpleNamespace(total=self.card.total, used=used, free=self.card.total - used)

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:
        self._ask()
        if sensor != self.NVML_TEMPERATURE_GPU:
            raise pynvml.NVMLError_InvalidArgument
        return self.celsius

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[SimpleNamespace]:
        found = self._ask()
        if found.trouble == NO_PROCESSES:
            raise pynvml.NVMLError_NotSupported
        return [SimpleNamespace(pid=one.pid, usedGpuMemory=one.size) for one in found.holdings]

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: int) -> list[SimpleNamespace]:
        return self.nvmlDeviceGetComputeRunningProcesses(handle)

    def nvmlSystemGetProcessName(self, pid: int) -> str:
        names = [f"/usr/bin/{one.owner}" for one in self._ask().holdings if one.pid == pid]
        if not names:
            raise pynvml.NVMLError_NotFound
        return names[0]

    def _ask(self) -> Ledger:
        """What any question about the device runs into."""
        self.calls += 1
        if not self.opened:
            raise pynvml.NVMLError_Uninitialized
        while (found := self.card.look()).trouble == HANGS:
            time.sleep(0.005)
        self._lost |= found.trouble in OPENING or found.trouble == "lost"
        if self._lost:
            raise pynvml.NVMLError_GpuIsLost
        if error := ASKING.get(found.trouble):
            raise error
        return found
