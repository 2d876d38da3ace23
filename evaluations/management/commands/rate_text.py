from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from evaluations.management.results import as_json, as_text
from evaluations.models import Rubric
from evaluations.rating import default_rubric
from evaluations.rating.rubric import BadRubricError, RubricSpec
from evaluations.uploads import local_texts
from queueing import gpu
from queueing.checks import RUNTIME
from queueing.engines import build
from queueing.engines.base import Engines
from queueing.exceptions import QueueError
from queueing.worker.options import Options

STOPPED = 130  # the exit code of what Ctrl-C ended, by the shells' convention


class Command(BaseCommand):
    help = (
        "Rate transcripts given as text files: form and rating, without audio and queue, for trying a rubric or a "
        "model. Without --rubric it needs no database. Exit code 0 only if all completed."
    )
    requires_system_checks = (RUNTIME,)

    def add_arguments(self, parser: CommandParser) -> None:
        languages = [code for code, _ in settings.LANGUAGES]
        parser.add_argument("files", nargs="+", metavar="FILE", help="UTF-8, at most 100 kB; - is standard input")
        parser.add_argument("--language", choices=languages, default="en", help="of the texts (default: %(default)s)")
        parser.add_argument("--rubric", metavar="NAME[:VERSION]", help="one of the site's; else the default one")
        parser.add_argument("--json", action="store_true", help="print a JSON list, one object per file")

    def handle(self, *args: Any, files: list[str], language: str, rubric: str | None, **options: Any) -> None:
        spec = _of_the_site(rubric) if rubric else default_rubric.of_language(language)
        engines = build.from_settings(settings)
        if not engines.can_judge:
            self.stderr.write(f"{engines.language['rate'].model} can't judge: there will be a form, and no score.")
        try:
            with _alone_on_the_gpu(engines):
                texts = local_texts.rate_files(
                    files, language, spec, engines, attempts=settings.MAX_ATTEMPTS, say=self._say
                )
        except KeyboardInterrupt:
            raise CommandError("Stopped.", returncode=STOPPED) from None
        except QueueError as error:
            raise CommandError(str(error)) from error
        results = [local_texts.result(text) for text in texts]
        self.stdout.write(as_json(results) if options["json"] else as_text(results))
        if not all(text.completed for text in texts):
            raise SystemExit(1)

    def _say(self, name: str, how: str) -> None:
        self.stderr.write(f"{name}: {how}")


def _of_the_site(wanted: str) -> RubricSpec:
    try:
        found = Rubric.named(wanted)
        if found is None:
            raise CommandError(f"There is no rubric {wanted!r}. {_existing()}")
        spec = found.spec()
        spec.validate()
    except DatabaseError as error:
        raise CommandError(f"Rubrics are in the database, which could not be asked: {error}") from error
    except BadRubricError as error:
        raise CommandError(f"Nothing can be rated by {wanted}: {error}") from error
    return spec


def _existing() -> str:
    return "There are: " + ", ".join(f"{rubric.name}:{rubric.version}" for rubric in Rubric.objects.all())


@contextmanager
def _alone_on_the_gpu(engines: Engines) -> Iterator[None]:
    """Hold the node's lock, as its worker does, if a model would lie on its GPU.

    Raises:
        gpu.NodeBusy: a worker drives it, with models of its own.
    """
    if all(engine.needs() == 0 for engine, _ in engines.language_models()):
        yield
        return
    with gpu.node_lock(Options.from_settings(settings).lock_dir, settings.NODE):
        yield
