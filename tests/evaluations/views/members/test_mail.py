"""Who asks for mail is told once of what can be seen, at an address that they have confirmed, and of no score."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from evaluations.actions import mails
from evaluations.models import Evaluation, MailAddress, PersonalMail, Submission
from queueing.exceptions import Permanent
from queueing.models import Task, in_seconds
from tests.conftest import Cast
from tests.evaluations import material
from tests.evaluations.material import hand_in
from tests.evaluations.views.conftest import signed_in
from tests.processes.conftest import wait_until


@pytest.fixture(autouse=True)
def mail_server(db: None, settings: Settings) -> None:
    settings.MAIL_SERVER = "mail.school.example"


def upkeep(expected: int) -> list[EmailMessage]:
    """The mails of one round of upkeep, of which so many are expected."""
    mail.outbox.clear()
    mails.make_due()
    mails.send_due()
    wait_until(lambda: len(mail.outbox) >= expected and all(outcome.done() for _, outcome in mails._under_way))
    mails.send_due()
    assert len(mail.outbox) == expected
    return list(mail.outbox)


def link(message: EmailMessage, number: int = 0) -> str:
    return str(re.findall(r"http://testserver(/\S+)", str(message.body))[number])


def opted_in(cast: Cast, who: str = "ada", **more: object) -> MailAddress:
    user = getattr(cast, who)
    signed_in(user).post("/account/mail", {"address": f"{who}@school.example", **more})
    (question,) = upkeep(1)
    Client().post(link(question))
    return MailAddress.objects.get(user=user)


def release(submission: Submission) -> None:
    Evaluation.objects.filter(submission=submission).update(released_at=timezone.now())


def test_nothing_is_sent_before_the_address_is_confirmed(cast: Cast) -> None:
    release(rated(cast))
    ada = signed_in(cast.ada)
    ada.post("/account/mail", {"address": "ada@school.example"})
    (question,) = upkeep(1)
    assert question.to == ["ada@school.example"]
    assert upkeep(0) == []
    page = Client().get(link(question)).content.decode()
    assert "Do you want mail from IntroEval at ada@school.example?" in page
    assert not MailAddress.objects.get().confirmed_at, "a program that looks at mail opens its links"
    Client().post(link(question))
    assert "Mail goes to ada@school.example." in ada.get("/account/").content.decode()
    assert upkeep(0) == [], "what was there before is no news"
    assert Client().get(f"{link(question)}x").status_code == 404


def test_a_result_is_told_once_it_can_be_seen_and_without_a_score(cast: Cast) -> None:
    opted_in(cast)
    submission = rated(cast)
    assert upkeep(0) == [], "a teacher looks at it first"
    release(submission)
    (message,) = upkeep(1)
    assert link(message) == f"/submissions/{submission.pk}/"
    assert not re.search(r"\d+[.,]\d|of 10", message.subject + str(message.body).partition("http")[0])
    release(submission)
    assert upkeep(0) == []


def test_what_failed_is_told_once_in_the_students_language(cast: Cast) -> None:
    row = opted_in(cast)
    MailAddress.objects.filter(pk=row.pk).update(language="de")
    submission = hand_in(cast.ada, cast.classroom)
    fail(submission)
    (message,) = upkeep(1)
    assert message.subject == "IntroEval: Dein Video konnte nicht bearbeitet werden"
    submission.evaluation_task.retry(by="test")
    fail(submission)
    assert upkeep(0) == []
    assert hand_in(cast.bo, cast.classroom)


def test_a_mail_ends_all_mail(cast: Cast) -> None:
    opted_in(cast)
    fail(hand_in(cast.ada, cast.classroom))
    (message,) = upkeep(1)
    stop = link(message, -1)
    assert f"<http://testserver{stop}>" == message.extra_headers["List-Unsubscribe"]
    assert "Shall no mail go to ada@school.example any more?" in Client().get(stop).content.decode()
    Client().post(stop)
    fail(hand_in(cast.ada, cast.classroom))
    assert upkeep(0) == []
    assert Client().get(stop).status_code == 404


def test_what_can_not_be_sent_is_tried_again_and_recorded_once(cast: Cast, settings: Settings) -> None:
    opted_in(cast)
    fail(hand_in(cast.ada, cast.classroom))
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    assert upkeep(0) == []
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert upkeep(0) == [], "not at once"
    PersonalMail.objects.update(next_try=timezone.now())
    assert len(upkeep(1)) == 1
    PersonalMail.objects.update(next_try=timezone.now())
    assert upkeep(0) == []


def test_a_teacher_is_told_when_the_work_on_a_class_has_ended(cast: Cast) -> None:
    row = opted_in(cast, "teacher", classrooms=[cast.classroom.pk])
    first, second = hand_in(cast.ada, cast.classroom), hand_in(cast.bo, cast.classroom)
    fail(first)
    assert upkeep(0) == []
    fail(second)
    assert upkeep(0) == [], "it may go on in a moment"
    MailAddress.objects.filter(pk=row.pk).update(confirmed_at=in_seconds(-2 * mails.HOUR_SECONDS))
    Task.objects.update(finished_at=in_seconds(-mails.QUIET_SECONDS - 1))
    (message,) = upkeep(1)
    assert str(message.body).startswith("2 videos were handed in.\n2 did not succeed.\nhttp://testserver/classes/")
    assert upkeep(0) == []


@pytest.mark.parametrize(
    "ask",
    [lambda client: client.post("/account/mail", {"address": "ada@"}), lambda client: client.get("/account/mail")],
)
def test_what_is_no_address_is_refused(cast: Cast, ask: Callable[[Client], object]) -> None:
    ask(signed_in(cast.ada))
    assert not MailAddress.objects.exists()


def test_nobody_has_mail_sent_to_others_without_end(cast: Cast) -> None:
    ada = signed_in(cast.ada)
    for number in range(mails.MAX_CONFIRMATIONS + 2):
        ada.post("/account/mail", {"address": f"ada{number}@school.example"})
        ada.post("/account/mail", {"stop": "1"})
    assert PersonalMail.objects.count() == mails.MAX_CONFIRMATIONS


def test_without_a_mail_server_nobody_is_offered_mail(cast: Cast, settings: Settings) -> None:
    ada = signed_in(cast.ada)
    assert "Your e-mail address" in ada.get("/account/").content.decode()
    settings.MAIL_SERVER = ""
    assert "Your e-mail address" not in ada.get("/account/").content.decode()


def rated(cast: Cast) -> Submission:
    """Ada's, rated and not released."""
    submission = hand_in(cast.ada, cast.classroom)
    material.rated(submission)
    Evaluation.objects.filter(submission=submission).update(released_at=None)
    return submission


def fail(submission: Submission) -> None:
    material.fail(submission, Permanent("silence", code="no_speech"))
