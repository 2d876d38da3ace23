#!/usr/bin/env python
"""Every command, with the embedded services running for as long as it does."""

import gc
import os
import sys


def main() -> None:
    gc.disable()  # while all is imported that stays: `heap.settle` turns it on
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "introeval.settings")
    from introeval import embedded, logs
    from introeval.management import start

    logs.configure()
    try:
        with embedded.services_for(sys.argv, first=lambda: start.prepare(sys.argv)):
            start.execute(sys.argv)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
