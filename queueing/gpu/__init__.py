"""The truth about a node's GPU: what its driver says, whose its memory is, and who drives the node."""

from queueing.gpu.device import Absent, Device, Gpu, GpuMemoryFacts, GpuProcess, Look, NoGpu, Unknown, card, mib
from queueing.gpu.lock import NodeBusy, node_lock

__all__ = [
    "Absent",
    "Device",
    "Gpu",
    "GpuMemoryFacts",
    "GpuProcess",
    "Look",
    "NoGpu",
    "NodeBusy",
    "Unknown",
    "card",
    "mib",
    "node_lock",
]
