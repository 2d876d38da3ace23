"""Cards by which students sign in: a code of nine signs, typed or scanned.

Signed tokens (Django's, or django-sesame's) would need no table, but are too long to type, and none of them could be
revoked alone, nor prolonged without printing it again. So a card is a row with a keyed hash of its code: whoever reads
the database, or its backup without the secret key, has no code. 31^8 codes, of which a class has thirty.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac
from django.utils.timezone import get_default_timezone, localtime, make_aware

from evaluations.access.members import codes
from evaluations.access.members.roster import plain_students
from evaluations.access.session_store import end_sessions
from evaluations.models import Classroom, LoginCard, shown_name

LENGTH: Final = 9


@dataclass(frozen=True, slots=True)
class PrintedCard:
    """A card as it goes to the printer: the only time that its code is known."""

    student: User
    code: str

    @property
    def name(self) -> str:
        return shown_name(self.student)

    @property
    def shown(self) -> str:
        return codes.shown(self.code)


def end_of_day(days: int, now: datetime | None = None) -> datetime:
    """The last second of today, or of so many days with it, by the site's clock."""
    today = localtime(now, get_default_timezone()).date()
    return make_aware(datetime.combine(today + timedelta(days=days - 1), time(23, 59, 59)), get_default_timezone())


def make(classroom: Classroom, students: Iterable[User], *, by: User) -> list[PrintedCard]:
    """A new card for each of them who is an active student of the class; the cards that they had there end.

    Sessions go on: whoever prints the class's cards anew in a lesson signs nobody out. See `reset`.
    """
    keys = [one.pk for one in students]
    own = plain_students().filter(pk__in=keys, classes_attended=classroom, is_active=True)
    made = [PrintedCard(one, codes.make(LENGTH)) for one in own.order_by("last_name", "first_name", "username")]
    expires_at = end_of_day(settings.CARD_DAYS)
    LoginCard.objects.bulk_create(
        [
            LoginCard(
                classroom=classroom,
                student=card.student,
                digest=_digest(card.code),
                made_by=by,
                made_at=Now(),
                expires_at=expires_at,
                used_at=None,
            )
            for card in made
        ],
        update_conflicts=True,
        unique_fields=["classroom", "student"],
        update_fields=["digest", "made_by", "made_at", "expires_at", "used_at"],
    )
    return made


@transaction.atomic
def reset(classroom: Classroom, students: Iterable[User], *, by: User) -> list[PrintedCard]:
    """A new card instead of everything by which these can sign in: their password, other cards, open sessions.

    Only for active students of the class; those who are not are left out.
    """
    made = make(classroom, students, by=by)
    for card in made:
        card.student.set_unusable_password()
        card.student.save(update_fields=["password"])
        LoginCard.objects.filter(student=card.student).exclude(classroom=classroom).delete()
        end_sessions(user_id=card.student.pk)
    return made


def renew(cards: QuerySet[LoginCard]) -> int:
    """Let cards, ended ones too, work until the end of the day, or of so many as CARD_DAYS says. Returns how many."""
    return cards.update(expires_at=end_of_day(settings.CARD_DAYS))


def revoke(cards: QuerySet[LoginCard]) -> int:
    """End cards for good, and what was opened with them. Returns how many."""
    keys = list(cards.values_list("pk", flat=True))
    LoginCard.objects.filter(pk__in=keys).delete()
    end_sessions(card_id__in=keys)
    return len(keys)


def find(typed: str) -> LoginCard | None:
    """The card whose code was typed, if its student may sign in by it now; None for all else.

    Raises:
        SlipError: what was typed is the code of no card that there could ever be.
    """
    code = codes.read(typed, LENGTH)
    if code is None:
        raise SlipError
    found = LoginCard.objects.filter(digest=_digest(code), expires_at__gt=Now()).select_related("student", "classroom")
    card = found.first()
    if card is None:
        return None
    # Of its class still, and never an account that has come to more rights since.
    allowed = plain_students().filter(pk=card.student_id, is_active=True, classes_attended=card.classroom_id)
    return card if allowed.exists() else None


class SlipError(ValueError):
    """A code with a mistake in it that its own check sign shows."""


def _digest(code: str) -> str:
    return salted_hmac("evaluations.members.cards", code, algorithm="sha256").hexdigest()
