from __future__ import annotations

import json
import math
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from evaluations.actions import marking
from evaluations.management.classrooms import named
from evaluations.models import Classroom
from evaluations.rating.calibration.agreement import ENOUGH, Agreement, Spread
from queueing.checks import RUNTIME
from queueing.management.base import table


class Command(BaseCommand):
    help = (
        "How far the ratings of a class are from what its teachers marked blind (on the class's page “How far to trust "
        "it”), and what tells nobody apart. Exit code 0 only if enough is marked."
    )
    requires_system_checks = (RUNTIME,)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("classroom", metavar="CLASS", help="its name or its number")
        parser.add_argument("--fit", action="store_true", help="fit the model's probabilities to the marks; then used")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of words")

    def handle(self, *args: Any, classroom: str, fit: bool, **options: Any) -> None:
        found = named(classroom)
        agreed, spread = marking.agreement_of(found), marking.spread_of(found)
        fitted = self._fit(found) if fit else []
        if options["json"]:
            known = {"classroom": found.name, "agreement": agreed.as_dict(), "spread": spread.as_dict()}
            self.stdout.write(json.dumps({**known, "fitted": fitted}, indent=2))
        else:
            self.stdout.write("\n".join([found.name, *_words(agreed, spread), *(f"Fitted: {each}" for each in fitted)]))
        if not agreed.is_enough:
            raise SystemExit(1)

    def _fit(self, classroom: Classroom) -> list[str]:
        if marking.marked_count(classroom) < ENOUGH:
            raise CommandError(f"{ENOUGH} marked submissions are needed.")
        try:
            return [str(row) for row in marking.fit(classroom, by=None)]
        except marking.NothingToFitError as error:
            raise CommandError(str(error)) from error


def _words(agreed: Agreement, spread: Spread) -> list[str]:
    state = "calibrated" if agreed.is_enough else f"not calibrated: {ENOUGH} marked submissions are needed"
    lines = [f"{agreed.ratings} marked ({state})"]
    if agreed.items:
        head = ("item", "marked", "yes", "right", "kappa", "unsure")
        rows = [
            (item.key, str(item.marked), str(item.yes), _figure(item.right), _figure(item.kappa), _figure(item.unsure))
            for item in agreed.items
        ]
        lines += ["", *table("<>>>>>", head, rows), ""]
        lines.append(
            f"all items {_figure(agreed.right)} right, scores: weighted kappa {_figure(agreed.weighted_kappa)}, "
            f"bias {agreed.bias:+.2f}"
        )
    lines += [f"{key}: nearly everybody passes" for key in spread.ceiling]
    lines += [f"{key}: nearly nobody passes" for key in spread.floor]
    if spread.is_crowded:
        lines.append(f"{spread.top_share:.0%} of the class are in the top band")
    return lines


def _figure(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"
