"""The operators' page: who may look, who may act, and what it shows of a lab that is empty, at work or in trouble."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from evaluations.models import Submission, TrailEntry
from evaluations.pages.lab import graphs, phases
from evaluations.pages.lab.graphs import LookBack
from evaluations.pages.lab.tasks import TaskChoice
from queueing.exceptions import Infrastructure, Permanent
from queueing.models import Alert, Breaker, Event, LabSample, Pause, Phase, Task, Worker
from queueing.policy.breaker import BreakerConfig
from queueing.states import PhaseStep, State
from tests.conftest import Cast
from tests.evaluations.material import claim, fail, hand_in

URL = "/operations/"


def staff(name: str, *codenames: str) -> Client:
    user = User.objects.create(username=name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return signed_in(user)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def root(db: None) -> Client:
    return signed_in(User.objects.create_superuser("root"))


def text_of(answer: Any) -> str:
    words = re.sub(r"<[^>]+>", " ", answer.content.decode())
    return re.sub(r"\s+", " ", words)


def failed(cast: Cast) -> Submission:
    submission = hand_in(cast.ada, cast.classroom)
    fail(submission, Permanent(code="no_audio"))
    return submission


def state_of(submission: Submission) -> str:
    return Task.objects.get(submission=submission).state


# Who may


def test_staff_may_look_and_nobody_else(cast: Cast) -> None:
    assert staff("looks").get(URL).status_code == 200
    assert signed_in(cast.teacher).get(URL).status_code == 404
    assert Client().get(URL)["Location"].startswith("/login/")


def test_who_may_only_look_is_offered_nothing_and_can_do_nothing(cast: Cast) -> None:
    submission, client = failed(cast), staff("looks", "view_task", "view_phase", "view_alert")
    Phase(node="lab-pc").enter(PhaseStep.IDLE)
    alert = Alert.objects.create(kind="disk_space", severity="critical", text="full", cure="free some")
    html = client.get(f"{URL}?state=failed").content.decode()
    main = html[html.index("<main") : html.index("</main>")]
    assert "<button" not in main
    assert "<form" not in main
    task = Task.objects.get(submission=submission)
    for path, form in (
        ("tasks", {"verb": "retry", "task": task.pk, "confirmed": 1}),
        ("control", {"what": "drain", "reason": "x", "confirmed": 1}),
        (f"alerts/{alert.pk}/acknowledge", {}),
    ):
        assert client.post(f"{URL}{path}", form).status_code == 404
    assert state_of(submission) == State.FAILED
    assert not Pause.objects.exists()
    alert.refresh_from_db()
    assert not alert.acknowledged_by


def test_a_teacher_who_is_staff_acts_on_tasks_of_her_own_classes_only(cast: Cast) -> None:
    hers, others = failed(cast), hand_in(cast.outsider, cast.other_classroom)
    fail(others, Permanent(code="no_audio"))
    client = staff("also_teaches", "change_task")
    cast.classroom.teachers.add(User.objects.get(username="also_teaches"))
    page = client.get(f"{URL}?state=failed").content.decode()
    keys = re.findall(r'name="task"\s+value="(\d+)"', page)
    assert keys == [str(hers.evaluation_task.pk)]
    client.post(f"{URL}tasks", {"verb": "retry", "task": [others.evaluation_task.pk], "confirmed": 1})
    client.post(f"{URL}tasks", {"verb": "retry", "all": 1, "state": "failed", "confirmed": 1})
    assert (state_of(hers), state_of(others)) == (State.QUEUED, State.FAILED)


# What is done


def test_all_that_match_are_retried_once_that_is_confirmed(cast: Cast, root: Client) -> None:
    one, two = failed(cast), hand_in(cast.bo, cast.classroom)
    fail(two, Permanent(code="no_speech"))
    form = {"verb": "retry", "all": 1, "state": "failed", "code": "no_audio"}
    asked = root.post(f"{URL}tasks", form)
    assert "1 task is queued again." in text_of(asked)
    assert state_of(one) == State.FAILED, "nothing yet"
    fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', asked.content.decode())
    confirmed = {name: value for name, value in fields if name != "csrfmiddlewaretoken"}
    assert confirmed["task"] == str(one.evaluation_task.pk)
    root.post(f"{URL}tasks", confirmed | {"reason": "the sound is back", "confirmed": 1})
    assert (state_of(one), state_of(two)) == (State.QUEUED, State.FAILED)
    event = Event.objects.get(kind="retry")
    assert event.detail["reason"] == "the sound is back"
    assert event.detail["by"].startswith("page:")


def test_what_was_cancelled_is_told_with_what_could_not_be(cast: Cast, root: Client) -> None:
    waits, done = hand_in(cast.ada, cast.classroom), failed(cast)
    keys = [waits.evaluation_task.pk, done.evaluation_task.pk]
    answer = root.post(f"{URL}tasks", {"verb": "cancel", "task": keys, "confirmed": 1}, follow=True)
    assert "1 task is cancelled. 1 is left as it is." in text_of(answer)
    assert (state_of(waits), state_of(done)) == (State.CANCELLED, State.FAILED)


def test_a_class_that_waits_is_put_first_for_a_reason_that_others_read(cast: Cast, root: Client) -> None:
    others, hers = hand_in(cast.outsider, cast.other_classroom), hand_in(cast.ada, cast.classroom)
    both = TaskChoice()
    page = root.get(f"{URL}?classroom={cast.classroom.pk}").content.decode()
    assert f'<a href="{escape(both.query(classroom=str(cast.classroom.pk)))}#tasks"' in page
    assert re.findall(r'name="task"\s+value="(\d+)"', page) == [str(hers.evaluation_task.pk)]
    form = {"verb": "put_first", "all": 1, "state": "unfinished", "classroom": cast.classroom.pk}
    asked = root.post(f"{URL}tasks", form)
    assert "1 task comes first." in text_of(asked)
    confirmed = {"verb": "put_first", "task": hers.evaluation_task.pk, "confirmed": 1}
    assert "Do it" in text_of(root.post(f"{URL}tasks", confirmed | {"reason": " "})), "no reason, so it asks again"
    assert not Event.objects.filter(kind="put_first").exists()
    answer = root.post(f"{URL}tasks", confirmed | {"reason": "Their bus leaves at noon."}, follow=True)
    assert "1 task comes first." in text_of(answer)
    places = Task.objects.positions()
    assert places[hers.evaluation_task.pk] < places[others.evaluation_task.pk]
    event = Event.objects.get(kind="put_first")
    assert event.detail["reason"] == "Their bus leaves at noon."
    assert event.detail["by"].startswith("page:")
    assert TrailEntry.objects.get(verb=TrailEntry.Verb.MOVED).detail == {"what": "put_first"}
    assert "Their bus leaves at noon." in text_of(signed_in(cast.outsider).get("/"))
    root.post(f"{URL}tasks", confirmed | {"verb": "put_last", "reason": "The bus is late."})
    places = Task.objects.positions()
    assert places[hers.evaluation_task.pk] > places[others.evaluation_task.pk]


def test_classes_are_offered_as_far_as_one_teaches_them(cast: Cast) -> None:
    hand_in(cast.ada, cast.classroom)
    hand_in(cast.outsider, cast.other_classroom)
    client = staff("also_teaches", "change_task")
    cast.classroom.teachers.add(User.objects.get(username="also_teaches"))
    page = client.get(f"{URL}?classroom={cast.other_classroom.pk}")
    assert "There are no such tasks." in text_of(page)
    assert "all classes" in text_of(page)
    assert cast.other_classroom.name not in text_of(page)


@pytest.mark.parametrize("form", [{}, {"verb": "retry"}, {"verb": "erase", "task": 1}, {"verb": "retry", "task": "x"}])
def test_nothing_chosen_is_nothing_done(root: Client, form: dict[str, Any]) -> None:
    assert "Nothing was chosen." in text_of(root.post(f"{URL}tasks", form, follow=True))


def test_a_machine_is_paused_drained_switched_and_resumed(root: Client) -> None:
    Phase(node="lab-pc").enter(PhaseStep.IDLE)

    def do(what: str, **more: str) -> str:
        form = {"what": what, "reason": "a new cable", "node": "lab-pc", **more}
        assert "a new cable" in root.post(f"{URL}control", form).content.decode()
        return text_of(root.post(f"{URL}control", form | {"confirmed": "1"}, follow=True))

    assert "Pause speech to text: lab-pc." in do("pause stt", seconds="10m")
    (pause,) = Pause.objects.active()
    assert pause.until is not None
    assert (pause.what, pause.node, pause.drain, pause.reason) == ("stt", "lab-pc", False, "a new cable")
    assert "Drained: lab-pc" in do("drain", node="lab-pc")
    do("switch eval")
    assert Phase.objects.get().wanted == "eval"
    assert "Lifted: 3." in do("resume")
    assert not Pause.objects.active().exists()
    assert not Phase.objects.wished().exists()


@pytest.mark.parametrize(
    "wrong", [{}, {"what": "pause stt"}, {"what": "halt", "reason": "x"}, {"what": "drain", "reason": "x", "node": "?"}]
)
def test_what_is_not_understood_is_not_done(root: Client, wrong: dict[str, str]) -> None:
    answer = root.post(f"{URL}control", wrong | {"confirmed": "1"}, follow=True)
    assert answer.status_code == 200
    assert not Pause.objects.exists()


def test_an_alert_is_acknowledged_with_the_name_of_who_knows(root: Client) -> None:
    alert = Alert.objects.create(kind="disk_space", severity="critical", text="full", cure="free some")
    assert "root knows of it." in text_of(root.post(f"{URL}alerts/{alert.pk}/acknowledge", follow=True))
    again = root.post(f"{URL}alerts/{alert.pk}/acknowledge", follow=True)
    assert "That alert is over, or somebody knew of it already." in text_of(again)


# What is shown


def test_a_lab_that_never_worked_says_how_to_begin(root: Client) -> None:
    page = text_of(root.get(URL))
    for words in (
        "There are no alerts.",
        "No worker has run yet. Start one: manage.py run_phase_worker",
        "Nothing was sampled in this time",
        "There are no such tasks.",
    ):
        assert words in page


def test_what_is_wrong_is_named(cast: Cast, root: Client) -> None:
    failed(cast)
    Phase(node="lab-pc").enter(PhaseStep.BLOCKED, reason="no room on the GPU")
    Worker.objects.create(node="lab-pc", pid=7, last_heartbeat_at=timezone.now() - timedelta(minutes=5))
    Pause.objects.start(Pause.What.STT, by="command:anna", reason="new cable")
    error = Infrastructure("connection refused", code="engine_unavailable")
    config = BreakerConfig()
    for _ in range(config.opens_after):
        Breaker.objects.all().fail("http://gpu:11434", error, node="lab-pc", config=config)
    Alert.objects.create(kind="no_worker", severity="critical", text="no worker is alive", cure="start it")
    page = text_of(root.get(f"{URL}?state=failed"))
    for words in (
        "critical no worker is alive",
        "→ start it",
        "blocked for",
        "no room on the GPU",
        "process 7: LOST, heard of 5 min",
        "Paused: speech to text on all machines, by command:anna: new cable.",
        "http://gpu:11434 does not answer; asked again in",
        "0 done, 1 failed ( 100% )",
    ):
        assert words in page, words


def test_no_name_of_a_student_is_on_it(cast: Cast, root: Client) -> None:
    submission = hand_in(cast.ada, cast.classroom, name="me-at-home.mp4")
    claim(submission)
    html = root.get(URL).content.decode()
    assert "me-at-home" not in html
    assert not re.search(r"\bada\b", html)


def test_a_poll_gets_the_part_that_it_asks_for(root: Client) -> None:
    live, drawn = (root.get(f"{URL}?part={part}").content.decode() for part in ("live", "graphs"))
    assert ('id="lab-live"' in live, 'id="lab-graphs"' in live) == (True, False)
    assert ('id="lab-live"' in drawn, 'id="lab-graphs"' in drawn) == (False, True)
    assert "<html" not in live + drawn


def test_it_has_neither_inline_scripts_nor_styles(root: Client) -> None:
    html = root.get(URL).content.decode()
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", html)


def test_the_page_costs_the_same_whatever_there_is_to_tell(
    cast: Cast, root: Client, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    for number in range(8):
        (failed if number % 2 else lambda cast: hand_in(cast.bo, cast.classroom))(cast)
    root.get(URL)
    with django_assert_max_num_queries(45):
        root.get(URL)


# Graphs and phases


def at(minutes: float) -> datetime:
    return datetime(2026, 3, 2, 9, 0, tzinfo=UTC) + timedelta(minutes=minutes)


def test_lines_have_a_gap_where_nobody_sampled(db: None) -> None:
    for minute in (0, 1, 2, 30, 31):
        LabSample.objects.create(at=at(minute), waiting={"transcribe": minute % 3}, workers=1)
    (waiting, _running, _ended) = graphs.of(LookBack.HOUR, at(59))
    (line,) = waiting.lines
    assert (waiting.key, line.label, len(line.pieces)) == ("waiting", "transcription", 2)
    assert line.newest == "1"
    assert waiting.words == "Between 0 and 2. transcription: 1"
    assert [height.text for height in waiting.heights] == ["0", "1", "2", "3"]


def test_a_month_is_drawn_from_a_sample_an_hour(db: None) -> None:
    now = at(30)
    for hours in (0, 1, 700, 721):
        seen = {"lab-pc": {"disk_free": 0.5, "gpu_used": None}}
        LabSample.objects.create(at=at(0) - timedelta(hours=hours), nodes=seen, minutes=60)
        LabSample.objects.create(at=at(1) - timedelta(hours=hours), nodes={})
    found = {graph.key: graph for graph in graphs.of(LookBack.MONTH, now)}
    assert "gpu" not in found, "nothing is known of it"
    assert len(found["disk"].lines[0].pieces) == 2


def test_the_steps_of_a_hand_over_are_one_with_its_reason_and_what_came_of_it() -> None:
    def event(minute: float, step: str, **detail: str) -> Event:
        return Event(node="lab-pc", kind=f"phase_{step}", at=at(minute), detail=detail)

    events = [
        event(0, "active", name="stt"),
        event(10, "draining", name="stt", target="eval", reason="the batch is transcribed"),
        event(11, "unloading", name="stt", target="eval"),
        event(12, "loading", name="eval"),
        event(13, "active", name="eval"),
        event(20, "unloading", name="eval"),
        event(21, "blocked", reason="no room"),
    ]
    spans = phases.of_events(events, at(30))
    assert [(span.kind, span.seconds / 60) for span in spans] == [
        ("stt", 10),
        ("changing", 3),
        ("eval", 7),
        ("changing", 1),
        ("blocked", 9),
    ]
    first, second = phases._changes("lab-pc", spans)
    assert (first.left, first.came, first.took, first.dwelt) == ("speech to text", "evaluation", "3 min", "7 min")
    assert (first.why, second.why, second.dwelt) == ("the batch is transcribed", "no room", "9 min so far")


def test_a_node_s_history_is_drawn_for_the_time_asked_for(db: None) -> None:
    Phase(node="lab-pc").enter(PhaseStep.ACTIVE, name="stt")
    Pause.objects.start(Pause.What.STT, node="lab-pc", by="x", reason="y")  # an event, and no phase
    now = timezone.now() + timedelta(minutes=10)
    (track,) = phases.read(now - timedelta(hours=1), now).tracks
    assert [bar.kind for bar in track.bars] == ["stt"]
    assert track.words.startswith("speech to text 10 min")
