"""How quick a class can be served at all: arithmetic, to hold a measured makespan against."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapreplace
from math import ceil

from queueing.policy import batches


@dataclass(frozen=True, slots=True)
class StageTimes:
    """What one student's video costs, in the lab's seconds."""

    stt: float
    extract: float
    rate: float
    switch: float  # to take one phase's models out and to bring the other one's in: half each
    slots: int = 1  # requests that each language model answers at once
    in_turns: bool = False  # one language model is loaded at a time: all of a batch goes through it, then the next

    @property
    def each(self) -> float:
        return self.stt + self.extract + self.rate


def one_at_a_time(students: int, work: StageTimes) -> float:
    """What the lab did before: each student's three stages one after the other, without counting any switch."""
    return students * work.each


def evaluation(tasks: int, work: StageTimes) -> float:
    """The shortest time from `tasks` waiting transcripts to their last rating.

    A flow shop of two stages with `slots` servers each: extraction k of 0, 1, … ends at (k // slots + 1) × extract, and
    each rating begins as soon as its form is there and a server is free. All tasks are alike, so no other order and no
    waiting on purpose could be quicker. In turns, all forms come first, then a switch, then all ratings.
    """
    if work.in_turns:
        return ceil(tasks / work.slots) * (work.extract + work.rate) + work.switch
    free = [0.0] * work.slots
    for task in range(tasks):
        extracted = (task // work.slots + 1) * work.extract
        heapreplace(free, max(extracted, free[0]) + work.rate)
    return max(free)


def lower_bound(students: int, work: StageTimes, *, batch_size: int, nodes: int = 1) -> float:
    """The makespan of this queue's plan if the queue itself took no time.

    One node, batches of n₁, n₂, … ≤ batch_size, phases that never overlap:

        Σ (nᵢ × stt + evaluation(nᵢ)) + switch / 2 + (2 × batches - 1) × switch

    that is one transcription after the other, the two stages of evaluation side by side (or in turns), half a switch to
    load the first model and a whole one between any two phases. Several nodes can at best share all work evenly:

        (students × stt + students × max(extract, rate) / slots) / nodes + switch / 2

    with extract + rate in place of the longer one if the models take turns.
    """
    if nodes > 1:
        evaluated = work.extract + work.rate if work.in_turns else max(work.extract, work.rate)
        busy = students * (work.stt + evaluated / work.slots)
        return busy / nodes + work.switch / 2
    sizes = list(batches.sizes(students, size=batch_size))
    switches = 2 * len(sizes) - 0.5
    return sum(size * work.stt + evaluation(size, work) for size in sizes) + switches * work.switch


def floor(students: int, work: StageTimes) -> float:
    """What no queue on one GPU can beat: the same without batches, each kind of model loaded once."""
    return lower_bound(students, work, batch_size=students)
