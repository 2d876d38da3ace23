"""A node's GPU: what its driver reports, whose its memory is, and the lock of the one worker that drives it."""

from queueing.gpu.device import Absent, Device, Gpu, GpuMemoryFacts, GpuProcess, GpuReading, NoGpu, Unknown, card, mib
from queueing.gpu.lock import NodeBusy, node_lock

__all__ = [
    "Absent",
    "Device",
    "Gpu",
    "GpuMemoryFacts",
    "GpuProcess",
    "GpuReading",
    "NoGpu",
    "NodeBusy",
    "Unknown",
    "card",
    "mib",
    "node_lock",
]
