"""The figures of `figures.status` as Prometheus reads them: nothing is counted here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from queueing.policy.alerts import Severity
from queueing.report import figures
from queueing.states import PhaseStep, State

Found = Mapping[str, Any]
Row = tuple[object, ...]
"""The labels' values, then the figure."""


@dataclass(frozen=True, slots=True)
class GaugeSpec:
    """A gauge: what it is, and how it is read out of the figures. What is not known has no row."""

    name: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[Found], Iterable[Row]]


class QueueCollector(Collector):
    """Reads the database at each scrape, once for all gauges."""

    def collect(self) -> Iterator[Metric]:
        found = figures.status()
        for spec in GAUGES:
            family = GaugeMetricFamily(spec.name, spec.help, labels=spec.labels)
            for *labels, value in spec.read(found):
                if value is not None:
                    family.add_metric([str(label) for label in labels], float(str(value)))
            yield family


def text() -> bytes:
    """All gauges now, in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(QueueCollector())
    return generate_latest(registry)


def _tasks(found: Found) -> Iterator[Row]:
    for stage in found["passed"].keys() | found["counts"].keys():
        for state in State:
            yield stage, state.value, found["counts"].get(stage, {}).get(state, 0)


def _ended(found: Found, *outcomes: str) -> Iterator[Row]:
    for window, by_pipeline in found["recent"]["ended"].items():
        for pipeline, ended in by_pipeline.items():
            for outcome in outcomes:
                yield pipeline, window, *([outcome] if len(outcomes) > 1 else []), ended[outcome]


def _waits(found: Found) -> Iterator[Row]:
    for pipeline, spread in found["recent"]["waits"].items():
        for quantile, name in (("0.5", "p50"), ("0.9", "p90")):
            yield pipeline, quantile, spread[name]


def _alerts(found: Found) -> Iterator[Row]:
    counts = Counter((row["kind"], row["severity"]) for row in found["alerts"])
    yield from ((kind, severity, count) for (kind, severity), count in counts.items())


def _of_nodes(name: str) -> Callable[[Found], Iterator[Row]]:
    return lambda found: ((node, seen[name]) for node, seen in found["nodes"].items())


def _models(found: Found) -> Iterator[Row]:
    for node, seen in found["nodes"].items():
        yield from ((node, model, 1) for model in seen["models"])


def _finish(found: Found) -> Iterator[Row]:
    if found["finish"]:
        yield ("low", found["finish"]["low_seconds"])
        yield ("high", found["finish"]["high_seconds"])


GAUGES: Final = (
    GaugeSpec("introeval_tasks", "Tasks by stage and state.", ("stage", "state"), _tasks),
    GaugeSpec(
        "introeval_tasks_passed",
        "Tasks that are through with a stage.",
        ("stage",),
        lambda found: found["passed"].items(),
    ),
    GaugeSpec(
        "introeval_oldest_wait_seconds",
        "How long the first one that waits for a stage has waited.",
        ("stage",),
        lambda found: found["oldest_seconds_of_stage"].items(),
    ),
    GaugeSpec(
        "introeval_failures",
        "Failed tasks by the code of their error.",
        ("code",),
        lambda found: found["failures"].items(),
    ),
    GaugeSpec(
        "introeval_ended",
        "Tasks that ended within a window.",
        ("pipeline", "window", "outcome"),
        lambda found: _ended(found, "done", "failed", "cancelled"),
    ),
    GaugeSpec(
        "introeval_error_ratio",
        "Of those that ended within a window and were not cancelled: that failed.",
        ("pipeline", "window"),
        lambda found: _ended(found, "error_share"),
    ),
    GaugeSpec(
        "introeval_wait_seconds",
        "From handing in to the result, of the last hour's results.",
        ("pipeline", "quantile"),
        _waits,
    ),
    GaugeSpec(
        "introeval_estimates_held_ratio",
        "Of the last hour's estimates: within which the task ended.",
        (),
        lambda found: [(found["recent"]["estimates_held"],)],
    ),
    GaugeSpec("introeval_finish_seconds", "Until all that is in line is done, from and to.", ("bound",), _finish),
    GaugeSpec("introeval_alerts", "Active alerts.", ("kind", "severity"), _alerts),
    GaugeSpec(
        "introeval_alerts_critical",
        "Active alerts that are critical.",
        (),
        lambda found: [(sum(row["severity"] == Severity.CRITICAL for row in found["alerts"]),)],
    ),
    GaugeSpec(
        "introeval_workers_alive",
        "Workers with a heartbeat within a lease.",
        (),
        lambda found: [(sum(row["alive"] for row in found["workers"]),)],
    ),
    GaugeSpec(
        "introeval_phase",
        "1 for what a node's GPU is for and where it is in handing over.",
        ("node", "phase", "step"),
        lambda found: ((row["node"], row["phase"] or "none", row["step"], 1) for row in found["phases"]),
    ),
    GaugeSpec(
        "introeval_phase_seconds",
        "How long a node has been in this step.",
        ("node",),
        lambda found: ((row["node"], row["since_seconds"]) for row in found["phases"]),
    ),
    GaugeSpec(
        "introeval_node_blocked",
        "Whether a node's GPU can't be handed over.",
        ("node",),
        lambda found: ((row["node"], int(row["step"] == PhaseStep.BLOCKED)) for row in found["phases"]),
    ),
    GaugeSpec(
        "introeval_pauses",
        "Active pauses.",
        ("what", "node"),
        lambda found: ((row["what"], row["node"] or "all", 1) for row in found["pauses"]),
    ),
    GaugeSpec(
        "introeval_server_open",
        "Whether a model server that failed is left alone.",
        ("server",),
        lambda found: ((row["server"], int(row["open"])) for row in found["servers"]),
    ),
    GaugeSpec("introeval_model_loaded", "1 for each model in memory.", ("node", "model"), _models),
    GaugeSpec(
        "introeval_gpu_memory_used_ratio", "Of the GPU's memory, all programs'.", ("node",), _of_nodes("gpu_used")
    ),
    GaugeSpec("introeval_gpu_celsius", "The GPU's temperature.", ("node",), _of_nodes("gpu_celsius")),
    GaugeSpec("introeval_disk_free_ratio", "Of the disk of DATA_DIR.", ("node",), _of_nodes("disk_free")),
)
