"""A worker's rounds while a model server is away: the servers listen on loopback, the commands are scripts on PATH."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from evaluations.stages.names import Stage
from queueing.engines.base import Engines, LanguageOptions, Resident
from queueing.engines.llm import faults
from queueing.engines.llm.openai_compatible import OpenAICompatible
from queueing.engines.speech.simulated import SimulatedSpeech
from queueing.models import Attempt, Breaker, Event, Pause, Phase, Task, in_seconds
from queueing.policy import breaker, phases
from queueing.policy.breaker import BreakerConfig, Sign
from queueing.policy.memory_plan import Mode
from queueing.policy.retries import RetryLimits
from queueing.states import PhaseName, PhaseStep, State
from queueing.worker import restart
from queueing.worker.model_servers import _probe, address
from queueing.worker.options import Options
from queueing.worker.process import PhaseWorker
from tests.doubles import acts
from tests.queueing.engines.llm import servers
from tests.queueing.engines.llm.servers import FakeOpenAI

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

ReadyTo = Callable[..., Task]
QUICK = BreakerConfig(first_pause=0.05, max_pause=0.1, restart_grace=0.1, given_up_pause=60.0)
RESTART = restart.parse("docker restart ollama")


@pytest.fixture
def serve() -> Iterator[Callable[[FakeOpenAI], FakeOpenAI]]:
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(servers.serving(server))


@pytest.fixture
def restarts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """What `docker` was called with, by a script of that name which only records it."""
    journal, program = tmp_path / "journal", tmp_path / "docker"
    program.write_text(f'#!/bin/sh\necho "$@" >> {journal}\necho restarted\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return lambda: journal.read_text().splitlines() if journal.exists() else []


class ServerRounds:
    """A registered worker without its heartbeat, and its rounds."""

    def __init__(self, worker: PhaseWorker) -> None:
        self.process = worker
        self.loop = worker.register()

    def until(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        """The bound only ends a broken test."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "timed out"
            if not self.loop.run_once():
                time.sleep(0.02)

    def rounds(self, number: int) -> None:
        for _ in range(number):
            self.loop.run_once()
            time.sleep(0.02)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Callable[..., ServerRounds]]:
    made: list[ServerRounds] = []

    def make(
        extract: str, rate: str, *, name: str = "n", action: restart.RestartAction | None = None, **more: Any
    ) -> ServerRounds:
        options = Options(
            limits=phases.Limits(2, batch_max_wait_seconds=0.01, max_dwell_seconds=600, idle_unload_seconds=60),
            retries=RetryLimits(max_attempts=3, max_crashes=2, backoff_seconds=0.1),
            lease_seconds=10,
            heartbeat_seconds=1,
            poll_seconds=0.05,
            stop_grace_seconds=0.5,
            lock_dir=tmp_path,
            restarts={"extract": action, "rate": action},
            **{"breaker": QUICK, "probe_seconds": 0.3, **more},
        )
        extractor, rater = (OpenAICompatible(url, "small", slots=2, context_tokens=8192) for url in (extract, rate))
        engines = Engines(
            SimulatedSpeech(seconds=0.05), {"extract": extractor, "rate": rater if rate != extract else extractor}
        )
        work = ServerRounds(PhaseWorker(name, engines, options))
        made.append(work)
        return work

    yield make
    for work in made:
        work.loop.servers.leave()
        work.loop.jobs.stop(work.loop.jobs.held())


def state(task: Task) -> tuple[str, str]:
    task.refresh_from_db()
    return task.stage, task.state


def opened(times: int = 1) -> Callable[[], bool]:
    return lambda: Breaker.objects.filter(openings__gte=times).exists()


