"""What a teacher does to the students of a class, and that it reaches nobody else's."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils.timezone import now

from evaluations.access.members import cards, joining
from evaluations.models import Classroom, JoinCode, JoinRequest, LoginCard
from tests.conftest import PASSWORD, Cast
from tests.evaluations.material import hand_in
from tests.evaluations.views.conftest import disk, signed_in

__all__ = ["disk"]


@pytest.fixture
def teacher(cast: Cast) -> Client:
    return signed_in(cast.teacher)


def page(client: Client, classroom: Classroom, path: str = "") -> str:
    answer = client.get(f"/classes/{classroom.pk}/members/{path}")
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def act(client: Client, classroom: Classroom, action: str, *students: User, **more: object) -> Any:
    fields = {"action": action, "student": [one.pk for one in students], **more}
    return client.post(f"/classes/{classroom.pk}/members/act", fields)


def print_cards(client: Client, classroom: Classroom, *students: User, **more: object) -> Any:
    newest = re.search(
        r'name="newest"\s+value="([^"]+)"', client.get(f"/classes/{classroom.pk}/members/").content.decode()
    )
    fields = {"newest": newest[1] if newest else "", "student": [one.pk for one in students], **more}
    return client.post(f"/classes/{classroom.pk}/members/cards", fields)


def codes_of(answer: Any) -> list[str]:
    return re.findall(r'class="card-code">([^<]+)<', answer.content.decode())


def test_cards_are_printed_for_all_or_for_those_that_are_ticked(cast: Cast, teacher: Client) -> None:
    everybody = print_cards(teacher, cast.classroom)
    assert len(codes_of(everybody)) == 2
    assert everybody.content.decode().count("<svg") == 2
    assert "testserver/card/" in everybody.content.decode()
    assert "no-store" in everybody["Cache-Control"]
    one = print_cards(teacher, cast.classroom, cast.bo, cast.outsider)
    assert len(codes_of(one)) == 1
    found = cards.find(codes_of(one)[0])
    assert found is not None
    assert found.student == cast.bo
    assert found.made_by == cast.teacher


def test_a_page_that_is_loaded_again_does_not_end_the_cards_that_were_printed(cast: Cast, teacher: Client) -> None:
    form = {"newest": "none", "student": [cast.ada.pk]}
    address = f"/classes/{cast.classroom.pk}/members/cards"
    (code,) = codes_of(teacher.post(address, form))
    assert teacher.post(address, form).status_code == 302
    assert cards.find(code)


def test_a_sheet_that_leads_to_this_computer_only_says_so(cast: Cast, teacher: Client) -> None:
    print_cards(teacher, cast.classroom)
    local = teacher.get(f"/classes/{cast.classroom.pk}/members/", headers={"host": "localhost:8000"})
    assert b"works on this computer only" in local.content
    assert "works on this computer only" not in page(teacher, cast.classroom)


def test_a_new_card_replaces_the_password(cast: Cast, teacher: Client) -> None:
    (code,) = codes_of(print_cards(teacher, cast.classroom, cast.ada, reset="1"))
    cast.ada.refresh_from_db()
    assert not cast.ada.check_password(PASSWORD)
    assert Client().post("/card/", {"code": code}).status_code == 302


def test_a_reset_of_nobody_resets_nobody(cast: Cast, teacher: Client) -> None:
    assert print_cards(teacher, cast.classroom, cast.outsider, reset="1").status_code == 302
    for user in (cast.ada, cast.bo, cast.outsider):
        user.refresh_from_db()
        assert user.has_usable_password()


def test_cards_end_and_work_again(cast: Cast, teacher: Client) -> None:
    print_cards(teacher, cast.classroom)
    LoginCard.objects.update(expires_at=now())
    assert "card that has ended" in page(teacher, cast.classroom)
    act(teacher, cast.classroom, "renew", cast.ada)
    assert "1 card works again." in page(teacher, cast.classroom)
    act(teacher, cast.classroom, "revoke")
    assert not LoginCard.objects.exists()


def test_a_student_moves_to_another_class_of_the_teachers_and_to_no_other(cast: Cast, teacher: Client) -> None:
    own = Classroom.objects.create(name="10b", rubric=cast.classroom.rubric)
    own.teachers.add(cast.teacher)
    submission = hand_in(cast.ada, cast.classroom)
    print_cards(teacher, cast.classroom)
    assert act(teacher, cast.classroom, "move", cast.ada, to=cast.other_classroom.pk).status_code == 404
    assert act(teacher, cast.classroom, "move", cast.ada, to="x").status_code == 404
    assert act(teacher, cast.classroom, "move", cast.ada, to=own.pk).status_code == 302
    assert list(own.students.all()) == [cast.ada]
    assert list(cast.classroom.students.all()) == [cast.bo]
    assert not LoginCard.objects.filter(student=cast.ada).exists()
    submission.refresh_from_db()
    assert submission.classroom == cast.classroom


def test_whoever_is_removed_can_not_sign_in_and_what_they_handed_in_stays(cast: Cast, teacher: Client) -> None:
    hand_in(cast.ada, cast.classroom)
    student = signed_in(cast.ada)
    act(teacher, cast.classroom, "remove", cast.ada, cast.bo)
    assert student.get("/account/").status_code == 302
    board = teacher.get(f"/classes/{cast.classroom.pk}/").content.decode()
    assert "ada" in board
    assert ">bo<" not in board
    act(teacher, cast.classroom, "take-in", cast.bo)
    cast.bo.refresh_from_db()
    assert cast.bo.is_active


def test_someone_with_more_rights_is_removed_and_stays_who_they_are(cast: Cast, teacher: Client) -> None:
    cast.classroom.students.add(cast.other_teacher)
    act(teacher, cast.classroom, "remove", cast.other_teacher)
    cast.other_teacher.refresh_from_db()
    assert cast.other_teacher.is_active
    assert not cast.classroom.students.filter(pk=cast.other_teacher.pk).exists()


def test_a_lock_shows_and_is_lifted(cast: Cast, teacher: Client) -> None:
    for agent in ("a", "b"):  # a lock counts all browsers
        AccessAttempt.objects.create(
            username="ada",
            ip_address="10.0.0.1",
            user_agent=agent,
            failures_since_start=settings.AXES_FAILURE_LIMIT // 2,
            attempt_time=now(),
        )
    assert "locked" in page(teacher, cast.classroom)
    act(teacher, cast.classroom, "unlock", cast.ada)
    assert not AccessAttempt.objects.exists()


@pytest.mark.parametrize("action", ["renew", "revoke", "unlock", "remove", "take-in", "move", "", "x"])
def test_students_of_others_are_not_chosen(cast: Cast, teacher: Client, action: str) -> None:
    cards.make(cast.other_classroom, [cast.outsider], by=cast.other_teacher)
    before = LoginCard.objects.get().expires_at
    act(teacher, cast.classroom, action, cast.outsider, to=cast.classroom.pk)
    cast.outsider.refresh_from_db()
    assert cast.outsider.is_active
    assert LoginCard.objects.get().expires_at == before
    assert list(cast.other_classroom.students.all()) == [cast.outsider]


def test_a_form_with_keys_that_are_none_does_nothing(cast: Cast, teacher: Client) -> None:
    fields = {"action": "remove", "student": ["x", "-1", "9" * 30, "1.5", "\u0661"]}
    assert teacher.post(f"/classes/{cast.classroom.pk}/members/act", fields).status_code == 302
    assert cast.classroom.students.filter(is_active=True).count() == 2


# Joining


def answer(client: Client, classroom: Classroom, action: str, **more: object) -> Any:
    return client.post(f"/classes/{classroom.pk}/members/answer", {"action": action, **more})


def ask(client: Client, code: str, name: str = "Anna Schmidt") -> Any:
    return client.post("/join/", {"code": code, "name": name})


def test_a_student_joins_by_a_code_and_goes_in_once_they_are_approved(cast: Cast, teacher: Client) -> None:
    answer(teacher, cast.classroom, "open")
    code = JoinCode.objects.get().code
    student = Client()
    assert ask(student, code.lower())["Location"] == "/join/waiting/"
    assert 'data-state="waiting"' in student.get("/join/waiting/").content.decode()
    assert student.post("/join/enter")["Location"] == "/join/waiting/"  # nothing yet
    assert "Anna Schmidt gets a new account" in page(teacher, cast.classroom)
    answer(teacher, cast.classroom, "approve", request=[JoinRequest.objects.get().pk])
    assert "Your user name is anna.schmidt." in " ".join(student.get("/join/waiting/").content.decode().split())
    assert Client().post("/join/enter")["Location"] == "/join/waiting/"  # only the browser that asked
    assert student.post("/join/enter")["Location"] == "/"
    assert student.get("/account/").status_code == 200
    assert cast.classroom.students.filter(username="anna.schmidt").exists()


def test_who_has_an_account_joins_with_it(cast: Cast, teacher: Client) -> None:
    joining.open_class(cast.classroom)
    student = signed_in(cast.outsider)
    ask(student, JoinCode.objects.get().code, name="")
    assert (
        ask(student, JoinCode.objects.get().code, name="")["Location"] == "/join/waiting/"
    )  # a second time is the same
    answer(teacher, cast.classroom, "approve", everybody="1")
    assert cast.classroom.students.filter(pk=cast.outsider.pk).exists()
    assert JoinRequest.objects.count() == 1


def test_the_declined_get_no_place(cast: Cast, teacher: Client) -> None:
    joining.open_class(cast.classroom)
    student = Client()
    ask(student, JoinCode.objects.get().code)
    answer(teacher, cast.classroom, "decline", everybody="1")
    assert "declined" in student.get("/join/waiting/").content.decode()
    student.post("/join/enter")
    assert cast.classroom.students.count() == 2


def test_another_teacher_answers_nothing_here(cast: Cast) -> None:
    joining.open_class(cast.classroom)
    ask(Client(), JoinCode.objects.get().code)
    other = signed_in(cast.other_teacher)
    key = JoinRequest.objects.get().pk
    assert answer(other, cast.classroom, "approve", request=[key]).status_code == 404
    answer(other, cast.other_classroom, "approve", request=[key])
    assert JoinRequest.objects.get().state == JoinRequest.JoinState.WAITING


@pytest.mark.parametrize("state", ["closed", "expired", "renewed", "slip", "empty"])
def test_a_code_that_does_not_work_asks_nobody(cast: Cast, state: str) -> None:
    code = joining.open_class(cast.classroom).code
    if state == "closed":
        joining.close_class(cast.classroom)
    elif state == "expired":
        JoinCode.objects.update(expires_at=now())
    elif state == "renewed":
        joining.open_class(cast.classroom)
    else:
        code = "" if state == "empty" else "ABCDE2"
    assert ask(Client(), code).status_code == 400
    assert not JoinRequest.objects.exists()


@pytest.mark.parametrize("name", ["", "   ", "123", "\u200b", "x" * 201, "\x07Anna"])
def test_a_name_that_is_none_asks_nobody(cast: Cast, name: str) -> None:
    assert ask(Client(), joining.open_class(cast.classroom).code, name=name).status_code == 400
    assert not JoinRequest.objects.exists()


def test_teachers_and_members_do_not_ask(cast: Cast) -> None:
    code = joining.open_class(cast.classroom).code
    for user in (cast.ada, cast.teacher, cast.other_teacher):
        assert ask(signed_in(user), code).status_code == 400
    assert not JoinRequest.objects.exists()


def test_requests_are_limited_by_network_and_by_class(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    from evaluations.access.limits import Buckets
    from evaluations.views.members import signing_in

    code = joining.open_class(cast.classroom).code
    monkeypatch.setattr(signing_in, "requests_made", Buckets(3, 1e-9))
    assert [ask(Client(), code).status_code for _ in range(4)] == [302, 302, 302, 400]
    monkeypatch.setattr(joining, "MAX_WAITING", 3)
    assert ask(Client(REMOTE_ADDR="10.0.0.9"), code).status_code == 400
    assert JoinRequest.objects.count() == 3


def test_two_who_approve_at_once_make_one_account(cast: Cast) -> None:
    asked = joining.ask(cast.classroom, name="Anna Schmidt", student=None)
    assert joining.approve(asked) is not None
    assert joining.approve(asked) is None
    assert not joining.decline(asked)
    asked.refresh_from_db()
    assert joining.enter(asked) == User.objects.get(username="anna.schmidt")
    assert joining.enter(asked) is None
