"""`python -m tests.chaos [PART …]`: all parts at their full length, or one with its own options; on servers of its own.

Exit status 1 if any of them found fault.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="introeval-chaos-") as folder:
        for given in ("DATABASE_URL", "REDIS_URL"):
            os.environ.pop(given, None)
        os.environ |= {"DATA_DIR": folder, "DATABASE_POOL_SIZE": "0", "DJANGO_SETTINGS_MODULE": "introeval.settings"}
        os.environ["API_PER_SECOND"] = "1000000"  # all students of a storm come from one address
        os.environ.setdefault("LOG_LEVEL", "ERROR")
        from introeval import embedded

        with embedded.services(Path(folder)):
            import django
            from django.core.management import call_command

            django.setup()
            chosen = [sys.argv[1:]] if sys.argv[1:] else [[part] for part in _parts()]
            runs = [_parser().parse_args(arguments) for arguments in chosen]
            call_command("migrate", verbosity=0)
            return max([_run(options) for options in runs])


def _run(options: argparse.Namespace) -> int:
    print(f"== {options.part}", flush=True)
    status: int = options.run(options)
    return status


def _parts() -> dict[str, ModuleType]:
    """Each has `add_arguments(parser)` and `run(options)`, which returns the exit status."""
    from tests.chaos import askers, explorer, lesson, machine, planted, soak, storm, switches, up
    from tests.evaluations.media import mutants

    return {
        "faults": planted,
        "explorer": explorer,
        "machine": machine,
        "switches": switches,
        "media": mutants,
        "lesson": lesson,
        "storm": storm,
        "up": up,
        "coach": askers,
        "soak": soak,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="part")
    for name, module in _parts().items():
        command = commands.add_parser(name, help=(module.__doc__ or "").splitlines()[0])
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
