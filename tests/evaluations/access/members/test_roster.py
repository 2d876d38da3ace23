"""A list against a class: nothing is written before it is confirmed, and then all of it or nothing."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from evaluations.access.members import roster, tables
from evaluations.access.members.roster import ChangedMeanwhileError, RosterPlan, RowKind, split_name
from evaluations.access.permissions import classrooms_taught
from evaluations.models import Classroom
from tests.conftest import Cast
from tests.evaluations.material import hand_in
from tests.evaluations.views.conftest import disk

__all__ = ["disk"]


@pytest.fixture
def empty(cast: Cast) -> Classroom:
    made = Classroom.objects.create(name="10a", rubric=cast.classroom.rubric)
    made.teachers.add(cast.teacher)
    return made


def plan(cast: Cast, classroom: Classroom, text: str, *, deactivates: bool = False, moves: bool = False) -> RosterPlan:
    taught = classrooms_taught(cast.teacher)
    return roster.plan(classroom, tables.read(text), taught, deactivates=deactivates, moves=moves)


def carry_out(
    cast: Cast, classroom: Classroom, text: str, *, deactivates: bool = False, moves: bool = False
) -> RosterPlan:
    options = {"deactivates": deactivates, "moves": moves}
    mark = plan(cast, classroom, text, **options).mark
    return roster.apply(classroom, tables.read(text), classrooms_taught(cast.teacher), mark=mark, **options)


def kinds(found: RosterPlan) -> list[RowKind]:
    return [row.kind for row in found.rows]


def state_of(*classrooms: Classroom) -> list[object]:
    people = list(
        User.objects.order_by("pk").values_list("pk", "username", "first_name", "last_name", "email", "is_active")
    )
    return [people, [set(one.students.values_list("pk", flat=True)) for one in classrooms]]


def test_planning_writes_nothing(cast: Cast, empty: Classroom) -> None:
    before = state_of(empty, cast.classroom)
    plan(cast, empty, "Anna Schmidt\nBo Berg", deactivates=True, moves=True)
    plan(cast, cast.classroom, "Anna Schmidt", deactivates=True, moves=True)
    assert state_of(empty, cast.classroom) == before


def test_new_students_get_accounts_without_a_password(cast: Cast, empty: Classroom) -> None:
    carry_out(cast, empty, "Name;E-Mail\nJürgen Groß;j@school.example\nAyşe Şahin;")
    made = empty.students.get(username="juergen.gross")
    assert (made.first_name, made.last_name, made.email) == ("Jürgen", "Groß", "j@school.example")
    assert not made.has_usable_password()
    assert not made.is_staff
    assert not made.is_superuser
    assert empty.students.count() == 2


def test_a_second_import_of_the_same_list_changes_nothing(cast: Cast, empty: Classroom) -> None:
    text = "Anna Schmidt\nAnna Schmidt\nJürgen Groß"
    carry_out(cast, empty, text)
    before = state_of(empty)
    assert kinds(carry_out(cast, empty, text)) == [RowKind.SAME] * 3
    assert state_of(empty) == before


def test_two_of_one_name_are_two_students_and_stay_the_same_two(cast: Cast, empty: Classroom) -> None:
    found = plan(cast, empty, "Anna Schmidt\nAnna Schmidt")
    assert [row.username for row in found.rows] == ["anna.schmidt", "anna.schmidt2"]
    assert all("same name" in row.note for row in found.rows)
    carry_out(cast, empty, "Anna Schmidt\nAnna Schmidt")
    third = plan(cast, empty, "Anna Schmidt\nAnna Schmidt\nAnna Schmidt").rows
    assert [row.username for row in third] == ["anna.schmidt", "anna.schmidt2", "anna.schmidt3"]
    assert [row.kind for row in third] == [RowKind.SAME, RowKind.SAME, RowKind.NEW]


def test_user_names_are_unique_on_the_whole_site_in_any_case(cast: Cast, empty: Classroom) -> None:
    User.objects.create(username="Anna.Schmidt")
    User.objects.create(username="anna.schmidt2")
    assert plan(cast, empty, "Anna Schmidt").rows[0].username == "anna.schmidt3"


def test_a_given_user_name_is_kept_free_for_its_row(cast: Cast, empty: Classroom) -> None:
    found = plan(cast, empty, "Name;Benutzername\nAnna Schmidt;\nAnna Schmidt;anna.schmidt")
    assert [row.username for row in found.rows] == ["anna.schmidt2", "anna.schmidt"]


def test_what_has_changed_is_updated_by_user_name_or_address_and_nothing_is_emptied(
    cast: Cast, empty: Classroom
) -> None:
    carry_out(cast, empty, "Name;E-Mail\nAnna Schmidt;a@school.example\nBo Berg;b@school.example")
    found = carry_out(cast, empty, "Name;E-Mail;User name\nAnna Meier;a@school.example;\nBo Borg;;bo.berg")
    assert kinds(found) == [RowKind.CHANGED, RowKind.CHANGED]
    rows = empty.students.order_by("pk").values_list("username", "last_name", "email")
    assert list(rows) == [("anna.schmidt", "Meier", "a@school.example"), ("bo.berg", "Borg", "b@school.example")]


def test_who_is_missing_stays_unless_it_is_asked_for(cast: Cast, empty: Classroom) -> None:
    carry_out(cast, empty, "Anna Schmidt\nBo Berg")
    found = carry_out(cast, empty, "Anna Schmidt")
    assert [one.username for one in found.missing] == ["bo.berg"]
    assert empty.students.filter(is_active=True).count() == 2
    carry_out(cast, empty, "Anna Schmidt", deactivates=True)
    assert not empty.students.get(username="bo.berg").is_active


def test_who_comes_back_is_who_they_were(cast: Cast, empty: Classroom) -> None:
    carry_out(cast, empty, "Anna Schmidt\nBo Berg")
    carry_out(cast, empty, "Anna Schmidt", deactivates=True)
    gone = User.objects.get(username="bo.berg")
    found = carry_out(cast, empty, "Anna Schmidt\nBo Berg")
    assert kinds(found) == [RowKind.SAME, RowKind.BACK]
    gone.refresh_from_db()
    assert gone.is_active


def test_who_attends_another_class_too_leaves_this_one_and_stays_active(cast: Cast, empty: Classroom) -> None:
    empty.students.add(cast.ada)
    carry_out(cast, empty, "Anna Schmidt", deactivates=True)
    cast.ada.refresh_from_db()
    assert cast.ada.is_active
    assert not empty.students.filter(pk=cast.ada.pk).exists()
    assert cast.classroom.students.filter(pk=cast.ada.pk).exists()


@pytest.mark.parametrize("moves", [False, True])
def test_a_student_changes_between_classes_of_one_teacher(cast: Cast, empty: Classroom, moves: bool) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    found = carry_out(cast, empty, "Name;User name\nAda Lovelace;ADA", moves=moves)
    assert kinds(found) == [RowKind.COMES]
    assert empty.students.get().username == "ada"
    assert cast.classroom.students.filter(pk=cast.ada.pk).exists() is not moves
    submission.refresh_from_db()
    assert (submission.student, submission.classroom) == (cast.ada, cast.classroom)


@pytest.mark.parametrize("username", ["outsider", "OUTSIDER", "root", "other_teacher", "nobodys"])
def test_accounts_of_others_are_out_of_reach(cast: Cast, empty: Classroom, username: str) -> None:
    User.objects.create_superuser("root")
    User.objects.create(username="nobodys")
    found = plan(cast, empty, f"Name;User name\nAnna Schmidt;{username}\nBo Berg;")
    assert "taken" in found.rows[0].error
    with pytest.raises(ChangedMeanwhileError):
        carry_out(cast, empty, f"Name;User name\nAnna Schmidt;{username}\nBo Berg;")
    assert not empty.students.exists()


def test_an_account_with_more_rights_is_no_students_even_in_the_class(cast: Cast) -> None:
    cast.ada.is_staff = True
    cast.ada.save()
    cast.classroom.students.add(cast.other_teacher)
    found = plan(cast, cast.classroom, "Name;User name\nAda;ada\nEve;other_teacher\nBo;bo", deactivates=True)
    assert [bool(row.error) for row in found.rows] == [True, True, False]
    assert plan(cast, cast.classroom, "Cleo", deactivates=True).missing == [cast.bo]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (";a@b.example;", "no name"),
        ("123;;", "no letter"),
        ("\x07Anna;;", "can’t be shown"),
        (f"{'x' * 151};;", "longer than 150"),
        ("Anna;no address;", "no e-mail address"),
        (f"Anna;{'x' * 250}@b.example;", "no e-mail address"),
        ("Anna;;an na", "letters, digits"),
        ("Anna;;" + "x" * 151, "longer than 150"),
        ("Anna;;BO.berg", "row 2, too"),
        ('"Anna;;', "quotation mark"),
        ("Anna;;;;;x", "more cells"),
        ("x" * 501 + ";;", "too long"),
    ],
)
def test_each_bad_row_has_its_words_and_nothing_of_the_list_is_taken(
    cast: Cast, empty: Classroom, row: str, words: str
) -> None:
    text = f"Name;E-Mail;User name\nBo Berg;;bo.berg\n{row}\n"
    found = plan(cast, empty, text)
    assert [(each.number, words in each.error) for each in found.errors] == [(3, True)]
    with pytest.raises(ChangedMeanwhileError):
        roster.apply(
            empty, tables.read(text), classrooms_taught(cast.teacher), mark=found.mark, deactivates=False, moves=False
        )
    assert not empty.students.exists()


def test_what_was_not_shown_is_not_done(cast: Cast, empty: Classroom) -> None:
    mark = plan(cast, empty, "Anna Schmidt").mark
    carry_out(cast, empty, "Anna Schmidt")  # somebody else was faster
    with pytest.raises(ChangedMeanwhileError):
        roster.apply(
            empty,
            tables.read("Anna Schmidt"),
            classrooms_taught(cast.teacher),
            mark=mark,
            deactivates=False,
            moves=False,
        )
    assert empty.students.count() == 1


def test_three_hundred_rows_take_few_queries(
    cast: Cast, empty: Classroom, django_assert_max_num_queries: object
) -> None:
    text = "\n".join(f"Anna{'x' * (number % 7)} Schmidt{number % 50}" for number in range(tables.MAX_ROWS))
    with django_assert_max_num_queries(25):  # type: ignore[operator]
        carry_out(cast, empty, text)
    assert empty.students.count() == tables.MAX_ROWS


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("Anna", ("Anna", "")),
        ("Anna Maria Schmidt", ("Anna Maria", "Schmidt")),
        ("Schmidt, Anna Maria", ("Anna Maria", "Schmidt")),
        ("Ludwig van Beethoven", ("Ludwig", "van Beethoven")),
        ("Ursula von der Leyen", ("Ursula", "von der Leyen")),
        ("van Beethoven", ("van", "Beethoven")),
    ],
)
def test_a_whole_name_is_parted(name: str, parts: tuple[str, str]) -> None:
    assert split_name(name) == parts