def test_a_server_that_never_comes_back_is_restarted_exactly_three_times(
    ready_to: ReadyTo, node: Callable[..., ServerRounds], restarts: Callable[[], list[str]]
) -> None:
    """F56"""
    task = ready_to(Stage.EXTRACT)
    dead = servers.closed_port()
    work = node(dead, dead, action=RESTART)
    work.until(Breaker.objects.filter(restarts=3, open_until__gt=in_seconds(50)).exists)
    work.rounds(20)
    assert restarts() == ["restart ollama"] * 3
    assert [event.detail["output"] for event in Event.objects.filter(kind="server_restarted")] == ["restarted"] * 3
    breaker = Breaker.objects.now().get()
    assert breaker.given_up
    assert breaker.breaker_state.pausing  # for a minute
    assert state(task) == (Stage.EXTRACT, State.QUEUED)
    assert (task.failures, task.crashes) == (0, 0)
    assert Attempt.objects.count() == 0  # it never was put at risk


def test_without_an_action_nothing_is_restarted_and_the_server_is_asked_on_and_on(
    ready_to: ReadyTo, node: Callable[..., ServerRounds], restarts: Callable[[], list[str]]
) -> None:
    ready_to(Stage.EXTRACT)
    dead = servers.closed_port()
    node(dead, dead).until(opened(times=6))
    assert restarts() == []


@pytest.fixture
def bad_answers(
    ready_to: ReadyTo, node: Callable[..., ServerRounds], serve: Callable[[FakeOpenAI], FakeOpenAI]
) -> Callable[[], None]:
    """A class whose every answer is invalid."""

    def scenario() -> None:
        tasks = [ready_to(Stage.EXTRACT) for _ in range(3)]
        url = serve(FakeOpenAI([acts.saying("no JSON")] * 200)).url

        def ended() -> bool:
            return all(state(task)[1] == State.FAILED for task in tasks)

        node(url, url).until(lambda: ended() or Breaker.objects.exists())
        assert {task.error_code for task in tasks} == {"invalid_answer"}
        assert not Breaker.objects.exists()

    return scenario


def test_bad_answers_are_the_tasks_failures_and_open_nothing(bad_answers: Callable[[], None]) -> None:
    bad_answers()


def test_a_breaker_that_counts_the_tasks_failures_would_be_noticed(
    bad_answers: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "sign_of", lambda error: Sign.FAILURE if error else Sign.ANSWER)
    with pytest.raises(AssertionError):
        bad_answers()


