"""The truth about a node's GPU that no database row can tell: who holds it."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from queueing.exceptions import QueueError
from queueing.planner import Card


class NodeBusy(QueueError):
    """Another worker already drives this node; a second one would put a second kind of model on its GPU."""


@contextmanager
def node_lock(folder: Path, node: str) -> Iterator[None]:
    """Be the only worker of `node` on this machine. The kernel lets go when the process ends, however it ends.

    Raises:
        NodeBusy: somebody else is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"node-{re.sub(r'[^A-Za-z0-9._-]', '_', node)}.lock"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NodeBusy(f"another worker already drives node {node!r} (it holds {path})") from None
        yield


def card() -> Card | None:
    """The first GPU's memory now; None: there is none, or nobody can tell."""
    import pynvml  # here: a test may put another one in its place

    try:
        pynvml.nvmlInit()
        try:
            memory = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0))
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return None
    return Card(memory.total, memory.used)
