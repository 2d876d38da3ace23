"""Cards: of one class, for a while, one by one revocable, and nowhere but on paper."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.utils.timezone import now
from pytest_django import Settings

from evaluations.access.members import cards, codes
from evaluations.access.members.cards import SlipError
from evaluations.models import LoginCard
from tests.conftest import PASSWORD, Cast


def print_for(cast: Cast, *students: User) -> list[str]:
    """Their codes, in the order of `students`."""
    made = {card.student.pk: card.code for card in cards.make(cast.classroom, students, by=cast.teacher)}
    return [made[one.pk] for one in students]


def owner_of(code: str) -> User | None:
    found = cards.find(code)
    return found.student if found else None


def test_each_code_is_its_students_and_nobody_elses(cast: Cast) -> None:
    ada, bo = print_for(cast, cast.ada, cast.bo)
    assert (owner_of(ada), owner_of(codes.shown(bo).lower())) == (cast.ada, cast.bo)


def test_a_code_is_kept_hashed_and_with_the_secret_key(cast: Cast, settings: Settings) -> None:
    (code,) = print_for(cast, cast.ada)
    kept = LoginCard.objects.get()
    assert code not in str(vars(kept))
    assert len(kept.digest) == 64
    settings.SECRET_KEY = "another one"
    assert owner_of(code) is None


def test_a_new_card_ends_the_old_one_of_that_student_alone(cast: Cast) -> None:
    old, bo = print_for(cast, cast.ada, cast.bo)
    (new,) = print_for(cast, cast.ada)
    assert (owner_of(old), owner_of(new), owner_of(bo)) == (None, cast.ada, cast.bo)


def test_it_ends_with_the_day_and_works_again_once_it_is_renewed(cast: Cast) -> None:
    (code,) = print_for(cast, cast.ada)
    LoginCard.objects.update(expires_at=now() - timedelta(seconds=1))
    assert owner_of(code) is None
    assert cards.renew(LoginCard.objects.all()) == 1
    assert owner_of(code) == cast.ada


@pytest.mark.parametrize(("days", "day"), [(1, (10, 30)), (3, (11, 1))])
def test_days_end_at_midnight_on_the_sites_clock(settings: Settings, days: int, day: tuple[int, int]) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    berlin = ZoneInfo("Europe/Berlin")
    late = datetime(2026, 10, 30, 23, 30, tzinfo=berlin)
    assert cards.end_of_day(days, late) == datetime(2026, *day, 23, 59, 59, tzinfo=berlin)


def test_one_is_revoked_or_all(cast: Cast) -> None:
    ada, bo = print_for(cast, cast.ada, cast.bo)
    assert cards.revoke(LoginCard.objects.filter(student=cast.ada)) == 1
    assert (owner_of(ada), owner_of(bo)) == (None, cast.bo)
    assert cards.revoke(LoginCard.objects.filter(classroom=cast.classroom)) == 1
    assert owner_of(bo) is None


@pytest.mark.parametrize("change", ["staff", "teacher", "inactive", "left", "superuser"])
def test_whoever_is_no_student_of_the_class_any_more_has_no_card_that_works(cast: Cast, change: str) -> None:
    (code,) = print_for(cast, cast.ada)
    if change == "teacher":
        cast.other_classroom.teachers.add(cast.ada)
    elif change == "left":
        cast.classroom.students.remove(cast.ada)
    else:
        User.objects.filter(pk=cast.ada.pk).update(
            is_staff=change == "staff", is_superuser=change == "superuser", is_active=change != "inactive"
        )
    assert owner_of(code) is None


def test_nobody_outside_of_the_class_and_no_teacher_gets_one(cast: Cast) -> None:
    cast.classroom.students.add(cast.other_teacher)
    assert cards.make(cast.classroom, [cast.outsider, cast.other_teacher], by=cast.teacher) == []
    assert cards.reset(cast.classroom, [cast.outsider, cast.other_teacher], by=cast.teacher) == []
    cast.outsider.refresh_from_db()
    assert cast.outsider.check_password(PASSWORD)


def test_a_reset_ends_the_password_and_the_cards_of_other_classes(cast: Cast) -> None:
    cast.other_classroom.students.add(cast.ada)
    (elsewhere,) = [card.code for card in cards.make(cast.other_classroom, [cast.ada], by=cast.other_teacher)]
    (reset,) = cards.reset(cast.classroom, [cast.ada], by=cast.teacher)
    cast.ada.refresh_from_db()
    assert not cast.ada.has_usable_password()
    assert (owner_of(elsewhere), owner_of(reset.code)) == (None, cast.ada)


def test_a_slip_is_told_from_a_code_that_does_not_work(cast: Cast) -> None:
    with pytest.raises(SlipError):
        cards.find("ABC-DEF-GHI")
    assert cards.find(codes.make(cards.LENGTH)) is None


def test_a_class_of_thirty_is_three_statements(cast: Cast, django_assert_max_num_queries: object) -> None:
    students = User.objects.bulk_create([User(username=f"s{number}") for number in range(30)])
    cast.classroom.students.add(*students)
    with django_assert_max_num_queries(3):  # type: ignore[operator]
        assert len(cards.make(cast.classroom, students, by=cast.teacher)) == 30
