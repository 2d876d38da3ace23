"""Mail that people have asked for: what is due is found out and sent by the workers' upkeep, never within a request.

No mail holds a score, a name or a word of what was said: it may be shown on a locked screen, read by whoever shares the
mailbox, and stays on servers of others. It holds a link to the page, which asks who one is.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

import structlog
from django.conf import settings
from django.contrib.auth.models import User
from django.core import signing
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import Count, Exists, F, Max, OuterRef, Q
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import get_language, ngettext, override
from django.utils.translation import gettext as _

from evaluations.models import (
    EVALUATION,
    Classroom,
    MailAddress,
    PersonalMail,
    ReviewDecision,
    Submission,
)
from queueing.models import Task, in_seconds
from queueing.report import channels
from queueing.states import LIVE, State

log = structlog.get_logger()

MAX_AT_ONCE: Final = 10  # of one thread
MAX_CONFIRMATIONS: Final = 5  # that one person may have sent within a day, to whatever address
CONFIRM_DAYS: Final = 7
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 30.0, 3600.0
QUIET_SECONDS: Final = 120.0  # for which no work on a class goes on, before its teacher is told that it has ended
HOUR_SECONDS: Final = 3600.0  # between two mails about one class
SALT: Final = "evaluations.mail"

MailKind = PersonalMail.MailKind


class TooManyError(Exception):
    """So many were asked to confirm their address lately that no further one is."""


def is_offered() -> bool:
    """Whether there is a mail server."""
    return bool(settings.MAIL_SERVER)


def ask(user: User, address: str, *, site: str) -> None:
    """They want mail there, in the language of the request; asked there first, whether it is right.

    Raises:
        TooManyError: MAX_CONFIRMATIONS were sent for them.
    """
    with transaction.atomic():
        row, _created = MailAddress.objects.select_for_update().get_or_create(user=user)
        lately = row.mails.filter(kind=MailKind.CONFIRM, made_at__gte=in_seconds(-24 * HOUR_SECONDS))
        if lately.count() >= MAX_CONFIRMATIONS:
            raise TooManyError
        row.address, row.language, row.site, row.confirmed_at = address, get_language() or "en", site, None
        row.save()
        row.mails.create(kind=MailKind.CONFIRM)


def stop(row: MailAddress) -> None:
    """No mail any more. That mail was sent stays, so that nobody is sent one without end."""
    row.classrooms.clear()
    MailAddress.objects.filter(pk=row.pk).update(address="", confirmed_at=None)


def confirm(row: MailAddress) -> None:
    """It is right: the address that `row` has, whatever the account has by now."""
    MailAddress.objects.filter(pk=row.pk, address=row.address, confirmed_at=None).update(confirmed_at=Now())


def token(row: MailAddress, verb: str) -> str:
    """What a link holds: it is of use for this address alone."""
    return signing.dumps({"verb": verb, "row": row.pk, "address": row.address}, salt=SALT)


def read_token(given: str) -> tuple[str, MailAddress]:
    """The verb, `confirm` or `stop`, and whose it is.

    Raises:
        LookupError: it is none of ours, or too old, or they have another address by now.
    """
    try:
        found = signing.loads(given, salt=SALT)
        if found["verb"] == "confirm":
            signing.loads(given, salt=SALT, max_age=timedelta(days=CONFIRM_DAYS))
    except signing.BadSignature:
        raise LookupError from None
    row = MailAddress.objects.filter(pk=found["row"], address=found["address"]).first()
    if row is None:
        raise LookupError
    return found["verb"], row


def make_due() -> None:
    """Note what people are to be told that they were not told yet."""
    if is_offered() and MailAddress.objects.filter(confirmed_at__isnull=False).exists():
        _about_submissions()
        _about_classes()


def _about_submissions() -> None:
    since = F("student__mail_address__confirmed_at")
    theirs = Submission.objects.filter(student__mail_address__confirmed_at__isnull=False)
    failed = Task.objects.filter(
        submission=OuterRef("pk"), pipeline=EVALUATION, state=State.FAILED, finished_at__gte=OuterRef("since")
    )
    found = {
        MailKind.RESULT: theirs.filter(evaluation__released_at__gte=since),
        MailKind.FAILED: theirs.annotate(since=since).filter(Exists(failed)),
    }
    for kind, submissions in found.items():
        told = PersonalMail.objects.filter(submission=OuterRef("pk"), kind=kind)
        rows = submissions.exclude(Exists(told)).order_by().values_list("pk", "student__mail_address")[:MAX_AT_ONCE]
        PersonalMail.objects.bulk_create(
            (PersonalMail(address_id=address, kind=kind, submission_id=pk) for pk, address in rows),
            ignore_conflicts=True,  # another worker does the same
        )


def _about_classes() -> None:
    for row in MailAddress.objects.filter(confirmed_at__isnull=False).exclude(classrooms=None):
        for classroom in row.classrooms.filter(teachers=row.user):
            with transaction.atomic():
                # One worker at a time, so that one mail comes of it.
                MailAddress.objects.select_for_update().get(pk=row.pk)
                if _is_due(row, classroom):
                    row.mails.create(kind=MailKind.CLASSROOM, classroom=classroom)


def _is_due(row: MailAddress, classroom: Classroom) -> bool:
    """Whether the work on a class has ended since its teacher was told of it last, or somebody asked for her."""
    mails = row.mails.filter(classroom=classroom)
    if mails.filter(made_at__gte=in_seconds(-HOUR_SECONDS)).exists():
        return False
    since = mails.aggregate(at=Max("made_at"))["at"] or row.confirmed_at
    work = Task.objects.filter(pipeline=EVALUATION, submission__classroom=classroom)
    ended = work.filter(finished_at__gte=since)
    recent = Q(state__in=LIVE) | Q(finished_at__gte=in_seconds(-QUIET_SECONDS))
    asked = ReviewDecision.objects.filter(kind="appeal", submission__classroom=classroom, at__gte=since)
    return (ended.exists() and not work.filter(recent).exists()) or asked.exists()


@dataclass
class _Post:
    """Mails that are being sent on a thread; it appends the keys of those that were taken."""

    mails: list[tuple[int, EmailMessage]]
    sent: list[int] = field(default_factory=list)

    def send(self) -> None:
        errors: list[Exception] = []
        for pk, message in self.mails:
            try:
                message.send()
                self.sent.append(pk)
            except Exception as error:
                errors.append(error)
        if errors:
            raise ExceptionGroup("mails not sent", errors)


_under_way: list[tuple[_Post, Future[None]]] = []
"""Of this process. One at a time: a server that hangs is waited for by nobody but the thread."""


def send_due() -> None:
    """Begin to send what is due, and record what the last call's thread has sent. Tried again after growing pauses."""
    for post, outcome in list(_under_way):
        PersonalMail.objects.filter(pk__in=list(post.sent)).update(sent_at=Now())
        if not outcome.done():
            return
        _under_way.remove((post, outcome))
        if error := outcome.exception():
            log.warning("mails not sent", error=str(error), first=repr(getattr(error, "exceptions", (None,))[0]))
    if not is_offered() or not PersonalMail.objects.due().exists():
        return
    with transaction.atomic():
        related = ("address__user", "submission", "classroom")
        due = PersonalMail.objects.due().select_related(*related).select_for_update(skip_locked=True, of=("self",))
        taken = list(due.order_by("pk")[:MAX_AT_ONCE])
        for mail in taken:
            pause = min(FIRST_PAUSE_SECONDS * 2**mail.tries, LONGEST_PAUSE_SECONDS)
            # No other node takes it before all that this thread has to send may have run into the server's time limit.
            pause += MAX_AT_ONCE * settings.EMAIL_TIMEOUT
            PersonalMail.objects.filter(pk=mail.pk).update(tries=mail.tries + 1, next_try=in_seconds(pause))
    post = _Post([(mail.pk, _written(mail)) for mail in taken])
    _under_way.append((post, channels.begin(post.send)))


