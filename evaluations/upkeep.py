"""What this app tidies up when a worker of the queue does."""

from __future__ import annotations

import time

from evaluations.uploads import intake

EVERY_SECONDS = 300.0


class _Next:
    """When it is due again, in this process."""

    at = 0.0


def tidy(**_: object) -> None:
    """Remove abandoned uploads and hand in complete ones; at most once in EVERY_SECONDS."""
    if time.monotonic() >= _Next.at:
        _Next.at = time.monotonic() + EVERY_SECONDS
        intake.expire_uploads()
