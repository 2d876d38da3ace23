"""A real worker whose language model server is away, or hangs, while a class hands in."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from django.test import Client
from django.urls import reverse

from evaluations.stages.names import Stage
from queueing.models import Alert, Attempt, Breaker, Event, Task
from queueing.states import State
from tests.conftest import Cast
from tests.doubles import acts, ollama
from tests.doubles.acts import Talk
from tests.doubles.ollama import FakeOllama
from tests.processes.conftest import QUICK_LEASE, SIMULATED, Spawn, Submit, state_of, wait_until
from tests.queueing.engines.llm import servers
from tests.queueing.engines.llm.servers import FakeOpenAI

pytestmark = pytest.mark.slow

QUICK = SIMULATED | QUICK_LEASE | {"SIMULATED_SECONDS": "0.05", "RETRY_BACKOFF_SECONDS": "0.2", "LLM_SLOTS": "2"}


def served(url: str, **more: str) -> dict[str, str]:
    model = FakeOpenAI.model
    return QUICK | {
        "LLM_PROTOCOL": "openai",
        "LLM_EXTRACT_URL": url,
        "LLM_EXTRACT_MODEL": model,
        "LLM_RATE_MODEL": model,
        **more,
    }


def all_done() -> bool:
    return not Task.objects.exclude(state=State.DONE).exists()


def test_a_server_that_refuses_costs_nothing_and_work_resumes_when_it_is_back(
    manage: Spawn, submit: Submit, cast: Cast, client: Client
) -> None:
    """F45: no attempt is burned, transcription goes on, pages say why, all tasks complete."""
    first = [submit("henry.wav"), submit("anna.webm")]
    url = servers.closed_port()
    manage("run_phase_worker", **served(url))
    wait_until(Breaker.objects.filter(openings__gte=2).exists)
    late = submit("emma.m4a")
    wait_until(lambda: Task.objects.get(submission=late).stage == Stage.EXTRACT)
    client.force_login(cast.ada)
    page = client.get(reverse("submission", args=[first[0].pk])).content.decode()
    assert "The language model does not answer at the moment; work goes on by itself" in page
    assert url not in page
    with servers.serving(FakeOpenAI(), urlsplit(url).port or 0):
        wait_until(all_done)
    assert set(Task.objects.values_list("failures", "crashes")) == {(0, 0)}
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"succeeded"}
    assert Event.objects.filter(kind="breaker_open").count() == 1
    assert Event.objects.filter(kind="breaker_close").count() == 1


@dataclass
class HungUntil(FakeOpenAI):
    """Its control plane answers, its model hangs (ollama#1863) until a file is there."""

    revived: Path = Path()

    async def answer(self, talk: Talk) -> None:
        hung = not self.revived.exists()
        while not self.revived.exists():
            await asyncio.sleep(0.05)
        if not hung:
            await super().answer(talk)


@pytest.mark.parametrize("command", ["docker restart ollama", "systemctl restart ollama.service"])
def test_a_server_that_hangs_is_restarted_by_the_command_that_the_settings_name(
    manage: Spawn, submit: Submit, tmp_path: Path, command: str
) -> None:
    """F46: cut off at the deadline, restarted after the second opening, believed only when it has answered."""
    for clip in ("henry.wav", "anna.webm", "emma.m4a"):
        submit(clip)
    server = HungUntil(revived=tmp_path / "revived")
    program = tmp_path / command.split()[0]
    program.write_text(f'#!/bin/sh\necho "$@" >> {server.revived}\necho "started again"\n')
    program.chmod(0o755)
    with ExitStack() as stack:
        url = stack.enter_context(servers.serving(server)).url
        path = f"{tmp_path}:/usr/bin:/bin"
        manage("run_phase_worker", **served(url, LLM_DEADLINE_SECONDS="2", LLM_EXTRACT_RESTART=command, PATH=path))
        wait_until(all_done)
    assert server.revived.read_text() == command.partition(" ")[2] + "\n"
    kinds = ["breaker_open", "server_restart", "server_restarted", "breaker_close"]
    told = Event.objects.filter(kind__in=kinds).order_by("pk")
    assert [event.kind for event in told] == kinds
    assert told[2].detail["output"] == "started again"
    # What was under way when it began to hang may have been its own fault; nothing else was put at risk.
    late = Attempt.objects.filter(error_code="too_slow")
    assert late.count() == 2
    assert late.values("task").distinct().count() == 2
    assert Breaker.objects.get().restarts == 0


def test_a_remote_server_that_takes_requests_and_answers_none_keeps_a_class_waiting_and_fails_nobody(
    manage: Spawn, submit: Submit
) -> None:
    fake = FakeOllama()

    async def hang(talk: Talk) -> None:
        fake.hangs = True  # from this question on, whatever it is asked
        await asyncio.sleep(acts.FOR_EVER)

    fake.script = [acts.right, hang]
    submissions = [submit(clip) for clip in ("henry.wav", "anna.webm", "emma.m4a")]
    with ollama.serving(fake):
        model = {"LLM_PROTOCOL": "ollama", "LLM_EXTRACT_MODEL": fake.model, "LLM_RATE_MODEL": fake.model}
        more = {"LLM_EXTRACT_URL": fake.url, "LLM_DEADLINE_SECONDS": "2", "LLM_SHARES_GPU": "false"}
        manage("run_phase_worker", **QUICK | model | more)
        wait_until(Breaker.objects.filter(openings__gte=1).exists)
        wait_until(lambda: not Task.objects.filter(state=State.RUNNING).exists())
        assert {state_of(one) for one in submissions} <= {State.QUEUED, State.DONE}
        asked = len(fake.questions)
        fake.hangs = False
        wait_until(all_done)
        told = Alert.objects.active().filter(kind="server_away")
        wait_until(lambda: not told.exists())
        fake.hangs = True  # while nobody needs it
        wait_until(told.exists)
        fake.hangs = False
        wait_until(lambda: not told.exists())
    assert len(fake.questions) > asked
    assert set(Task.objects.values_list("failures", "crashes")) == {(0, 0)}
    assert Event.objects.filter(kind="breaker_close").count() == 1


def test_a_worker_that_is_killed_over_a_restart_has_counted_it(manage: Spawn, submit: Submit, tmp_path: Path) -> None:
    """F56: the next worker goes on with what is left of the budget."""
    submission = submit()
    (tmp_path / "docker").write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 30\n")
    (tmp_path / "docker").chmod(0o755)
    env = served(servers.closed_port(), LLM_EXTRACT_RESTART="docker restart x", PATH=f"{tmp_path}:/usr/bin:/bin")
    worker = manage("run_phase_worker", **env)
    wait_until((tmp_path / "pid").exists)
    worker.kill()
    worker.wait()
    assert Breaker.objects.get().restarts == 1
    manage("run_phase_worker", **env)
    openings = Breaker.objects.get().openings
    # It waits until the lease is over, asks, and then leaves the server the time to come up.
    wait_until(Breaker.objects.filter(openings__gt=openings).exists)
    assert Breaker.objects.get().restarts == 1
    assert state_of(submission) == State.QUEUED
    psutil.Process(int((tmp_path / "pid").read_text())).kill()
