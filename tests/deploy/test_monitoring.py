"""What dashboard and alert rules ask for exists: metrics, labels, and the grammar as far as it is used there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from queueing.policy.alerts import LAB_KINDS
from queueing.report.lately import Window
from queueing.report.metrics import GAUGES
from queueing.states import State

MONITORING: Final = Path(__file__).parents[2] / "deploy" / "monitoring"
LABELS: Final = {spec.name: set(spec.labels) for spec in GAUGES} | {"up": {"job", "instance"}}
VALUES: Final = {
    "window": {window.value for window in Window},
    "state": set(State.values),
    "outcome": {"done", "failed", "cancelled"},
    "severity": {"warning", "critical"},
    "bound": {"low", "high"},
    "job": {"introeval"},
    "kind": LAB_KINDS,
}
TOKEN: Final = re.compile(
    r"\s*(?:(?P<name>[a-zA-Z_:][\w:]*)|(?P<text>\"[^\"]*\")|(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<sign>==|!=|>=|<=|=~|!~|[-+*/%><=(){},]))"
)
SETS: Final = ("and", "or", "unless")
AGGREGATES: Final = ("sum", "min", "max", "avg", "count")
FUNCTIONS: Final = ("vector",)
COMPARED: Final = ("==", "!=", ">=", "<=", ">", "<")


class PromQlError(Exception):
    """The expression is not of the grammar, or asks for what there is not."""


class Expression:
    """A parser of the part of PromQL that these files use: instant vectors, aggregates, comparisons and sets."""

    def __init__(self, text: str) -> None:
        self.tokens = list(self._tokens(text))
        self.at = 0
        self._sets()
        if self.at != len(self.tokens):
            raise PromQlError(f"{text}: nothing may follow before {self.tokens[self.at]}")

    def _tokens(self, text: str) -> Iterator[str]:
        at = 0
        while at < len(text.rstrip()):
            found = TOKEN.match(text, at)
            if not found:
                raise PromQlError(f"{text}: what is {text[at : at + 10]!r}?")
            at = found.end()
            yield found[0].strip()

    def _peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def _take(self, *wanted: str) -> str:
        token = self._peek()
        if not token or (wanted and token not in wanted):
            raise PromQlError(f"{' or '.join(wanted) or 'something'} is wanted before {token or 'the end'}")
        self.at += 1
        return token

    def _sets(self) -> None:
        self._compared()
        while self._peek() in SETS:
            self._take()
            if self._peek() in ("on", "ignoring"):
                self._take()
                self._names(set().union(*LABELS.values()))
            self._compared()

    def _compared(self) -> None:
        self._value()
        while self._peek() in (*COMPARED, "+", "-", "*", "/"):
            self._take()
            self._value()

    def _value(self) -> None:
        token = self._take()
        if token == "(":
            self._sets()
            self._take(")")
        elif token in AGGREGATES:
            by: set[str] | None = None
            if self._peek() in ("by", "without"):
                self._take()
                by = self._names(set().union(*LABELS.values()))
            self._take("(")
            began = self.at
            self._sets()
            self._take(")")
            if by and (inner := self.tokens[began]) in LABELS and not by <= LABELS[inner]:
                raise PromQlError(f"{inner} has no {by - LABELS[inner]}")
        elif token in FUNCTIONS:
            self._take("(")
            self._sets()
            self._take(")")
        elif re.fullmatch(r"\d+(\.\d+)?", token):
            return
        elif token in LABELS:
            self._selector(token)
        else:
            raise PromQlError(f"there is no metric {token}")

    def _selector(self, metric: str) -> None:
        if self._peek() != "{":
            return
        self._take("{")
        while True:
            label = self._take()
            if label not in LABELS[metric]:
                raise PromQlError(f"{metric} has no label {label}")
            self._take("=", "!=", "=~", "!~")
            value = self._take()
            if not value.startswith('"'):
                raise PromQlError(f"{value} is no text")
            if label in VALUES and value.strip('"') not in VALUES[label]:
                raise PromQlError(f"{label} is never {value}")
            if self._take(",", "}") == "}":
                return

    def _names(self, known: set[str]) -> set[str]:
        self._take("(")
        found: set[str] = set()
        while self._peek() != ")":
            if (name := self._take()) not in known:
                raise PromQlError(f"no metric has a label {name}")
            found.add(name)
            if self._peek() == ",":
                self._take()
        self._take(")")
        return found


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((MONITORING / "grafana.json").read_text())
    return found


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def test_what_the_dashboard_shows_exists() -> None:
    panels = dashboard()["panels"]
    for target in (target for panel in panels for target in panel["targets"]):
        Expression(target["expr"])
        metrics = [token for token in Expression(target["expr"]).tokens if token in LABELS]
        shown = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        assert all(shown <= LABELS[metric] for metric in metrics), target
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)


def test_the_dashboard_shows_every_gauge_but_those_that_another_one_tells() -> None:
    asked = " ".join(target["expr"] for panel in dashboard()["panels"] for target in panel["targets"])
    missing = {spec.name for spec in GAUGES if not re.search(rf"\b{spec.name}\b", asked)}
    assert missing == {"introeval_alerts", "introeval_phase_seconds", "introeval_tasks_passed"}


def test_what_the_rules_ask_for_exists_and_each_names_its_cure() -> None:
    for rule in rules():
        Expression(rule["expr"])
        assert set(rule["annotations"]) == {"summary", "cure"}
        assert rule["labels"]["severity"] in VALUES["severity"]
        assert re.fullmatch(r"\d+m", rule.get("for", "1m"))
    assert len({rule["alert"] for rule in rules()}) == len(rules())


def test_prometheus_reads_what_the_site_serves() -> None:
    document = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    (job,) = document["scrape_configs"]
    assert (job["job_name"], job["metrics_path"]) == ("introeval", "/metrics")
    assert all((MONITORING / name).is_file() for name in document["rule_files"])


@pytest.mark.parametrize(
    "wrong",
    [
        "introeval_nothing",
        'introeval_tasks{node="x"}',
        'introeval_tasks{state="gone"}',
        'introeval_tasks{state="queued"',
        "sum(introeval_tasks",
        "sum(introeval_tasks))",
        "sum by (node) (introeval_tasks)",
        "introeval_workers_alive >",
        "introeval_workers_alive 5",
        "introeval_tasks{state=queued}",
        "introeval_workers_alive and",
        "",
    ],
)
def test_what_is_wrong_is_refused(wrong: str) -> None:
    with pytest.raises(PromQlError):
        Expression(wrong)
