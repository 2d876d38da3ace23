"""What students agree to before they hand in for a class, and taking that back."""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.functions import Now

from evaluations.models import Classroom, Consent, ConsentText
from evaluations.models.privacy import CONSENT_TEXTS

log = structlog.get_logger(__name__)


def current_text(classroom: Classroom) -> ConsentText:
    """The class's newest version; without one IntroEval's own as version 1, not stored before somebody agrees to it."""
    found = classroom.consent_texts.order_by("version").last()
    return found or ConsentText(classroom=classroom, version=1, text=CONSENT_TEXTS[classroom.rubric.language])


def standing(student: User, classroom: Classroom) -> Consent | None:
    """The student's consent to the class's current version."""
    text = current_text(classroom)
    return Consent.objects.standing().filter(student=student, text=text).first() if text.pk else None


def is_missing(student: User, classroom: Classroom) -> bool:
    """Whether the student has to agree before anything can be handed in for the class."""
    return classroom.asks_consent and standing(student, classroom) is None


def missing(student: User, classrooms: Iterable[Classroom]) -> list[ConsentText]:
    """What the student has to agree to yet, of the classes that ask."""
    return [current_text(each) for each in classrooms if is_missing(student, each)]


def agree(*, student: User, classroom: Classroom, sha256: str) -> bool:
    """The student agrees to the words with this checksum; False: the class has others by now."""
    with transaction.atomic():
        Classroom.objects.select_for_update(no_key=True).get(pk=classroom.pk)
        text = current_text(classroom)
        if text.sha256 != sha256:
            return False
        if text.pk is None:
            text.save()
        given, created = Consent.objects.get_or_create(
            student=student, text=text, withdrawn_at=None, defaults={"text_sha256": sha256}
        )
    if created:
        log.info("consent_given", consent=given.pk, user=student.pk, classroom=classroom.pk, version=text.version)
    return True


def withdraw(*, student: User, classroom: Classroom) -> bool:
    """The student takes the consent back, to whatever version; False: there was none."""
    given = Consent.objects.standing().filter(student=student, text__classroom=classroom)
    with transaction.atomic():
        # As whoever begins an upload does: what was begun with the consent is there when this returns, to be discarded.
        User.objects.select_for_update(no_key=True).get(pk=student.pk)
        taken_back = given.update(withdrawn_at=Now())
    if taken_back:
        log.info("consent_withdrawn", user=student.pk, classroom=classroom.pk)
    return bool(taken_back)


def change_text(*, classroom: Classroom, text: str, by: User) -> bool:
    """Make `text` the class's next version, to which everybody has to agree anew; False: it says the same as now."""
    with transaction.atomic():
        Classroom.objects.select_for_update(no_key=True).get(pk=classroom.pk)
        now = current_text(classroom)
        if now.text == text:
            return False
        version = now.version + 1 if now.pk else 1
        made = ConsentText.objects.create(classroom=classroom, version=version, text=text, made_by=by)
    log.info("consent_text_changed", classroom=classroom.pk, version=made.version, by=by.pk)
    return True
