"""Alerts are raised by their real causes, resolved with them, and sent once."""

from __future__ import annotations

import json
import logging
import socket
import socketserver
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from threading import Event, Thread
from typing import Any, ClassVar, TypeVar

import pytest
from django.core import mail
from django.core.management import call_command
from django.db import connection
from django.db.models import F
from django.utils import timezone
from pytest_django import Settings

from queueing.exceptions import Infrastructure, Permanent
from queueing.models import Alert, Attempt, Breaker, Phase, Task, Worker
from queueing.models.alert import DIGEST_SECONDS, MAX_MESSAGES, MAX_TRIES
from queueing.policy.alerts import FiringAlert, NodeFacts, Severity
from queueing.policy.breaker import BreakerConfig
from queueing.report import channels, figures, notices, samples
from queueing.signals import health_asked
from queueing.states import PhaseStep
from queueing.worker.background import watchdog
from queueing.worker.background.watchdog import Watchdog, look
from tests.processes.conftest import wait_until
from tests.queueing.worker.working import Enqueue

pytestmark = pytest.mark.django_db

HERE = NodeFacts("pc", disk_free=0.5)
SERVER = "http://127.0.0.1:11434"
M = TypeVar("M", bound="Mailbox")


@pytest.fixture(autouse=True)
def worker(settings: Settings) -> Worker:
    settings.ALERT_EMAILS = ["operator@school.example"]
    return Worker.objects.create(node="pc", pid=1)


def seen(facts: NodeFacts = HERE) -> dict[tuple[str, str], str]:
    """The active alerts after one look: kind and subject → severity."""
    look(lambda: facts)
    return {(row.kind, row.subject): row.severity for row in Alert.objects.active()}


def running(task: Task, worker: Worker, seconds: float) -> None:
    Task.objects.take([task.pk], worker=worker, lease_seconds=3600)
    Task.objects.filter(pk=task.pk).update(claimed_at=timezone.now() - timedelta(seconds=seconds))


def tried(task: Task, outcome: str, *, seconds: float = 5.0, number: int = 1) -> None:
    now = timezone.now()
    last = task.attempts.count()
    Attempt.objects.bulk_create(
        Attempt(task=task, stage=task.stage, epoch=last + n + 1, ended_at=now, outcome=outcome, compute_seconds=seconds)
        for n in range(number)
    )


def test_in_a_lab_that_works_nobody_is_told_of_anything(enqueue: Enqueue) -> None:
    enqueue()
    assert seen() == {}
    assert mail.outbox == []


def test_no_worker_is_told_and_taken_back_when_one_is_alive(worker: Worker, enqueue: Enqueue) -> None:
    Worker.objects.update(stopped_at=timezone.now())
    assert seen() == {("no_worker", ""): "warning"}
    enqueue()
    assert seen() == {("no_worker", ""): "critical"}
    Worker.objects.update(stopped_at=None)
    assert seen() == {}
    over = Alert.objects.get()
    assert over.resolved_at is not None, "it stays as history"


def test_a_long_line_and_a_long_wait(enqueue: Enqueue, settings: Settings) -> None:
    settings.ALERT_QUEUE_SIZE = (2, 3)
    first = enqueue()
    assert seen() == {}
    enqueue()
    assert list(seen().values()) == ["warning"]
    Task.objects.filter(pk=first.pk).update(staged_at=timezone.now() - timedelta(hours=1))
    assert sorted(kind for kind, _ in seen()) == ["long_wait", "queue_size"]
    Task.objects.all().delete()
    assert seen() == {}


def test_a_task_that_takes_longer_than_the_last_ones(enqueue: Enqueue, worker: Worker) -> None:
    done, task = enqueue(), enqueue()
    tried(done, "succeeded", seconds=30.0)
    running(task, worker, 85.0)
    assert seen() == {}
    running(task, worker, 95.0)
    assert seen() == {("task_late", f"task {task.pk}"): "warning"}
    running(task, worker, 1000.0)
    assert seen() == {("task_late", f"task {task.pk}"): "critical"}
    task.refresh_from_db()
    task.fail(Permanent("no sound", code="no_sound"), took=1)
    assert seen() == {}


def test_attempts_that_fail_and_no_longer_do(enqueue: Enqueue) -> None:
    task = enqueue()
    tried(task, "succeeded", number=15)
    tried(task, "infrastructure", number=20)
    assert seen() == {}, "what is away is told by itself"
    tried(task, "transient", number=3)
    assert seen() == {("error_rate", ""): "warning"}
    tried(task, "permanent", number=5)
    assert seen() == {("error_rate", ""): "critical"}
    tried(task, "succeeded", number=20)
    assert seen() == {}
    tried(task, "crashed", number=20)
    Attempt.objects.update(began_at=timezone.now() - timedelta(hours=2))
    assert seen() == {}, "of a lesson that is long over"


