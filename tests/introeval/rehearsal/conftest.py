"""What the oracle's tests share with those of the queue."""

from tests.queueing.conftest import enqueue, worker

__all__ = ["enqueue", "worker"]
