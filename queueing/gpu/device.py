"""What the GPU's driver reports.

Everything here is of the device as a whole. What NVML reports of single processes is unusable in containers (foreign
ids, no sizes, or nothing at all), so it only names programs to people; no decision is computed from it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Thread
from typing import Any, Protocol

from queueing.policy.memory_plan import MIB, Card

ANSWER_SECONDS = 2.0  # NVML can hang for ever; a healthy one answers in milliseconds


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A program on the GPU, for people to read."""

    pid: int
    name: str
    bytes: int | None = None  # None: the driver does not report it

    def __str__(self) -> str:
        size = f", {mib(self.bytes)}" if self.bytes else ""
        return f"{self.name} (pid {self.pid}{size})"


@dataclass(frozen=True, slots=True)
class GpuMemoryFacts:
    """A device's memory, in bytes."""

    total: int
    used: int  # what the driver keeps for itself included
    free: int
    holders: tuple[GpuProcess, ...] = ()  # as far as the driver reports them
    name: str = "GPU"
    celsius: float | None = None  # None: the driver does not report it


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no GPU to watch: no fault."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """There is one, or may be, and its state is unknown. Nothing may be started on it."""

    reason: str


GpuReading = GpuMemoryFacts | Absent | Unknown


def card(reading: GpuReading) -> Card | None:
    """The memory that a plan shares out; what is in use is others', so nothing of ours should be loaded."""
    return Card(reading.total, reading.used) if isinstance(reading, GpuMemoryFacts) else None


class Gpu(Protocol):
    def read(self) -> GpuReading:
        """Read its state now; within a few seconds, whatever happens, and without an exception."""


class NoGpu:
    """A node without a GPU, or whose GPU is not watched."""

    def read(self) -> GpuReading:
        return Absent("it is not watched")


class Device:
    """The GPU that this process's models use, by NVML: the first one, or the first of CUDA_VISIBLE_DEVICES.

    NVML is kept open while it answers: without a persistence daemon each opening wakes the device up, which takes
    seconds. After any error it is closed and opened anew for the next reading, since what was opened before a device
    was lost or its driver reloaded stays dead.

    Args:
        nvml: a module with pynvml's names.
    """

    def __init__(self, nvml: Any = None, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self.nvml = nvml or importlib.import_module("pynvml")
        self.answer_seconds = answer_seconds
        self._reader: Thread | None = None
        self._is_open = self._was_there = False

    def read(self) -> GpuReading:
        if self._reader is not None and self._reader.is_alive():
            return Unknown("its driver still does not answer")
        answers: list[GpuReading] = []
        # A thread for each reading, one at a time: a call into the driver can't be abandoned in any other way.
        self._reader = Thread(target=lambda: answers.append(self._read_now()), name="nvml", daemon=True)
        self._reader.start()
        self._reader.join(self.answer_seconds)
        return answers[0] if answers else Unknown(f"its driver did not answer within {self.answer_seconds:g} s")

    def _read_now(self) -> GpuReading:
        try:
            found = self._facts()
        except (self.nvml.NVMLError_LibraryNotFound, self.nvml.NVMLError_DriverNotLoaded) as error:
            found = Absent(str(error))
        except Exception as error:  # a failing binding counts as a failing driver
            found = Unknown(str(error) or type(error).__name__)
        if not isinstance(found, GpuMemoryFacts):
            self._close()
        if isinstance(found, Absent) and self._was_there:
            return Unknown(f"it is gone: {found.reason}")
        self._was_there |= isinstance(found, GpuMemoryFacts)
        return found

    def _facts(self) -> GpuReading:
        if not self._is_open:
            self.nvml.nvmlInit()
            self._is_open = True
        if not self.nvml.nvmlDeviceGetCount():
            return Absent("the driver sees none")
        handle = self._handle()
        memory = self.nvml.nvmlDeviceGetMemoryInfo(handle)
        name = _text(self.nvml.nvmlDeviceGetName(handle))
        holders = tuple(self._holders(handle))
        return GpuMemoryFacts(memory.total, memory.used, memory.free, holders, name, self._celsius(handle))

    def _handle(self) -> Any:
        first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
        if first.startswith("GPU-"):
            return self.nvml.nvmlDeviceGetHandleByUUID(first)
        return self.nvml.nvmlDeviceGetHandleByIndex(int(first) if first.isdecimal() else 0)

    def _celsius(self, handle: Any) -> float | None:
        with contextlib.suppress(self.nvml.NVMLError):
            return float(self.nvml.nvmlDeviceGetTemperature(handle, self.nvml.NVML_TEMPERATURE_GPU))
        return None

    def _holders(self, handle: Any) -> Iterator[GpuProcess]:
        seen: set[int] = set()
        for query in (self.nvml.nvmlDeviceGetComputeRunningProcesses, self.nvml.nvmlDeviceGetGraphicsRunningProcesses):
            with contextlib.suppress(self.nvml.NVMLError):
                for process in query(handle):
                    if process.pid not in seen:
                        seen.add(process.pid)
                        yield GpuProcess(process.pid, self._program(process.pid), process.usedGpuMemory)

    def _program(self, pid: int) -> str:
        try:
            name = _text(self.nvml.nvmlSystemGetProcessName(pid))
        except self.nvml.NVMLError:
            return "a program"
        return name.split(" ")[0].rsplit("/", 1)[-1] or "a program"

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            with contextlib.suppress(self.nvml.NVMLError):
                self.nvml.nvmlShutdown()


def mib(size: int) -> str:
    return f"{size // MIB:,} MiB"


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
