"""Whose the GPU's memory is: ours or others', by what the device as a whole reports before and after our loads.

`Phase.empty_bytes` is what others hold: the memory in use when nothing of ours was loaded. It is on record, so that the
successor of a killed worker does not take memory of a language model that is slowly released for somebody else's.

What the device as a whole can't show: when another program leaves just while ours is slowly released, its
share of the memory looks like ours that came back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from queueing.engines.base import ON_GPU_SHARE, Engine, Resident
from queueing.exceptions import Infrastructure, StageError
from queueing.gpu import Absent, Gpu, GpuMemoryFacts, GpuProcess, GpuReading, Unknown, mib
from queueing.models import Phase
from queueing.policy.memory_plan import ADMIT_SHARE, MIB, SPARE_BYTES
from queueing.states import PhaseStep

TOLERANCE_BYTES = 256 * MIB  # others' memory moves by as much by itself: a desktop, a browser
UNKNOWN = "the GPU's state is unknown"
ACCEPT = "manage.py queue_recover --accept-gpu-memory"


class GpuRefuses(Infrastructure):
    """The GPU does not allow the next step of a hand-over."""


class GpuMemory:
    """What is ours and what is others' on the GPU of one node. Only the node's coordinator and its worker use it."""

    def __init__(self, gpu: Gpu, row: Phase) -> None:
        self.gpu, self.row = gpu, row
        self.needs: Mapping[int, int | None] = {}  # bytes by the engine's id(), as given after the unload
        self.ours = 0  # bytes that our loads have added
        self.last_seen: tuple[float | None, float | None] = None, None  # share in use and °C, as `outlook` read them
        self._held: Mapping[int, int] = {}  # bytes by process, as `outlook` read them, where the driver says so
        self._empty: GpuMemoryFacts | None = None  # as it was when nothing of ours was in memory the last time
        # Since then something of ours was loaded, or may have been. Not if the row says idle: that was verified.
        self._loaded = row.step != PhaseStep.IDLE
        self._measured = True
        self._our_pids: frozenset[int] = frozenset()  # came with our loads: not named among the others

    @property
    def matters(self) -> bool:
        """Whether any of our models may use the GPU. Others' business on it is not ours if none does."""
        return any(need != 0 for need in self.needs.values())

    def before_unload(self, held: Sequence[Resident], *, intact: bool) -> None:
        """Record what others hold as long as nothing of ours is released.

        Args:
            held: what of ours is in memory, as the engines report it.
            intact: all of what was loaded is still there, so that `ours` is true.
        """
        self._loaded |= any(one.pid is None for one in held)  # a server's model: whoever asked for it
        facts = self.gpu.read()
        if not isinstance(facts, GpuMemoryFacts):
            return
        self.row.refresh_from_db(fields=["empty_bytes"])  # a person may have cleared it
        if self.row.empty_bytes is None:
            reported = sum(one.gpu_bytes for one in held)
            self._record(facts.used - (max(self.ours, reported) if held else 0))
        elif intact and self.ours:
            # Another program has left meanwhile: what it held must not hide as much of ours.
            self._record(min(self.row.empty_bytes, facts.used - self.ours))
        elif self._empty is None and self._loaded:
            self.ours = max(0, facts.used - self.row.empty_bytes)  # left by a predecessor, until its release is seen

    def read_needs(self, engines: Iterable[Engine]) -> None:
        """Read what the models will take, once they are unloaded."""
        self.needs = {id(engine): _need(engine) for engine in engines}

    def expect(self, engines: Sequence[Engine], needs: Sequence[int | None]) -> None:
        """The plan gives these engines fewer slots than they would take: so they need less."""
        self.needs = {**self.needs, **dict(zip(map(id, engines), needs, strict=False))}

    def still_held(self) -> str:
        """Why not all memory of ours has come back yet; empty when it has. To be called when no model is reported.

        Raises:
            GpuRefuses: the GPU's state is unknown.
        """
        facts = self._facts()
        if facts is None:
            return ""
        if not self._loaded or self.row.empty_bytes is None:
            self._record(facts.used)  # nothing of ours has been there since the last reading: others have grown
        empty = self.row.empty_bytes or 0
        if facts.used > empty + TOLERANCE_BYTES:
            return (
                f"the GPU's memory has not come back: {mib(facts.used)} of {mib(facts.total)} are in use, {mib(empty)} "
                f"were when nothing of ours was loaded{_named(self._others(facts))}. "
                f"If that is others' and may stay: {ACCEPT}"
            )
        self._record(min(empty, facts.used))
        self._empty, self.ours, self._loaded, self._our_pids = facts, 0, False, frozenset()
        return ""

    def admit(self, engine: Engine) -> None:
        """Let the engine load its model.

        Raises:
            GpuRefuses: there is no room for it, or the GPU's state is unknown.
        """
        need = self.needs.get(id(engine))
        if need == 0 or engine.resident():
            return  # it takes nothing, or nothing more: another engine may have loaded this model
        facts = self._facts()
        if facts and (facts.free < (need or 0) + SPARE_BYTES or (need and not _fits(facts, need))):
            wanted = f"{mib(need)} and {mib(SPARE_BYTES)} to spare" if need else f"at least {mib(SPARE_BYTES)}"
            raise GpuRefuses(
                f"no room for {engine.model} on the GPU: it needs {wanted}, {mib(facts.free)} of {mib(facts.total)} "
                f"are free and at most {ADMIT_SHARE:.0%} may be in use{_named(facts.holders)}"
            )
        self._loaded = True

    def misplaced(self, engine: Engine) -> str:
        """Measure what the load took. Returns why the model is not where it should be; empty when it is."""
        need = self.needs.get(id(engine))
        if need == 0:
            return ""
        reading = self.gpu.read()
        self._measure(reading)
        if not isinstance(reading, GpuMemoryFacts):
            return ""
        for one in engine.resident():
            if (share := _on_gpu(one, need)) < ON_GPU_SHARE:
                return (
                    f"only {share:.0%} of {one.model} is on the GPU, so it would be slow{_named(self._others(reading))}"
                )
        return ""

    def outlook(self) -> tuple[float | None, str]:
        """The share of the card that others leave to us (None: unknown), and a text on who takes the rest."""
        if not self.matters:
            return 1.0, ""
        self.last_seen, self._held = (None, None), {}
        match self.gpu.read():
            case Absent():
                return 1.0, ""
            case Unknown(reason):
                return None, f"{UNKNOWN}: {reason}"
            case GpuMemoryFacts() as facts:
                self.last_seen = facts.used / facts.total, facts.celsius
                self._held = {one.pid: one.bytes for one in facts.holders if one.bytes}
                if not self._measured:
                    self._measure(facts)
                foreign = max(0, facts.used - self.ours)
                taken = f"{foreign / facts.total:.0%} of the GPU's memory is taken by other programs"
                return 1 - foreign / facts.total, taken + _named(self._others(facts), ": ")

    def held_by(self, pid: int) -> int:
        """Bytes of the GPU's memory that a process held at the last sample; 0 where that is unknown."""
        return self._held.get(pid, 0)

    def _facts(self) -> GpuMemoryFacts | None:
        """None: no GPU that matters."""
        reading = self.gpu.read() if self.matters else None
        if isinstance(reading, Unknown):
            raise GpuRefuses(f"{UNKNOWN}: {reading.reason}")
        return reading if isinstance(reading, GpuMemoryFacts) else None

    def _measure(self, reading: GpuReading) -> None:
        self._measured = not isinstance(reading, Unknown)  # else at the next sample that is known
        if isinstance(reading, GpuMemoryFacts) and self._empty:
            self.ours = max(0, reading.used - self._empty.used)
            self._our_pids = _pids(reading) - _pids(self._empty)

    def _record(self, used: int) -> None:
        if self.row.empty_bytes != (used := max(0, used)):
            self.row.empty_bytes = used
            Phase.objects.filter(pk=self.row.pk).update(empty_bytes=used)

    def _others(self, facts: GpuMemoryFacts) -> list[GpuProcess]:
        return [one for one in facts.holders if one.pid not in self._our_pids]


def _need(engine: Engine) -> int | None:
    try:
        return engine.needs()
    except StageError:
        return None  # its server does not answer: the other phase must not wait for that


def _fits(facts: GpuMemoryFacts, need: int) -> bool:
    return facts.used + need <= ADMIT_SHARE * facts.total


def _named(holders: Sequence[GpuProcess], lead: str = "; on it: ") -> str:
    return lead + ", ".join(map(str, holders)) if holders else ""


def _on_gpu(one: Resident, need: int | None) -> float:
    """A server reports how much of its model is where; of a process of ours only the device is known."""
    if one.pid is None:
        return one.gpu_bytes / one.bytes if one.bytes else 1.0
    return 0.0 if need and one.device == "cpu" else 1.0


def _pids(facts: GpuMemoryFacts) -> frozenset[int]:
    return frozenset(one.pid for one in facts.holders)
