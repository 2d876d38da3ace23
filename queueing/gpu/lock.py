"""Who drives a node: a lock that the kernel keeps, as no database row can."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from queueing.exceptions import QueueError


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
