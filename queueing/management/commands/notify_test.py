from __future__ import annotations

from concurrent.futures import wait
from functools import partial
from typing import Any, Final

from queueing.management.base import QueueCommand
from queueing.report import channels
from queueing.report.channels import OperatorMessage

MOST_SECONDS: Final = 60.0
MESSAGE: Final = OperatorMessage(
    "IntroEval, a trial message", "Alerts of the lab reach you by this way. Somebody has asked for this one."
)


class Command(QueueCommand):
    help = "Send a trial message to ALERT_EMAILS and NOTIFY_URLS, and say of each whether it was taken."

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        sent = {name: channels.begin(partial(channel, MESSAGE)) for name, channel in channels.configured().items()}
        ended, _ = wait(sent.values(), MOST_SECONDS)
        errors = {
            name: str(outcome.exception() or "") if outcome in ended else f"no answer within {MOST_SECONDS:.0f} s"
            for name, outcome in sent.items()
        }
        lines = [f"{name}: {error or 'taken'}" for name, error in errors.items()]
        text = "\n".join(lines) or "Nobody is told of alerts: set ALERT_EMAILS or NOTIFY_URLS (docs/settings.md)."
        self.print_result({"errors": errors}, text, as_json=json, done=bool(errors) and not any(errors.values()))
