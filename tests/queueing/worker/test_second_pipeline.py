"""A pipeline is one registration: the queue, its commands, admin, API, pages and forecast know it without a change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db.models import F
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from evaluations.pages import rows
from evaluations.stages.names import Stage
from queueing import actions, pipelines
from queueing.engines.llm.simulated import SimulatedLanguage
from queueing.exceptions import Permanent, Transient
from queueing.models import Attempt, Forecast, Phase, Task, Worker
from queueing.pipelines import Pipeline, StageSpec
from queueing.policy.lanes import Lane
from queueing.policy.phases import Limits
from queueing.report import figures
from queueing.states import PhaseName, PhaseStep, State
from queueing.worker.background import line_facts
from queueing.worker.background.forecaster import forecast
from queueing.worker.background.line_facts import NodeCapacity
from queueing.worker.process import PhaseWorker
from tests.conftest import Cast
from tests.queueing import notes
from tests.queueing.notes import JOT, NOTES, Jot
from tests.queueing.worker.working import quick, work

pytestmark = pytest.mark.django_db(transaction=True)

CAPACITY = NodeCapacity(
    Limits(10, 3, 600, 60),
    (
        Lane("speech", ("transcribe",), 1, PhaseName.STT, batched=True),
        Lane("extract", ("extract",), 1),
        Lane("rate", ("rate",), 1),
        Lane("rate", (JOT,), 1, pipeline=NOTES),
    ),
    node="test",
)


@pytest.fixture
def jot() -> Iterator[Jot]:
    handler = Jot()
    with notes.registered(handler):
        yield handler


@pytest.fixture
def note(jot: Jot, enqueue: Callable[..., Task]) -> Callable[[], Task]:
    """A task of the pipeline `notes`, about a submission that is being evaluated."""

    def make() -> Task:
        video = enqueue()
        return Task.objects.enqueue(submission_id=video.submission_id, pipeline=NOTES, owner_key=video.owner_key)

    return make


@pytest.fixture
def as_operator(client: Client, admin_user: object, cast: Cast) -> Client:
    client.force_login(admin_user)  # type: ignore[arg-type]
    return client


def queue_status() -> tuple[str, dict[str, object]]:
    words, found = StringIO(), StringIO()
    call_command("queue_status", "--positions", stdout=words)
    call_command("queue_status", "--json", stdout=found)
    return words.getvalue(), json.loads(found.getvalue())


@pytest.mark.slow
def test_a_worker_claims_fails_retries_and_finishes_it(
    jot: Jot, note: Callable[[], Task], node: Callable[..., PhaseWorker]
) -> None:
    task = note()
    jot.errors = [Transient(), Permanent("no paper", code="unexpected")]
    worker = node(quick())
    work(worker, lambda: Task.objects.get(pk=task.pk).state == State.FAILED)
    assert jot.saved == []
    assert str(actions.retry(tasks=[Task.objects.get(pk=task.pk)], by="teacher")) == "1 queued"
    work(node(quick()), lambda: Task.objects.get(pk=task.pk).state == State.DONE)
    assert jot.saved == [task.pk]
    outcomes = Attempt.objects.filter(task=task).order_by("pk").values_list("stage", "outcome")
    assert list(outcomes) == [(JOT, "transient"), (JOT, "permanent"), (JOT, "succeeded")]


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.FAILED, State.DONE])
def test_every_place_that_shows_the_queue_shows_it(
    note: Callable[[], Task], worker: Worker, as_operator: Client, state: State
) -> None:
    task = note()
    if state != State.QUEUED:
        (task,) = Task.objects.claim(worker=worker, stages=[JOT], lease_seconds=60)
    if state == State.FAILED:
        task.fail(Permanent("no paper", code="unexpected"), took=1)
    if state == State.DONE:
        task.advance(took=1)
    words, found = queue_status()
    assert "notes" in words
    assert found["counts"][JOT] == {state.value: 1}  # type: ignore[index]
    status = Task.objects.get(pk=task.pk).status
    assert figures.status()["statuses"][status.value] == 1
    for page in ("changelist", "change"):
        address = reverse(f"admin:queueing_task_{page}", args=[task.pk] if page == "change" else [])
        assert str(status.label) in as_operator.get(address).content.decode()
    stats = as_operator.get("/api/queue/stats")
    assert stats.status_code == 200
    assert stats.json()["statuses"][status.value] == 1
    assert (JOT in stats.json()["oldest_seconds_of_stage"]) == (state == State.QUEUED)
    for address in ("/", "/classes/", "/api/openapi.json"):
        assert as_operator.get(address, follow=True).status_code == 200


def test_the_admin_retries_it_like_any_other_task(
    note: Callable[[], Task], worker: Worker, as_operator: Client
) -> None:
    task = note()
    Task.objects.claim(worker=worker, stages=[JOT], lease_seconds=60)[0].fail(Permanent(), took=1)
    act = reverse("admin:queueing_task_act", args=["retry"])
    assert f"task {task.pk}, notes: failed" in as_operator.get(f"{act}?rows={task.pk}").content.decode()
    as_operator.post(act, {"rows": str(task.pk), "reason": "there is paper again"})
    assert Task.objects.get(pk=task.pk).state == State.QUEUED


def test_each_pipeline_has_a_line_of_its_own(note: Callable[[], Task], cast: Cast) -> None:
    """Who waits for a rating is shown how many videos are ahead, not how many notes."""
    first, second = note(), note()
    places = Task.objects.positions()
    assert (places[first.pk], places[second.pk]) == (1, 2)
    videos = Task.objects.filter(pipeline="evaluation").order_by("pk")
    assert [places[video.pk] for video in videos] == [1, 2]
    assert [row.place for row in rows.of_student(cast.ada, rows.read_queue())] == ["2nd of 2", "1st of 2"]


def test_a_video_that_is_being_noted_down_can_be_evaluated_at_the_same_time(note: Callable[[], Task]) -> None:
    """One live task per submission and pipeline."""
    task = note()
    assert Task.objects.live().filter(submission=task.submission_id).count() == 2


def learn(task: Task, worker: Worker, seconds: float) -> None:
    """Let a task go through all of its stages, each in so many seconds."""
    while task.state != State.DONE:
        task = Task.objects.take([task.pk], worker=worker, lease_seconds=60)[0]
        task.advance(took=seconds)
        task.refresh_from_db()
    Attempt.objects.filter(task=task).update(began_at=F("ended_at") - timedelta(seconds=seconds))


def test_the_forecast_goes_on_for_the_others_while_nobody_knows_how_long_it_takes(
    note: Callable[[], Task], enqueue: Callable[..., Task], worker: Worker
) -> None:
    Phase(node="test").enter(PhaseStep.ACTIVE, name=PhaseName.STT)
    for _ in range(3):
        learn(enqueue(), worker, 10)
    video = enqueue()
    forecast(CAPACITY)
    alone = Forecast.objects.current().of(video.pk)
    assert alone is not None
    Forecast.objects.all().delete()
    task = note()
    Task.objects.exclude(pk__in=[video.pk, task.pk]).filter(state=State.QUEUED).delete()
    forecast(CAPACITY)
    beside = Forecast.objects.current()
    assert beside.of(task.pk) is None
    found = beside.of(video.pk)
    assert found is not None
    assert found.high_seconds == pytest.approx(alone.high_seconds, rel=0.1)
    for _ in range(3):
        extra = note()
        learn(extra, worker, 5)
    Forecast.objects.all().delete()
    forecast(CAPACITY)
    assert Forecast.objects.current().of(task.pk) is not None


def test_a_flood_of_one_stage_leaves_the_pace_of_the_others_known(
    note: Callable[[], Task], enqueue: Callable[..., Task], worker: Worker
) -> None:
    for _ in range(3):
        learn(enqueue(), worker, 10)
    task, began = note(), worker.started_at
    Attempt.objects.bulk_create(
        Attempt(task=task, stage=JOT, epoch=1000 + number, began_at=began, ended_at=began, outcome="succeeded")
        for number in range(400)
    )
    assert {*Stage.values, JOT} <= line_facts.paces().keys()


def test_the_forecast_costs_no_more_statements_with_a_second_pipeline(
    note: Callable[[], Task], django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    note()
    with django_assert_max_num_queries(5):
        line_facts.read(CAPACITY)


@pytest.mark.slow
def test_of_one_model_a_second_pipeline_takes_no_more_slots_than_its_own(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    handler = Jot()
    with notes.registered(handler, max_slots=1, priority=1):
        tasks = [ready_to(Stage.RATE) for _ in range(3)]
        asked = [
            Task.objects.enqueue(submission_id=task.submission_id, pipeline=NOTES, owner_key="a") for task in tasks
        ]
        most: list[int] = []

        def done() -> bool:
            running = Task.objects.filter(state=State.RUNNING)
            most.append(running.filter(stage=JOT).count())
            return not Task.objects.live().exists()

        work(node(SimulatedLanguage(0.1, slots=3, context_tokens=8192)), done)
    assert max(most) == 1
    assert sorted(handler.saved) == [task.pk for task in asked]


def test_a_stage_of_a_pipeline_that_is_gone_is_shown_and_left_alone(
    enqueue: Callable[..., Task], as_operator: Client, worker: Worker
) -> None:
    """An app was removed while tasks of it waited: everything else goes on."""
    with notes.registered(Jot()):
        task = Task.objects.enqueue(submission_id=enqueue().submission_id, pipeline=NOTES, owner_key="a")
    words, found = queue_status()
    assert JOT in words
    assert found["statuses"]["waiting"] == 1  # type: ignore[index]
    for page, args in (("changelist", []), ("change", [task.pk])):
        assert as_operator.get(reverse(f"admin:queueing_task_{page}", args=args)).status_code == 200
    assert as_operator.get("/api/queue/stats").status_code == 200
    Phase(node="test").enter(PhaseStep.ACTIVE, name=PhaseName.STT)
    forecast(CAPACITY)
    assert Task.objects.snapshot("test").evaluation.due == 0


def test_a_stage_name_belongs_to_one_pipeline() -> None:
    """Attempts, events and figures know stages by their names."""
    spec = StageSpec(Stage.RATE, PhaseName.EVAL, "rate", Jot())
    with pytest.raises(ValueError, match="another one has a stage rate"):
        pipelines.register(Pipeline(NOTES, (spec,)))
    assert NOTES not in pipelines.names()


def test_only_speech_to_text_is_batched() -> None:
    with pytest.raises(ValueError, match="only stages of speech to text are batched"):
        StageSpec(JOT, PhaseName.EVAL, "rate", Jot(), batched=True)