def test_a_node_that_is_blocked_and_a_server_that_does_not_answer() -> None:
    Phase(node="pc").enter(PhaseStep.BLOCKED, reason="no room on the GPU")
    error = Infrastructure("connection refused", code="engine_unavailable")
    config = BreakerConfig()
    for _ in range(config.opens_after):
        Breaker.objects.all().fail(SERVER, error, node="pc", config=config)
    assert seen() == {("node_blocked", "pc"): "critical", ("server_away", SERVER): "warning"}
    Phase(node="pc").enter(PhaseStep.IDLE)
    Breaker.objects.filter(server=SERVER).close()
    assert seen() == {}


def test_a_server_that_is_silent_while_nobody_needs_it(worker: Worker) -> None:
    silent = replace(HERE, silent={SERVER: "it is silent for 5 s"})
    assert seen(silent) == {("server_away", SERVER): "warning"}
    assert "it is silent for 5 s" in Alert.objects.get().text
    assert seen() != {}, "who does not ask can't tell"
    Worker.objects.create(node="pc2", pid=2)
    assert seen(NodeFacts("pc2", silent={})) != {}, "another node may reach it"
    error = Infrastructure("connection refused", code="engine_unavailable")
    Breaker.objects.all().fail(SERVER, error, node="pc", config=replace(BreakerConfig(), opens_after=1))
    assert seen(replace(HERE, silent={})) == {}, "no task is needed to find out that it is back"
    assert not Breaker.objects.open().exists()
    seen(silent)
    Worker.objects.filter(node="pc").update(stopped_at=timezone.now())
    assert seen(NodeFacts("pc2", silent={})) == {}, "nobody is left who could find it otherwise"


@pytest.mark.parametrize(
    "facts",
    [
        NodeFacts("pc", gpu_used=0.99),
        NodeFacts("pc", gpu_celsius=95),
        NodeFacts("pc", disk_free=0.01, disk="/data"),
        NodeFacts("pc", clock_ahead_seconds=120),
    ],
    ids=["memory", "heat", "disk", "clock"],
)
def test_what_a_node_sees_of_itself(facts: NodeFacts) -> None:
    assert list(seen(facts).values()) == ["critical"]
    assert seen() == {}


def test_what_another_node_sees_is_left_to_it_while_it_is_alive() -> None:
    other = Worker.objects.create(node="other", pid=2)
    look(lambda: NodeFacts("other", disk_free=0.01, disk="/data"))
    assert seen() == {("disk_space", "other"): "critical"}
    Worker.objects.filter(pk=other.pk).update(stopped_at=timezone.now())
    assert seen() == {}, "nobody can tell any more"


def test_what_other_apps_find_is_told_and_what_they_cannot_judge_stays() -> None:
    answers: list[Any] = [
        {"leak": [FiringAlert("leak", Severity.WARNING, "it drips", "close it")]},
        {},
        RuntimeError("no idea"),
        {"leak": []},
    ]

    def receiver(**_: object) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    health_asked.connect(receiver)
    try:
        assert [len(seen()) for _ in range(4)] == [1, 1, 1, 0]
    finally:
        health_asked.disconnect(receiver)


def test_one_message_for_all_that_is_new_and_none_again_however_often_it_flaps() -> None:
    bad = NodeFacts("pc", disk_free=0.08, disk="/data", gpu_celsius=85)
    for facts in (bad, bad, HERE, bad, HERE, bad):  # also over restarts: nothing of it is in a process' memory
        seen(facts)
    (message,) = mail.outbox
    assert message.to == ["operator@school.example"]
    assert message.subject.startswith("IntroEval, warning: ")
    assert "(and 1 more)" in message.subject
    assert "du -xsh /data" in message.body
    assert Alert.objects.count() == 2
    seen(NodeFacts("pc", disk_free=0.01, disk="/data", gpu_celsius=85))
    assert [sent.subject.split(":")[0] for sent in mail.outbox] == ["IntroEval, warning", "IntroEval, critical"]


def test_what_ended_long_ago_is_told_anew() -> None:
    bad = NodeFacts("pc", disk_free=0.08, disk="/data")
    seen(bad)
    seen()
    Alert.objects.update(resolved_at=timezone.now() - timedelta(hours=2))
    seen(bad)
    assert len(mail.outbox) == 2
    assert Alert.objects.count() == 2


