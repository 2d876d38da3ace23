"""The queue in the admin, as an operator uses it: read, confirm, act."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from queueing.exceptions import Infrastructure, Transient
from queueing.models import Alert, Breaker, Event, Pause, Phase, Task, Worker
from queueing.policy.breaker import BreakerConfig
from queueing.states import PhaseName, PhaseStep, State

Make = Callable[[State], Task]


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def staff(name: str, *permissions: str) -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=permissions))
    return signed_in(user)


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_superuser("root")


@pytest.fixture
def operator(root: User) -> Client:
    return signed_in(root)


@pytest.fixture
def nodes(db: None) -> list[Phase]:
    for node in ("lab-1", "lab-2"):
        Phase(node=node).enter(PhaseStep.ACTIVE, name=PhaseName.STT)
    return list(Phase.objects.order_by("node"))


def tick(client: Client, verb: str, rows: Iterable[Any], *, model: str = "task", where: str = "") -> Any:
    """Choose an action in a list."""
    chosen = {"action": verb, "_selected_action": [row.pk for row in rows]}
    return client.post(reverse(f"admin:queueing_{model}_changelist") + where, chosen)


def fields(page: Any) -> dict[str, str]:
    """What a browser would send back from the confirmation page."""
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.content.decode())
    return {name: value.replace("&amp;", "&") for name, value in found if name in ("rows", "back")}


def address(verb: str, model: str = "task") -> str:
    return reverse(f"admin:queueing_{model}_act", args=[verb])


def text(page: Any) -> str:
    assert page.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", page.content.decode()).split())


def messages_of(client: Client, answer: Any) -> str:
    """The page that follows, with its message."""
    assert answer.status_code == 302
    return text(client.get(answer["Location"]))


# Tasks


def test_a_list_confirms_before_it_does_anything_and_then_reports(operator: Client, root: User, in_state: Make) -> None:
    failed, running = in_state(State.FAILED), in_state(State.RUNNING)
    asked = tick(operator, "retry", [failed, running], where="?pipeline=evaluation")
    assert "1 will be queued" in text(asked)
    assert "1 skipped: already running." in text(asked)
    assert f"task {failed.pk}, transcription: failed (no_speech)" in text(asked)
    assert Task.objects.get(pk=failed.pk).state == State.FAILED

    answer = operator.post(address("retry"), {**fields(asked), "reason": "new microphone"})
    assert answer["Location"].endswith("?pipeline=evaluation")  # back to the list as it was
    assert "1 queued, 1 skipped: already running" in messages_of(operator, answer)
    assert Task.objects.get(pk=failed.pk).state == State.QUEUED
    event = failed.events.latest("sequence")
    assert event.detail == {"by": f"admin:{root.pk}", "reason": "new microphone"}


def test_select_all_of_a_long_list_acts_on_those_that_were_shown(operator: Client, in_state: Make) -> None:
    failed = [in_state(State.FAILED) for _ in range(25)]
    chosen = {"action": "retry", "_selected_action": [failed[0].pk], "select_across": "1"}
    asked = operator.post(reverse("admin:queueing_task_changelist"), chosen)
    late = in_state(State.FAILED)
    assert "and 5 more" in text(asked)
    assert "25 queued" in messages_of(operator, operator.post(address("retry"), fields(asked)))
    assert Task.objects.get(pk=late.pk).state == State.FAILED


@pytest.mark.parametrize(
    ("state", "offered"),
    [
        (State.QUEUED, {"cancel", "requeue", "put_first", "put_last"}),
        (State.RUNNING, {"cancel", "requeue"}),
        (State.DONE, set()),
        (State.FAILED, {"retry"}),
        (State.CANCELLED, {"retry"}),
    ],
)
def test_a_tasks_page_offers_what_its_state_allows(
    state: State, offered: set[str], operator: Client, in_state: Make
) -> None:
    task = in_state(state)
    page = operator.get(reverse("admin:queueing_task_change", args=[task.pk])).content.decode()
    assert set(re.findall(rf"/task/act/(\w+)/\?rows={task.pk}\"", page)) == offered


def test_nobody_is_put_first_without_a_reason(operator: Client, in_state: Make) -> None:
    first, second = in_state(State.QUEUED), in_state(State.QUEUED)
    asked = fields(operator.get(address("put_first"), {"rows": second.pk}))
    assert "This field is required" in text(operator.post(address("put_first"), asked))
    assert "1 put first" in messages_of(operator, operator.post(address("put_first"), {**asked, "reason": "a bus"}))
    assert list(Task.objects.in_turn()) == [second, first]


def test_acting_from_a_tasks_page_leads_back_to_it(operator: Client, in_state: Make) -> None:
    task = in_state(State.RUNNING)
    asked = operator.get(address("cancel"), {"rows": task.pk})
    assert "1 will be cancelled" in text(asked)
    answer = operator.post(address("cancel"), {**fields(asked), "reason": "wrong video"})
    assert answer["Location"] == reverse("admin:queueing_task_change", args=[task.pk])
    page = messages_of(operator, answer)
    assert "1 cancelled" in page
    assert "reason: wrong video" in page


def test_a_tasks_page_shows_attempts_waits_and_durations(operator: Client, in_state: Make, worker: Worker) -> None:
    task = in_state(State.QUEUED)
    submitted = task.events.get()
    for seconds in (20, 70):
        (task,) = Task.objects.take([task.pk], worker=worker, lease_seconds=60)
        task.retry_later(Transient("the engine stumbled", code="engine"), 0, took=3.25)
        # As if time had passed: the events can't be changed, the attempts can.
        attempt = task.attempts.latest("epoch")
        task.attempts.filter(pk=attempt.pk).update(
            began_at=submitted.at + timedelta(seconds=seconds), ended_at=submitted.at + timedelta(seconds=seconds + 4)
        )
    page = text(operator.get(reverse("admin:queueing_task_change", args=[task.pk])))
    assert "the engine stumbled" in page
    assert "3.2 s" in page  # computing
    assert "4.0 s" in page  # took
    assert "1 min 10 s" in page  # waited: since the failure before it, all but at once here
    assert "error_code: engine" in page


def test_nobody_edits_adds_or_deletes(operator: Client, in_state: Make, nodes: list[Phase]) -> None:
    task = in_state(State.RUNNING)
    pause = Pause.objects.start(Pause.What.STT, by="x", reason="y")
    for model, row in (("task", task), ("phase", nodes[0]), ("pause", pause)):
        assert (
            operator.post(reverse(f"admin:queueing_{model}_change", args=[row.pk]), {"state": "done"}).status_code
            == 403
        )
        assert operator.get(reverse(f"admin:queueing_{model}_add")).status_code == 403
        assert operator.post(reverse(f"admin:queueing_{model}_delete", args=[row.pk])).status_code == 403
    assert Task.objects.get(pk=task.pk).state == State.RUNNING


def test_a_machines_page_shows_how_the_models_share_its_memory(operator: Client, nodes: list[Phase]) -> None:
    nodes[0].note_plan("sub-phases: llama3:8b (6.3 GiB) does not fit beside the other one")
    page = operator.get(reverse("admin:queueing_phase_change", args=[nodes[0].pk])).content.decode()
    assert "llama3:8b (6.3 GiB) does not fit" in page


def test_who_may_only_read_is_offered_nothing_and_refused(in_state: Make) -> None:
    user = User.objects.create_superuser("temp")  # sees all classes, as far as rows go
    task = in_state(State.FAILED)
    looker = staff("looker", "view_task", "view_phase", "view_pause")
    page = looker.get(reverse("admin:queueing_task_changelist")).content.decode()
    assert 'name="action"' not in page
    assert looker.get(address("retry"), {"rows": task.pk}).status_code == 403
    assert looker.post(address("retry"), {"rows": task.pk}).status_code == 403
    assert looker.post(address("pause", "phase"), {"rows": "lab-1"}).status_code == 403
    assert Task.objects.get(pk=task.pk).state == State.FAILED
    assert signed_in(user).get(address("retry"), {"rows": task.pk}).status_code == 200


def test_a_verb_or_rows_that_do_not_exist_are_not_found(operator: Client, in_state: Make) -> None:
    task = in_state(State.FAILED)
    assert operator.get(address("explode"), {"rows": task.pk}).status_code == 404
    for rows in ("", "999999", "abc", "1,,2", "1;DROP"):
        assert operator.get(address("retry"), {"rows": rows}).status_code == 404
    assert operator.get(reverse("admin:queueing_task_change", args=[999999])).status_code == 302


def test_nobody_is_sent_to_another_site(operator: Client, in_state: Make) -> None:
    task = in_state(State.FAILED)
    given = {"rows": task.pk, "back": "https://evil.example/"}
    assert operator.post(address("retry"), given)["Location"] == reverse("admin:queueing_task_change", args=[task.pk])


def test_the_pages_keep_to_the_content_security_policy(operator: Client, in_state: Make, nodes: list[Phase]) -> None:
    task = in_state(State.FAILED)
    pages = [
        operator.get(address("retry"), {"rows": task.pk}),
        operator.get(address("switch", "phase"), {"rows": "lab-1"}),
        operator.get(reverse("admin:queueing_task_change", args=[task.pk])),
    ]
    for page in pages:
        html = page.content.decode()
        assert "default-src 'self'" in page["Content-Security-Policy"]
        assert not re.search(r"<style|\sstyle=|\son\w+=", html)
        assert not [
            tag for tag in re.findall(r"<script[^>]*>", html) if "src=" not in tag and "application/json" not in tag
        ]


def queries(client: Client, address: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


def test_no_page_queries_the_database_more_often_when_there_are_more_rows(
    operator: Client, in_state: Make, nodes: list[Phase]
) -> None:
    def count() -> list[int]:
        rows = ",".join(str(pk) for pk in Task.objects.values_list("pk", flat=True))
        lists = [
            reverse(f"admin:queueing_{model}_changelist") for model in ("task", "attempt", "event", "phase", "pause")
        ]
        return [queries(operator, page) for page in (*lists, f"{address('retry')}?rows={rows}")]

    def fill(number: int) -> None:
        Phase(node=f"node-{number}").enter(PhaseStep.IDLE)
        Pause.objects.start(Pause.What.STT, node=f"node-{number}", by="x", reason="y")
        for state in State:
            in_state(state)

    fill(0)
    count()  # content types are read once
    before = count()
    for number in range(1, 5):
        fill(number)
    assert count() == before


def test_a_tasks_page_costs_the_same_however_long_its_story(operator: Client, in_state: Make) -> None:
    task = in_state(State.QUEUED)
    page = reverse("admin:queueing_task_change", args=[task.pk])

    def fail() -> None:
        worker = Worker.objects.create(node="test", pid=1)
        (claimed,) = Task.objects.take([task.pk], worker=worker, lease_seconds=60)
        claimed.retry_later(Transient("again", code="engine"), 0, took=1.0)

    fail()
    queries(operator, page)
    before = queries(operator, page)
    for _ in range(5):
        fail()
    assert queries(operator, page) == before


# Nodes


def test_a_pause_wants_a_reason_and_is_listed_with_who_why_and_until(
    operator: Client, root: User, nodes: list[Phase]
) -> None:
    asked = tick(operator, "pause", nodes[:1], model="phase")
    given = {**fields(asked), "what": "stt", "seconds": "10m"}
    again = operator.post(address("pause", "phase"), given)
    assert "This field is required." in text(again)
    assert not Pause.objects.exists()
    answer = operator.post(address("pause", "phase"), {**given, **fields(again), "reason": "new cable"})
    assert "Speech to text is paused on lab-1." in messages_of(operator, answer)
    pause = Pause.objects.active().get()
    assert (pause.what, pause.node, pause.drain, pause.by) == ("stt", "lab-1", False, f"admin:{root.pk}")
    assert pause.until is not None
    assert (pause.until - pause.since).total_seconds() == pytest.approx(600, abs=1)
    listed = text(operator.get(reverse("admin:queueing_pause_changelist")))
    assert "new cable" in listed
    assert f"admin:{root.pk}" in listed


def test_a_length_of_time_that_is_none_is_refused_with_a_message(operator: Client, nodes: list[Phase]) -> None:
    given = {"rows": "lab-1", "what": "stt", "reason": "x", "seconds": "soon"}
    assert "no length of time" in text(operator.post(address("pause", "phase"), given))
    assert not Pause.objects.exists()


def test_an_operator_need_not_be_a_superuser(nodes: list[Phase]) -> None:
    keeper = staff("keeper", "view_phase", "change_phase")
    given = {"rows": "lab-1", "what": "eval", "reason": "repair"}
    assert "Evaluation is paused on lab-1." in messages_of(keeper, keeper.post(address("pause", "phase"), given))


def test_resume_names_what_it_lifts_and_leaves_other_nodes_alone(
    operator: Client, root: User, nodes: list[Phase]
) -> None:
    everywhere = Pause.objects.start(Pause.What.EVERYTHING, by="x", reason="fire drill")
    here = Pause.objects.start(Pause.What.STT, node="lab-1", by="x", reason="new cable")
    there = Pause.objects.start(Pause.What.STT, node="lab-2", by="x", reason="new fan")
    asked = operator.get(address("resume", "phase"), {"rows": "lab-1"})
    assert "fire drill" in text(asked)
    assert "new cable" in text(asked)
    assert "new fan" not in text(asked)
    assert "2 pauses lifted" in messages_of(
        operator, operator.post(address("resume", "phase"), {"rows": "lab-1", "reason": "done"})
    )
    assert list(Pause.objects.active()) == [there]
    for pause in (everywhere, here):
        pause.refresh_from_db()
        assert pause.lifted_by == f"admin:{root.pk}"
    assert Event.objects.filter(kind="resume", detail__reason="done").count() == 2


def test_drain_pauses_everything_and_unloads(operator: Client, nodes: list[Phase]) -> None:
    given = {"rows": "lab-1", "reason": "repair"}
    assert "the models are unloaded" in messages_of(operator, operator.post(address("drain", "phase"), given))
    pause = Pause.objects.active().get()
    assert (pause.what, pause.node, pause.drain, pause.until) == ("everything", "lab-1", True, None)


def test_switch_asks_for_a_phase_and_keeps_it(operator: Client, nodes: list[Phase]) -> None:
    given = {"rows": "lab-1", "phase": "eval", "hold_seconds": "2m", "reason": "marks are due"}
    assert "evaluation was asked for" in messages_of(operator, operator.post(address("switch", "phase"), given))
    first, second = Phase.objects.order_by("node")
    assert (first.wanted, second.wanted) == ("eval", "")
    assert Event.objects.get(kind="phase_wanted").detail["reason"] == "marks are due"


def test_switch_without_a_length_is_refused(operator: Client, nodes: list[Phase]) -> None:
    given = {"rows": "lab-1", "phase": "eval", "hold_seconds": ""}
    assert "This field is required." in text(operator.post(address("switch", "phase"), given))


def test_the_list_of_nodes_says_what_is_paused(operator: Client, nodes: list[Phase]) -> None:
    Pause.objects.start(Pause.What.EVAL, node="lab-2", by="x", reason="y")
    rows = operator.get(reverse("admin:queueing_phase_changelist")).context["cl"].result_list
    assert {row.node: row.pauses for row in rows} == {"lab-1": [], "lab-2": ["eval"]}


def test_a_single_pause_is_lifted_from_its_list(operator: Client, nodes: list[Phase]) -> None:
    kept = Pause.objects.start(Pause.What.STT, by="x", reason="keep")
    gone = Pause.objects.start(Pause.What.EVAL, by="x", reason="go")
    asked = tick(operator, "lift", [gone], model="pause")
    assert "1 lifted" in messages_of(operator, operator.post(address("lift", "pause"), fields(asked)))
    assert list(Pause.objects.active()) == [kept]
    assert "0 lifted, 1 skipped: already over" in messages_of(
        operator, operator.post(address("lift", "pause"), {"rows": gone.pk})
    )


def test_an_alert_is_acknowledged_from_its_list(operator: Client, root: User) -> None:
    alerts = [Alert.objects.create(kind=kind, severity="critical", text=f"{kind}!") for kind in ("a", "b")]
    Alert.objects.filter(kind="b").update(resolved_at=timezone.now())
    listed = text(operator.get(reverse("admin:queueing_alert_changelist")))
    assert listed.index("a!") < listed.index("b!"), "what is over comes last"
    asked = tick(operator, "acknowledge", alerts, model="alert")
    done = messages_of(operator, operator.post(address("acknowledge", "alert"), fields(asked)))
    assert "1 acknowledged, 1 skipped: over, or known already" in done
    assert Alert.objects.get(kind="a").acknowledged_by == f"admin:{root.pk}"


# Breakers


@pytest.fixture
def silent(db: None) -> Breaker:
    gone = Infrastructure("nobody answers", code="engine_unavailable")
    for _ in range(3):
        Breaker.objects.fail("http://gpu-1:11434", gone, node="lab-1", config=BreakerConfig())
    return Breaker.objects.get()


def test_a_server_that_is_left_alone_is_listed_with_its_error_and_can_be_let_through_again(
    operator: Client, root: User, silent: Breaker
) -> None:
    listed = text(operator.get(reverse("admin:queueing_breaker_changelist")))
    assert "http://gpu-1:11434" in listed
    assert "nobody answers" in listed
    page = operator.get(reverse("admin:queueing_breaker_change", args=[quote(silent.pk)]))
    assert "Close" in text(page)
    asked = tick(operator, "close", [silent], model="breaker")
    assert "Tasks call the server again at once." in text(asked)
    assert Breaker.objects.get().openings == 1
    answer = operator.post(address("close", "breaker"), {**fields(asked), "reason": "new cable"})
    assert "1 closed" in messages_of(operator, answer)
    assert Breaker.objects.get().openings == 0
    assert Event.objects.get(kind="breaker_close").detail == {
        "server": "http://gpu-1:11434",
        "by": f"admin:{root.pk}",
        "reason": "new cable",
    }


def test_who_may_only_read_cannot_close_a_breaker(silent: Breaker) -> None:
    looks = staff("looks", "view_breaker")
    assert looks.get(reverse("admin:queueing_breaker_changelist")).status_code == 200
    assert looks.post(address("close", "breaker"), {"rows": silent.pk}).status_code == 403
    assert Breaker.objects.get().openings == 1