def _written(mail: PersonalMail) -> EmailMessage:
    row = mail.address
    with override(row.language):
        subject, lines = _words(mail)
        stop_link = _link(row, reverse("mail"), token=token(row, "stop"))
        lines += [
            "",
            "",
            _("You get this because you asked for it. To get no mail any more: %(link)s") % {"link": stop_link},
        ]
    headers = {"List-Unsubscribe": f"<{stop_link}>", "Auto-Submitted": "auto-generated"}
    return EmailMessage(f"IntroEval: {subject}", "\n".join(lines), to=[row.address], headers=headers)


def _words(mail: PersonalMail) -> tuple[str, list[str]]:
    row = mail.address
    if mail.kind == MailKind.CONFIRM:
        link = _link(row, reverse("mail"), token=token(row, "confirm"))
        text = _("Somebody wants mail from IntroEval at this address. If that was you, open this page and say yes:")
        return _("Is this your address?"), [text, link, "", _("If it was not you, do nothing: no more mail comes.")]
    if mail.classroom:
        link = _link(row, reverse("classroom", args=[mail.classroom.pk]))
        return _("Your class"), [*_class_lines(mail.classroom), link]
    link = _link(row, reverse("submission", args=[mail.submission_id]))
    if mail.kind == MailKind.RESULT:
        return _("Your result is there"), [_("The result of your video is there. You find it on its page:"), link]
    text = _("The work on your video did not succeed. Its page says why, and you can try again there:")
    return _("Your video could not be worked on"), [text, link]


def _class_lines(classroom: Classroom) -> list[str]:
    """What there is to do, in figures."""
    found = Submission.objects.filter(classroom=classroom).aggregate(
        all=Count("pk", distinct=True),
        failed=Count("pk", filter=Q(tasks__pipeline=EVALUATION, tasks__state=State.FAILED), distinct=True),
        held=Count("pk", filter=Q(evaluation__isnull=False, evaluation__released_at=None), distinct=True),
        appeals=Count("pk", filter=Q(decisions__kind="appeal"), distinct=True),
        answers=Count("pk", filter=Q(decisions__kind="answer"), distinct=True),
    )
    open_appeals = max(found["appeals"] - found["answers"], 0)
    lines = [
        (found["all"], ngettext("%(count)s video was handed in.", "%(count)s videos were handed in.", found["all"])),
        (found["failed"], ngettext("%(count)s did not succeed.", "%(count)s did not succeed.", found["failed"])),
        (found["held"], ngettext("%(count)s waits for you.", "%(count)s wait for you.", found["held"])),
        (
            open_appeals,
            ngettext(
                "%(count)s student asks for another look.", "%(count)s students ask for another look.", open_appeals
            ),
        ),
    ]
    return [words % {"count": count} for count, words in lines if count]


def _link(row: MailAddress, path: str, **query: str) -> str:
    return f"{row.site.rstrip('/')}{path}{'?' + urlencode(query) if query else ''}"
