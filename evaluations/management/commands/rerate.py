from __future__ import annotations

import argparse
import math
import uuid
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from evaluations.actions import reratings
from evaluations.management.classrooms import named
from evaluations.models import Classroom, Evaluation, Rerating, Rubric
from evaluations.rating.rubric import BadRubricError
from queueing.management.base import QueueCommand, length, usage, who
from queueing.models import Worker
from queueing.states import LIVE


class Command(QueueCommand):
    help = (
        "Rate a class's recordings again, from the transcripts that there are, at low priority. The new ratings stand "
        "beside the old ones until they are adopted. Exit code 0 only if all that was asked for is done."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("classroom", metavar="CLASS", help="by its name or number")
        parser.add_argument("--rubric", metavar="NAME[:VERSION]", help="default: the class's")
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--submission", metavar="ID", nargs="+", type=_uuid, help="these only; default: all")
        which.add_argument("--try", dest="count", metavar="N", type=_count, help="only N, spread over the scores")
        parser.add_argument("--extract", action="store_true", help="fill in the forms anew before; they are replaced")
        parser.add_argument(
            "--wait",
            type=length,
            nargs="?",
            const=math.inf,
            metavar="TIME",
            help="come back when all have ended, or fail after TIME (90s, 10m)",
        )
        parser.add_argument("--adopt", action="store_true", help="wait, and let the new ratings count")

    def handle(
        self,
        *args: Any,
        classroom: str,
        rubric: str | None,
        submission: list[uuid.UUID] | None,
        count: int | None,
        extract: bool,
        wait: float | None,
        adopt: bool,
        json: bool,
        **options: Any,
    ) -> None:
        found = named(classroom)
        try:
            report = reratings.order(
                classroom=found,
                rubric=_rubric(rubric) if rubric else found.rubric,
                submissions=submission or _submissions(found, count),
                by=None,
                reason=who(),
                extract=extract,
            )
        except BadRubricError as error:
            raise usage(f"Nothing can be rated by that rubric: {error}") from error
        order, skipped = report.order, dict(report.skipped)
        if order is None:
            result = _result(None, skipped, 0)
            self.print_result(result, _text(result), as_json=json, done=False)
            return
        done = not skipped
        if adopt or wait is not None:
            done = self.wait(math.inf if wait is None else wait, lambda: _progress(order)) and done
            done = done and order.ratings.count() == order.submissions.count()
        adopted = 0
        if adopt:
            adoption = reratings.adopt(rerating=order, by=None)
            adopted, done = len(adoption.adopted), done and not adoption.skipped
            skipped |= adoption.skipped
        result = _result(order, skipped, adopted)
        self.print_result(result, _text(result), as_json=json, done=done)


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no submission's id") from None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 10_000):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of submissions")
    return int(text)


def _rubric(wanted: str) -> Rubric:
    found = Rubric.named(wanted)
    if found is None:
        names = ", ".join(f"{row.name}:{row.version}" for row in Rubric.objects.all())
        raise usage(f"There is no rubric {wanted!r}. There are: {names}.")
    return found


def _submissions(classroom: Classroom, count: int | None) -> list[uuid.UUID]:
    if count:
        return reratings.to_try_on(classroom, count)
    return list(classroom.submissions.values_list("pk", flat=True))


def _progress(order: Rerating) -> tuple[bool, str]:
    """Whether all of its tasks have ended, and how far they are."""
    live = sum(task.state in LIVE for task in reratings.tasks_of(order).values())
    rated, asked = order.ratings.count(), order.submissions.count()
    waits = "" if not live or Worker.objects.alive().exists() else "; no worker is running"
    return not live, f"{rated} of {asked} rated{waits}"


def _result(order: Rerating | None, skipped: Mapping[uuid.UUID, object], adopted: int) -> dict[str, Any]:
    """Everything that is known of the order, as plain values."""
    result: dict[str, Any] = {
        "order": None,
        "rubric": None,
        "submissions": [],
        "skipped": {str(key): str(why) for key, why in skipped.items()},
        "adopted": adopted,
    }
    if order is not None:
        tasks, ratings = reratings.tasks_of(order), {row.submission_id: row for row in order.ratings.all()}
        result |= {
            "order": order.pk,
            "rubric": f"{order.rubric.name}:{order.rubric.version}",
            "submissions": [
                _row(row.pk, row.evaluation, ratings.get(row.pk), tasks[row.pk])
                for row in order.submissions.select_related("evaluation").order_by("created_at", "pk")
            ],
        }
    return result


def _row(key: uuid.UUID, counts: Evaluation | None, new: Evaluation | None, task: Any) -> dict[str, Any]:
    return {
        "submission": str(key),
        "status": task.status.value,
        "error": task.error_code or None,
        "overall": new.overall if new else None,
        "counts": counts.overall if counts else None,
    }


def _text(result: Mapping[str, Any]) -> str:
    lines = [f"{key}: skipped, {why}" for key, why in result["skipped"].items()]
    if result["order"] is None:
        return "\n".join([*lines, "Nothing is rated again."])
    for row in result["submissions"]:
        now = row["overall"] if row["overall"] is not None else "–"
        lines.append(f"{row['submission']}: {row['error'] or row['status']}, now {now}, counts {row['counts']}")
    lines.append(f"Order {result['order']} by {result['rubric']}: {result['adopted']} adopted.")
    return "\n".join(lines)
