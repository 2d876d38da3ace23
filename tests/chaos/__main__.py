"""`python -m tests.chaos explorer | faults …`, on servers of its own."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="introeval-chaos-") as folder:
        for given in ("DATABASE_URL", "REDIS_URL"):
            os.environ.pop(given, None)
        os.environ |= {"DATA_DIR": folder, "DATABASE_POOL_SIZE": "0", "DJANGO_SETTINGS_MODULE": "introeval.settings"}
        os.environ.setdefault("LOG_LEVEL", "ERROR")
        from introeval import embedded

        with embedded.services(Path(folder)):
            import django
            from django.core.management import call_command

            django.setup()
            options = _options()
            call_command("migrate", verbosity=0)
            status: int = options.run(options)
            return status


def _options() -> argparse.Namespace:
    from tests.chaos import explorer, machine, planted

    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    commands = parser.add_subparsers(required=True)
    for name, module in {"explorer": explorer, "faults": planted, "machine": machine}.items():
        command = commands.add_parser(name, help=(module.__doc__ or "").splitlines()[0])
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