def test_work_that_goes_well_writes_no_breaker_and_reads_none(
    ready_to: ReadyTo,
    node: Callable[..., ServerRounds],
    serve: Callable[[FakeOpenAI], FakeOpenAI],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = serve(FakeOpenAI()).url
    work = node(url, url)
    task = ready_to(Stage.EXTRACT)
    monkeypatch.setattr(Breaker, "objects", None)
    work.until(lambda: state(task)[1] == State.DONE)


def test_a_dead_server_leaves_the_other_ones_stage_alone(
    ready_to: ReadyTo, node: Callable[..., ServerRounds], serve: Callable[[FakeOpenAI], FakeOpenAI]
) -> None:
    """F45: forms wait, ratings go on."""
    waits = ready_to(Stage.EXTRACT)
    work = node(servers.closed_port(), serve(FakeOpenAI()).url, breaker=BreakerConfig(first_pause=60, max_pause=60))
    work.until(opened())
    rated = [ready_to(Stage.RATE) for _ in range(3)]
    work.until(lambda: all(state(task)[1] == State.DONE for task in rated))
    assert state(waits) == (Stage.EXTRACT, State.QUEUED)
    assert Phase.objects.get().step == PhaseStep.ACTIVE


def test_of_models_that_take_turns_the_one_without_a_server_gets_its_turn_when_that_is_back(
    ready_to: ReadyTo, node: Callable[..., ServerRounds], serve: Callable[[FakeOpenAI], FakeOpenAI]
) -> None:
    """F45: it neither keeps the turn while its server is away, nor is forgotten."""
    waits, away, alive = ready_to(Stage.EXTRACT), servers.closed_port(), serve(FakeOpenAI())
    rated = [ready_to(Stage.RATE) for _ in range(3)]
    work = node(away, alive.url, together=False)
    work.until(lambda: all(state(task)[1] == State.DONE for task in rated))
    assert work.loop.coordinator.plan.mode == Mode.SUB_PHASES
    assert state(waits) == (Stage.EXTRACT, State.QUEUED)
    with servers.serving(FakeOpenAI(), urlsplit(away).port or 0):
        work.until(lambda: state(waits)[1] == State.DONE)
    assert not Attempt.objects.exclude(outcome="succeeded").exists()


def test_transcription_gets_the_gpu_while_the_language_model_is_away(
    enqueue: Callable[..., Task], ready_to: ReadyTo, node: Callable[..., ServerRounds]
) -> None:
    """F45"""
    ready_to(Stage.EXTRACT)
    dead = servers.closed_port()
    work = node(dead, dead)
    work.until(opened(times=2))
    upload = enqueue()  # without a file: that it fails shows that it was tried
    work.until(lambda: state(upload)[1] == State.FAILED)


def test_a_server_is_not_asked_while_its_phase_is_paused(
    ready_to: ReadyTo, node: Callable[..., ServerRounds], serve: Callable[[FakeOpenAI], FakeOpenAI]
) -> None:
    ready_to(Stage.EXTRACT)
    url = serve(FakeOpenAI([acts.status(502)] * 1000)).url  # it can be loaded, so the phase stays active
    work = node(url, url)
    work.until(opened())
    Pause.objects.start(Pause.What.EVAL, by="operator", reason="repair")
    work.rounds(5)
    openings = Breaker.objects.get().openings
    work.rounds(15)
    assert Breaker.objects.get().openings == openings


def test_a_silent_server_costs_no_task_an_attempt_and_only_those_that_were_with_it_a_claim(
    ready_to: ReadyTo, node: Callable[..., ServerRounds], serve: Callable[[FakeOpenAI], FakeOpenAI], settings: Any
) -> None:
    """F46: the probe, on which no task depends, is what fails while the server hangs."""
    settings.LLM_DEADLINE_SECONDS = 1.0
    tasks = [ready_to(Stage.EXTRACT) for _ in range(4)]
    server = serve(FakeOpenAI([acts.hang] * 4))
    node(server.url, server.url, probe_seconds=1.0).until(lambda: all(state(task)[1] == State.DONE for task in tasks))
    assert sorted(task.attempts.filter(outcome="infrastructure").count() for task in tasks) == [0, 0, 1, 1]
    assert not any(task.attempts.filter(outcome="transient").exists() for task in tasks)
    assert Event.objects.filter(kind="breaker_open").count() == 1
    assert Event.objects.filter(kind="breaker_close").count() == 1


def test_memory_that_does_not_come_back_may_cost_a_restart_of_the_same_budget(
    node: Callable[..., ServerRounds], restarts: Callable[[], list[str]], serve: Callable[[FakeOpenAI], FakeOpenAI]
) -> None:
    """F40, F56"""
    url = serve(FakeOpenAI()).url
    work = node(url, url, action=RESTART, breaker=BreakerConfig(restart_grace=0.0))
    done = [work.loop.servers.restart_stuck(work.process.engines.language["extract"]) for _ in range(5)]
    assert done == [True, True, True, False, False]
    assert len(restarts()) == 3
    assert Breaker.objects.get().openings > 0  # until it has answered
    assert not work.loop.servers.restart_stuck(work.process.engines.speech)


class Stuck(OpenAICompatible):
    """What its server holds in memory is unknown until it was restarted."""

    restarted: Callable[[], list[str]]

    def unload(self) -> None:
        self.resident()

    def resident(self) -> tuple[Resident, ...]:
        if not self.restarted():
            raise faults.unavailable("silent for 10 s")
        return ()


def test_a_server_that_cannot_even_be_asked_to_unload_is_restarted_so_that_transcription_gets_the_gpu(
    enqueue: Callable[..., Task],
    ready_to: ReadyTo,
    node: Callable[..., ServerRounds],
    restarts: Callable[[], list[str]],
) -> None:
    """F46: its whole control plane hangs, so nothing may be loaded beside it."""
    ready_to(Stage.EXTRACT)
    dead = servers.closed_port()
    work = node(dead, dead, action=RESTART)
    work.loop.coordinator.verify_seconds = 0.2
    work.process.engines.language["extract"].__class__ = Stuck
    setattr(work.process.engines.language["extract"], "restarted", restarts)  # noqa: B010 - a stranger to its type
    upload = enqueue()
    work.until(lambda: state(upload)[1] == State.FAILED)  # it has no file
    assert restarts()


def test_a_restart_whose_command_fails_is_counted_and_reported(
    ready_to: ReadyTo, node: Callable[..., ServerRounds], tmp_path: Path, restarts: Callable[[], list[str]]
) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\necho no such container: ollama >&2\nexit 1\n")
    ready_to(Stage.EXTRACT)
    dead = servers.closed_port()
    work = node(dead, dead, action=RESTART, breaker=replace(QUICK, restart_grace=60.0))
    work.until(Event.objects.filter(kind="server_restarted").exists)
    assert Event.objects.filter(kind="server_restarted")[0].detail["output"] == "exit 1: no such container: ollama"
    assert Breaker.objects.get().restarts == 1


@dataclass
class OnOneServer:
    """One of two models of a server, of which it has room for one."""

    model: str
    loaded: bool
    asked: list[str]

    def resident(self) -> tuple[Resident, ...]:
        return (Resident(self.model, 1, "cuda"),) if self.loaded else ()

    def generate(self, *_: Any, **__: Any) -> None:
        self.asked.append(self.model)


@pytest.mark.parametrize(("loaded", "asked"), [("llama", "llama"), ("mistral", "mistral"), ("", "mistral")])
def test_of_two_models_the_one_that_is_loaded_is_asked(loaded: str, asked: str) -> None:
    names: list[str] = []
    engines: Any = [OnOneServer(name, name == loaded, names) for name in ("mistral", "llama")]
    _probe(engines, LanguageOptions(), stop=threading.Event())
    assert names == [asked]


def test_a_worker_that_stops_lets_the_next_one_probe(
    ready_to: ReadyTo, node: Callable[..., ServerRounds], serve: Callable[[FakeOpenAI], FakeOpenAI]
) -> None:
    ready_to(Stage.EXTRACT)
    server = FakeOpenAI([acts.status(502)] * 3 + [acts.hang])
    url = serve(server).url
    work = node(url, url, probe_seconds=60)
    work.until(lambda: Breaker.objects.filter(asked_by=work.process.id).exists() and work.loop.servers.probing == 1)
    work.process._wind_down(work.loop)
    assert Breaker.objects.get().asked_by is None
    assert not Breaker.objects.now().get().breaker_state.pausing


@pytest.mark.parametrize(
    ("url", "known_as"),
    [
        ("http://gpu-1:11434", "http://gpu-1:11434"),
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434 on lab-pc"),
        ("http://localhost:11434", "http://localhost:11434 on lab-pc"),
        ("http://[::1]:11434", "http://[::1]:11434 on lab-pc"),
        ("http://user:pass@gpu-1:1", "http://gpu-1:1"),
    ],
)
def test_a_local_address_is_another_server_on_each_node(url: str, known_as: str) -> None:
    engine = OpenAICompatible(url, "small", slots=1, context_tokens=4096)
    assert address(engine, "lab-pc") == known_as


def test_nodes_share_what_they_know_of_a_server(
    ready_to: ReadyTo, node: Callable[..., ServerRounds], monkeypatch: pytest.MonkeyPatch
) -> None:
    ready_to(Stage.EXTRACT)
    dead = servers.closed_port()
    monkeypatch.setattr("queueing.worker.model_servers.LOOPBACK", re.compile("never"))  # as if it were a third machine
    node(dead, dead, name="one", breaker=BreakerConfig(first_pause=60)).until(opened())
    other = node(dead, dead, name="two")
    other.rounds(5)
    assert other.loop.coordinator.current != PhaseName.EVAL
    assert Breaker.objects.get().failures == 3
