"""The pipeline `evaluation` with simulated stages, whose effects can be counted."""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Event

import numpy as np
from django.db import connection

from evaluations.stages.names import Stage
from evaluations.stages.pipeline import PIPELINE
from introeval.rehearsal.outages import Outages
from queueing import pipelines
from queueing.engines.base import Engines, LanguageOptions, Progress, Prompt, Samples
from queueing.models import Task

SILENCE: Samples = np.zeros(0, dtype=np.float32)
PROMPT, OPTIONS = Prompt("", ""), LanguageOptions()

EFFECTS = """
    CREATE TABLE rehearsal_effect (
        id bigserial PRIMARY KEY, task bigint NOT NULL, stage text NOT NULL, epoch bigint NOT NULL,
        worker uuid NOT NULL, node text NOT NULL, began float8 NOT NULL, ended float8 NOT NULL,
        saved_at timestamptz NOT NULL DEFAULT statement_timestamp()
    )
"""
# No constraint: what must not happen has to be counted, not refused.
WRITE = "INSERT INTO rehearsal_effect (task, stage, epoch, worker, node, began, ended) VALUES (%s,%s,%s,%s,%s,%s,%s)"


@dataclass(frozen=True, slots=True)
class Computed:
    """When an engine worked, by the machine's clock."""

    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One stage's handler on one node."""

    stage: Stage
    node: str
    outages: Outages

    def prepare(self, task: Task) -> None:
        """It needs nothing."""

    def compute(self, work: None, engines: Engines, progress: Progress, stop: Event) -> Computed:
        began = time.time()
        self.outages.raise_if_active("disk", code="disk_full")
        match self.stage:
            case Stage.TRANSCRIBE:
                engines.speech.transcribe(SILENCE, progress=progress, stop=stop)
            case Stage.EXTRACT:
                engines.language["extract"].generate(PROMPT, {}, OPTIONS, stop=stop)
            case Stage.RATE:
                engines.language["rate"].generate(PROMPT, {}, OPTIONS, stop=stop)
        return Computed(began, time.time())

    def save(self, task: Task, result: Computed) -> None:
        effect = (task.pk, self.stage, task.epoch, task.worker_id, self.node, result.began, result.ended)
        with connection.cursor() as cursor:
            cursor.execute(WRITE, effect)
            if self.outages.take_once("twice"):
                cursor.execute(WRITE, effect)


def register(node: str, outages: Outages) -> None:
    """From here on this process knows the lab's own pipeline, with simulated stages."""
    handlers = {spec.name: Rehearsed(Stage(spec.name), node, outages) for spec in PIPELINE.stages}
    pipelines.register(PIPELINE.served_by(handlers))


def prepare_database() -> None:
    """The table of effects; and tasks whose submissions do not exist, since the queue knows no students."""
    submissions = Task._meta.get_field("submission").remote_field.model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(EFFECTS)
        cursor.execute(
            "SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid = %s::regclass"
            " AND confrelid = %s::regclass",
            [Task._meta.db_table, submissions],
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f'ALTER TABLE {Task._meta.db_table} DROP CONSTRAINT "{name}"')