def test_a_person_who_knows_of_a_warning_does_not_know_that_it_is_critical() -> None:
    seen(NodeFacts("pc", disk_free=0.08, disk="/data"))
    assert Alert.objects.all().acknowledge(by="Ann") == 1
    assert Alert.objects.all().acknowledge(by="Bea") == 0
    seen(NodeFacts("pc", disk_free=0.07, disk="/data"))
    assert Alert.objects.get().acknowledged_by == "Ann"
    seen(NodeFacts("pc", disk_free=0.01, disk="/data"))
    assert Alert.objects.get().acknowledged_by == ""


def test_a_mail_server_that_is_away_is_tried_again_and_keeps_nothing_from_the_page(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    bad = NodeFacts("pc", disk_free=0.01, disk="/data")
    assert seen(bad)
    assert figures.alerts()[0]["cure"].startswith("free some space")
    with sink() as received:
        settings.EMAIL_PORT = received.port
        seen(bad)
        assert received.messages == [], "it is not tried at every look"
        Alert.objects.update(next_try=timezone.now())
        seen(bad)
        Alert.objects.update(next_try=timezone.now())
        seen(bad)
    (message,) = received.messages
    assert b"Subject: IntroEval, critical: 1% of the disk of /data on pc is free" in message


def test_a_way_that_hangs_holds_up_no_other_and_is_tried_again_so_often(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alert goes once by each way, however often another one of them fails."""
    monkeypatch.setattr(notices, "WAIT_SECONDS", 0.05)
    bad = NodeFacts("pc", disk_free=0.01, disk="/data")
    with listening() as silent, posts() as taken:
        settings.NOTIFY_URLS = [f"json://127.0.0.1:{silent}/t0ken", f"json://127.0.0.1:{taken.port}/t0ken"]
        wait_until(lambda: bool(seen(bad)) and Alert.objects.get().unsent == ["json 1"])
        assert (len(mail.outbox), len(taken.messages)) == (1, 1)
        assert "free some space" in taken.messages[0]["message"]
        assert taken.messages[0]["title"].startswith("IntroEval, critical: 1% of the disk")
        for _ in range(2):
            Alert.objects.update(next_try=timezone.now())
            seen(bad)
        assert (len(mail.outbox), len(taken.messages)) == (1, 1)
        Alert.objects.update(next_try=timezone.now(), tries=MAX_TRIES)
        assert seen(bad)
        assert Alert.objects.get().tries == MAX_TRIES
    notices._under_way.clear()


def test_no_address_of_a_service_is_logged(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    settings.ALERT_EMAILS = []
    settings.NOTIFY_URLS = ["json://127.0.0.1:1/t0ken", "unheard-of://t0ken"]
    for name in ("apprise", "urllib3"):
        assert not logging.getLogger(name).isEnabledFor(logging.CRITICAL)
    seen(NodeFacts("pc", disk_free=0.01, disk="/data"))
    assert "json 1" in caplog.text
    assert "t0ken" not in caplog.text
    assert Alert.objects.get().unsent == ["json 1", "unheard-of 2"]


@pytest.mark.parametrize(
    "login", ["user:t0ken[w", "us\u00e9r:t0k\u00e9n", "user:t0ken\u2100", "user:t0ken]", "t0ken%zz"]
)
def test_an_odd_password_keeps_no_other_way_from_being_tried_and_is_not_logged(
    login: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.NOTIFY_URLS = [f"json://{login}@127.0.0.1:1/x"]
    seen(NodeFacts("pc", disk_free=0.01, disk="/data"))
    assert len(mail.outbox) == 1
    assert Alert.objects.get().unsent == ["json 1"]
    assert "json 1" in caplog.text
    assert "t0k" not in caplog.text


def test_a_warning_that_was_long_under_way_is_not_taken_for_what_it_has_become(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ALERT_EMAILS, settings.NOTIFY_URLS = [], ["json://slow"]
    monkeypatch.setattr(notices, "WAIT_SECONDS", 0.05)
    let_go, sent = Event(), list[str]()

    def push(url: str, message: channels.OperatorMessage) -> None:
        assert let_go.wait(30)
        sent.append(message.subject)

    monkeypatch.setattr(channels, "_push", push)
    assert list(seen(NodeFacts("pc", disk_free=0.09, disk="/data")).values()) == ["warning"]
    bad = NodeFacts("pc", disk_free=0.01, disk="/data")
    assert list(seen(bad).values()) == ["critical"]
    assert (sent, Alert.objects.get().unsent) == ([], ["json 1"])
    let_go.set()
    wait_until(lambda: bool(sent))
    wait_until(lambda: notices._under_way["json 1"].outcome.done())
    seen(bad)  # hears of the first one's end
    assert Alert.objects.get().unsent == ["json 1"]
    Alert.objects.update(next_try=timezone.now())
    seen(bad)
    wait_until(lambda: bool(seen(bad)) and Alert.objects.get().unsent == [])
    assert ["warning" in subject for subject in sent] == [True, False]


def test_after_ten_messages_within_an_hour_what_is_new_is_gathered(worker: Worker) -> None:
    kinds = [f"kind {number}" for number in range(13)]

    def fire(count: int) -> None:
        firing = [FiringAlert(kind, Severity.WARNING, f"{kind} is amiss", "mend it") for kind in kinds[:count]]

        def receiver(**_: object) -> Any:
            return {one.kind: [one] for one in firing}

        health_asked.connect(receiver)
        try:
            seen()
        finally:
            health_asked.disconnect(receiver)

    for count in range(1, 14):
        fire(count)
    assert len(mail.outbox) == MAX_MESSAGES
    Alert.objects.update(told_at=F("told_at") - timedelta(seconds=DIGEST_SECONDS))
    fire(13)
    assert len(mail.outbox) == MAX_MESSAGES + 1
    assert "(and 2 more)" in mail.outbox[-1].subject


def test_a_trial_message_says_of_each_way_whether_it_was_taken(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with posts() as taken:
        settings.NOTIFY_URLS = [f"json://127.0.0.1:{taken.port}"]
        call_command("notify_test")
        assert capsys.readouterr().out == "e-mail: taken\njson 1: taken\n"
        settings.NOTIFY_URLS += ["json://127.0.0.1:1/t0ken"]
        with pytest.raises(SystemExit):
            call_command("notify_test")
    assert capsys.readouterr().out.splitlines()[-1] == "json 2: the service did not take it"
    assert [message["title"] for message in taken.messages] == ["IntroEval, a trial message"] * 2
    settings.NOTIFY_URLS, settings.ALERT_EMAILS = [], []
    with pytest.raises(SystemExit):
        call_command("notify_test")
    assert "set ALERT_EMAILS or NOTIFY_URLS" in capsys.readouterr().out


def test_of_two_that_look_one_writes() -> None:
    waiting, done = Event(), Event()

    def other() -> None:
        with Alert.objects.looking() as mine:
            assert mine
            waiting.set()
            done.wait(10)
        connection.close()

    thread = Thread(target=other)
    thread.start()
    assert waiting.wait(10)
    assert seen(NodeFacts("pc", disk_free=0.01)) == {}
    done.set()
    thread.join(10)
    assert seen(NodeFacts("pc", disk_free=0.01))


def test_the_site_looks_only_while_nobody_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, asked = Event(), Event()
    monkeypatch.setattr(watchdog, "look", lambda facts: looks.set())
    monkeypatch.setattr(samples, "take", lambda facts: True)
    monkeypatch.setattr(
        "queueing.worker.background.watchdog.connection", type("Closed", (), {"close": lambda _: None})()
    )

    def others(alive: bool) -> Callable[[], bool]:
        def unless() -> bool:
            asked.set()
            return alive

        return unless

    with Watchdog(lambda: HERE, unless=others(True), every_seconds=0.02):
        assert asked.wait(10)
    assert not looks.is_set()
    with Watchdog(lambda: HERE, unless=others(False), every_seconds=0.02):
        assert looks.wait(10)


class Mailbox(socketserver.TCPServer):
    """As much of an SMTP server as takes a message."""

    allow_reuse_address = True
    messages: list[Any]

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class MailSession(socketserver.StreamRequestHandler):
    server: Mailbox
    ANSWERS: ClassVar = {b"EHLO": b"250 hello", b"MAIL": b"250 ok", b"RCPT": b"250 ok", b"QUIT": b"221 bye"}

    def handle(self) -> None:
        self._say(b"220 ready")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                self._say(b"354 go on")
                self.server.messages.append(b"".join(iter(self.rfile.readline, b".\r\n")))
                self._say(b"250 taken")
            else:
                self._say(self.ANSWERS[verb])
            if verb == b"QUIT":
                return

    def _say(self, line: bytes) -> None:
        self.wfile.write(line + b"\r\n")


class Posts(Mailbox):
    """Takes JSON by HTTP, as services do that tell people."""


class Posted(BaseHTTPRequestHandler):
    server: Posts

    def do_POST(self) -> None:
        self.server.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def listening() -> Iterator[int]:
    """A port at which connections are accepted, and nothing is answered."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def posts() -> AbstractContextManager[Posts]:
    return _serving(Posts(("127.0.0.1", 0), Posted))


def sink() -> AbstractContextManager[Mailbox]:
    return _serving(Mailbox(("127.0.0.1", 0), MailSession))


@contextmanager
def _serving(server: M) -> Iterator[M]:
    with server:
        server.messages = []
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
