"""How often somebody may do something: buckets that fill again with time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

MAX_KEYS: Final = 10_000  # that are remembered


class Buckets:
    """How many more tries each key has: `burst`, and `per_second` more while time goes by. In this process."""

    def __init__(self, burst: float, per_second: float) -> None:
        self.burst, self.per_second = burst, per_second
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key → tries spent, as of when
        self._lock = threading.Lock()

    def wait(self, key: str, now: float) -> float:
        """Use up one try; returns 0, or after how many seconds there is one again."""
        return self._look(key, now, cost=1.0)

    def would_wait(self, key: str, now: float) -> float:
        """The same without using one up."""
        return self._look(key, now, cost=0.0)

    def _look(self, key: str, now: float, *, cost: float) -> float:
        with self._lock:
            spent, since = self._spent.pop(key, (0.0, now))
            spent = max(0.0, spent - (now - since) * self.per_second)
            missing = max(0.0, spent + 1 - self.burst) / self.per_second
            self._spent[key] = (spent if missing else spent + cost, now)
            if len(self._spent) > MAX_KEYS:
                self._spent.popitem(last=False)
        return missing

    def forget(self, key: str) -> None:
        with self._lock:
            self._spent.pop(key, None)
