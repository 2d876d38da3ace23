"""S22, S25, S39: who reaches what, by every route of the URLconf, and that only a POST with the token changes anything.

A route that is not in the table fails, and so does a method that is not. Everything with a key is Ada's.
"""

from __future__ import annotations

import copy
import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any, Final

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from evaluations.access import roles
from evaluations.api import chat
from evaluations.coaching.questions import asking
from evaluations.models import CoachQuestion, Rerating, Submission, TrailEntry, Upload
from evaluations.uploads import intake
from queueing.exceptions import Permanent
from tests.conftest import Cast
from tests.evaluations.material import fail, hand_in, write_operations, write_results
from tests.evaluations.routes import Route, undeclared, walk
from tests.evaluations.views.conftest import disk

__all__ = ["disk"]

PEOPLE: Final = ("anonymous", "ada", "bo", "outsider", "teacher", "other_teacher", "root")
CHUNK: Final = b"fLaC".ljust(64, b"\0")  # of what begins as a recording does
UNSAFE: Final = ("POST", "PUT", "PATCH", "DELETE")
LOGIN: Final = 302
Cells = tuple[int, int, int, int, int, int, int]

ADAS_PAGE: Final[Cells] = (LOGIN, 200, 404, 404, 200, 404, 200)
ADAS_ACTION: Final[Cells] = (LOGIN, 302, 404, 404, 302, 404, 302)
TEACHERS_PAGE: Final[Cells] = (LOGIN, 404, 404, 404, 200, 404, 200)
TEACHERS_ACTION: Final[Cells] = (LOGIN, 404, 404, 404, 302, 404, 302)
ADAS_OBJECT: Final[Cells] = (401, 200, 404, 404, 200, 404, 200)
ADAS_BEGINNING: Final[Cells] = (401, 202, 404, 404, 202, 404, 202)
TEACHERS_OBJECT: Final[Cells] = (401, 404, 404, 404, 200, 404, 200)
ADAS_UPLOAD: Final[Cells] = (401, 204, 404, 404, 404, 404, 404)
WHOEVER_IS_SIGNED_IN: Final[Cells] = (401, 200, 200, 200, 200, 200, 200)

ADAS_QUESTION: Final[dict[str, Cells]] = {"GET": ADAS_OBJECT, "DELETE": (401, 200, 404, 404, 404, 404, 404)}

# route → method → the answer for each of PEOPLE
MATRIX: Final[dict[str, dict[str, Cells]]] = {
    "login": {
        "GET": (200, 302, 302, 302, 302, 302, 302),
        "POST": (200, 302, 302, 302, 302, 302, 302),
        # Django's form views take PUT for POST, and whoever is signed in is sent on whatever they ask.
        "PUT": (200, 302, 302, 302, 302, 302, 302),
        "PATCH": (405, 302, 302, 302, 302, 302, 302),
        "DELETE": (405, 302, 302, 302, 302, 302, 302),
    },
    "logout": {"POST": (302,) * 7},
    "language": {"POST": (302,) * 7},
    "trust": {"GET": (404,) * 7},  # this site is no LAB; tests/introeval/lan has one
    "authority": {"GET": (404,) * 7},
    "guides": {"GET": (200,) * 7},
    "guide": {"GET": (404,) * 7},  # no name of a guide; tests/introeval/serving/test_guides.py has some
    "guide-picture": {"GET": (404,) * 7},
    "lab": {"GET": (LOGIN, 404, 404, 404, 404, 404, 200)},
    "lab-tasks": {"POST": (LOGIN, 404, 404, 404, 404, 404, 302)},
    "lab-control": {"POST": (LOGIN, 404, 404, 404, 404, 404, 302)},
    "lab-acknowledge": {"POST": (LOGIN, 404, 404, 404, 404, 404, 302)},
    "metrics": {"GET": (200,) * 7},  # from this machine; who else may: views/test_health.py
    "readyz": {"GET": (200,) * 7},
    "dashboard": {"GET": (LOGIN, 200, 200, 200, 302, 302, 302)},
    "dashboard-fragment": {"GET": (LOGIN, 200, 200, 200, 200, 200, 200)},
    "dashboard-unfinished": {"GET": (LOGIN, 200, 200, 200, 200, 200, 200)},
    "submission": {"GET": ADAS_PAGE},
    "submission-captions": {"GET": ADAS_PAGE},
    "submission-row": {"GET": ADAS_PAGE},
    "submission-results": {"GET": ADAS_PAGE},
    "submission-media": {"GET": ADAS_PAGE},
    "submission-retry": {"POST": ADAS_ACTION},
    "submission-cancel": {"POST": ADAS_ACTION},
    "submission-appeal": {
        "GET": (LOGIN, 200, 404, 404, 404, 404, 404),
        "POST": (LOGIN, 400, 404, 404, 404, 404, 404),
    },
    "submission-operations": {"GET": ADAS_PAGE},
    "submission-summary": {"POST": ADAS_ACTION},
    "submission-mind-map": {"POST": ADAS_ACTION},
    "mind-map-svg": {"GET": ADAS_PAGE},
    "mind-map-md": {"GET": ADAS_PAGE},
    "mind-map-opml": {"GET": ADAS_PAGE},
    "submission-delete": {"GET": ADAS_PAGE, "POST": ADAS_ACTION},
    "coach": {"GET": ADAS_PAGE},
    "coach-ask": {"POST": (LOGIN, 302, 404, 404, 404, 404, 404)},
    "coach-stop": {"POST": (LOGIN, 302, 404, 404, 404, 404, 404)},
    "classes": {"GET": (LOGIN, 200, 200, 200, 200, 200, 200)},
    "record": {"GET": (LOGIN, 200, 200, 404, 404, 404, 404)},
    "classroom": {"GET": TEACHERS_PAGE},
    "classroom-retry": {"POST": TEACHERS_ACTION},
    "classroom-retry-failed": {"GET": TEACHERS_PAGE, "POST": TEACHERS_ACTION},
    "classroom-csv": {"GET": TEACHERS_PAGE},
    "classroom-xlsx": {"GET": TEACHERS_PAGE},
    "classroom-sheets": {"GET": TEACHERS_PAGE},
    "classroom-in-short": {"GET": TEACHERS_PAGE},
    "calibration": {"GET": TEACHERS_PAGE, "POST": (LOGIN, 404, 404, 404, 302, 404, 302)},
    "calibration-mark": {"GET": TEACHERS_PAGE, "POST": (LOGIN, 404, 404, 404, 400, 404, 400)},
    "review": {"GET": TEACHERS_ACTION, "POST": TEACHERS_ACTION},
    "review-submission": {"GET": TEACHERS_PAGE, "POST": (LOGIN, 404, 404, 404, 400, 404, 400)},
    "student": {"GET": TEACHERS_PAGE, "POST": (LOGIN, 404, 404, 404, 400, 404, 400)},
    "review-again": {"POST": TEACHERS_ACTION},
    "reratings": {"GET": TEACHERS_PAGE, "POST": (LOGIN, 404, 404, 404, 400, 404, 400)},  # an empty form
    "reratings-alike": {"POST": TEACHERS_ACTION},
    "rerating": {"GET": TEACHERS_PAGE},
    "rerating-adopt": {"POST": TEACHERS_ACTION},
    "rerating-restore": {"POST": TEACHERS_ACTION},
    "rerating-withdraw": {"POST": TEACHERS_ACTION},
    "student-data": {"GET": TEACHERS_PAGE},
    "erase-student": {"GET": TEACHERS_PAGE, "POST": TEACHERS_ACTION},
    "class-privacy": {"GET": TEACHERS_PAGE, "POST": (LOGIN, 404, 404, 404, 400, 404, 400)},  # an empty form
    "consent": {"GET": (LOGIN, 200, 200, 404, 404, 404, 404), "POST": (LOGIN, 302, 302, 404, 404, 404, 404)},
    "privacy": {"GET": (LOGIN, *(200,) * 6)},
    "own-data": {"GET": (LOGIN, *(200,) * 6)},
    "members": {"GET": TEACHERS_PAGE},
    "members-import": {"GET": TEACHERS_PAGE, "POST": (LOGIN, 404, 404, 404, 400, 404, 400)},  # an empty form
    "members-act": {"POST": TEACHERS_ACTION},
    "members-erase": {"POST": TEACHERS_ACTION},  # nobody is named
    "members-answer": {"POST": TEACHERS_ACTION},
    "members-cards": {"POST": TEACHERS_ACTION},
    "card": {"GET": (200,) * 7, "POST": (400,) * 7},
    "join": {"GET": (200,) * 7, "POST": (400,) * 7},
    "join-waiting": {"GET": (200,) * 7},
    "join-enter": {"POST": (302,) * 7},
    "account-mail": {"POST": (LOGIN, *(404,) * 6)},  # without a mail server
    "mail": {"GET": (404,) * 7, "POST": (404,) * 7},  # without the link of a mail
    "account": {"GET": (LOGIN, *(200,) * 6), "POST": (LOGIN, *(400,) * 6)},
    "uploads": {"POST": (401, 201, 201, 201, 404, 404, 404)},
    "upload": {"HEAD": (401, 200, 404, 404, 404, 404, 404), "PATCH": ADAS_UPLOAD, "DELETE": ADAS_UPLOAD},
    "api:api-root": {"GET": (404,) * 7},
    "api:openapi-json": {"GET": (200,) * 7},
    "api:status": {"GET": ADAS_OBJECT},
    "api:my_videos": {"GET": WHOEVER_IS_SIGNED_IN},
    "api:results": {"GET": ADAS_OBJECT},
    "api:retry": {"POST": ADAS_OBJECT},
    "api:cancel": {"POST": (401, 409, 404, 404, 409, 404, 409)},
    "api:delete": {"DELETE": (401, 204, 404, 404, 204, 404, 204)},
    "api:processing_status": {"GET": ADAS_OBJECT},
    "api:summary": {"POST": ADAS_BEGINNING},
    "api:mind_map": {"POST": ADAS_BEGINNING},
    "api:my_classes": {"GET": WHOEVER_IS_SIGNED_IN},
    "api:upload": {"POST": (401, *(422,) * 6)},  # without a file
    "api:my_uploads": {"GET": WHOEVER_IS_SIGNED_IN},
    "api:classes": {"GET": WHOEVER_IS_SIGNED_IN},
    "api:classroom": {"GET": TEACHERS_OBJECT},
    "api:stats": {"GET": WHOEVER_IS_SIGNED_IN},
    "api:chat": {"POST": (401, 202, 404, 404, 404, 404, 404)},
    "api:stream": {"POST": (401, 200, 404, 404, 404, 404, 404)},
    # One address, two operations.
    "api:question": ADAS_QUESTION,
    "api:stop_question": ADAS_QUESTION,
    "api:questions": {"GET": ADAS_OBJECT},
}
CELLS: Final = [(name, method, who) for name, methods in MATRIX.items() for method in methods for who in PEOPLE]
ROUTES: Final = {route.name: route for route in walk() if not route.name.startswith("admin:")}


@pytest.fixture(autouse=True)
def nobody_waits_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "WAIT_SECONDS", 0.01)


@dataclass(frozen=True)
class World:
    """Ada's failed submission with its results, a question and an order to rate it again; her unfinished upload."""

    cast: Cast
    submission: Submission
    upload: Upload
    rerating: Rerating
    question: CoachQuestion
    sessions: dict[str, SimpleCookie]

    def key(self, name: str) -> object:
        """Classes and people have counted ids, all else ids that can't be guessed."""
        keys = {"pk": self.cast.classroom.pk, "submission": self.submission.pk, "student": self.cast.ada.pk}
        if len(names := re.findall(r"<\w+:(\w+)>", ROUTES[name].pattern)) > 1:
            return {one: keys[one] for one in names}
        if ROUTES[name].pattern.startswith(("api/chat/", "coach/")):
            return self.question.pk
        if ROUTES[name].pattern.startswith("reratings/"):
            return self.rerating.pk
        if "<int:" in ROUTES[name].pattern:
            return self.cast.classroom.pk
        return self.upload.pk if name == "upload" else self.submission.pk

    def client(self, who: str, **kwargs: Any) -> Client:
        """A browser of its own, with nothing but the session of `who`."""
        client = Client(**kwargs)
        client.cookies = copy.deepcopy(self.sessions[who])
        return client


@pytest.fixture
def world(cast: Cast) -> World:
    submission = hand_in(cast.ada, cast.classroom)
    fail(submission, Permanent(code="no_audio"))
    write_results(submission)
    write_operations(submission)
    upload = intake.begin(student=cast.ada, classroom=cast.classroom, name="a", length=len(CHUNK))
    order = Rerating.objects.create(classroom=cast.classroom, rubric=cast.classroom.rubric)
    order.submissions.add(submission)
    users = {"root": User.objects.create_superuser("root")} | {who: getattr(cast, who, None) for who in PEOPLE[:-1]}
    question = asking.ask(submission=submission, student=cast.ada, text="Why?", language="en")
    return World(cast, submission, upload, order, question, {who: session(user) for who, user in users.items()})


def session(user: User | None) -> SimpleCookie:
    client = Client()
    if user is not None:
        client.force_login(user)
    return client.cookies


def ask(client: Client, method: str, name: str, key: object) -> Any:
    if name in ("api:chat", "api:stream"):
        body = {"submission_id": str(Submission.objects.get().pk), "question": "Why?"}
        return client.generic(method, ROUTES[name].filled(key), json.dumps(body), "application/json")
    tus = (
        {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(CHUNK)), "Upload-Offset": "0"}
        if name.startswith("upload")
        else {}
    )
    url, kind = ROUTES[name].filled(key), "application/offset+octet-stream"
    return client.generic(method, url, CHUNK if method == "PATCH" else b"", kind, headers=tus)


@contextmanager
def undone() -> Iterator[None]:
    """All changes made in it are rolled back."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def everything() -> list[Any]:
    """Of each table but the audit trail, how many rows there are, and a mark that differs when any row was written."""
    models = [model for model in apps.get_models(include_auto_created=True) if model is not TrailEntry]
    tables = [connection.ops.quote_name(model._meta.db_table) for model in models]
    rows = "SELECT '{0}', count(*), md5(string_agg(t::text || t.xmin, '' ORDER BY t.ctid)) FROM {0} t"
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(rows.format(table) for table in tables))
        return list(cursor.fetchall())


def test_every_route_is_in_the_matrix() -> None:
    assert not (said := undeclared(ROUTES, MATRIX)), said


def test_a_new_route_is_missed_by_its_name_and_one_without_a_name_by_its_pattern() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    planted = [route.name for route in walk([path("a/", view, name="planted"), path("b/<int:pk>", view)])]
    assert undeclared([*ROUTES, *planted], MATRIX) == (
        "say in the matrix who may reach '/b/<int:pk>'; say in the matrix who may reach 'planted'"
    )


def test_everybody_reaches_their_own_and_nothing_else(world: World) -> None:
    wrong = {}
    for name, method, who in CELLS:
        expected = MATRIX[name][method][PEOPLE.index(who)]
        with undone():
            answer = ask(world.client(who), method, name, world.key(name))
        if answer.status_code != expected:
            wrong[name, method, who] = f"{answer.status_code} instead of {expected}"
    assert not wrong


def test_a_page_sends_whoever_is_not_signed_in_to_the_login_page(world: World) -> None:
    cells = [(name, method) for name, method, who in CELLS if who == "anonymous" and MATRIX[name][method][0] == LOGIN]
    pages = [(name, method) for name, method in cells if name not in ("logout", "language", "join-enter")]
    assert len(pages) > 7
    for name, method in pages:
        answer = ask(world.client("anonymous"), method, name, world.key(name))
        assert answer["Location"].startswith("/login/?next="), name


def of_nothing(name: str) -> object:
    """A key of the route's kinds that is nobody's."""
    kinds = re.findall(r"<(\w+):(\w+)>", ROUTES[name].pattern)
    keys = {each: 10**9 if kind == "int" else uuid.uuid4() for kind, each in kinds}
    return keys if len(keys) > 1 else next(iter(keys.values()))


def test_what_does_not_exist_looks_like_what_is_not_yours(world: World) -> None:
    varying = rb'[A-Za-z0-9]{64}|"id": "[0-9a-f]{12}"'  # tokens, and ids of refusals
    refused = [(name, method, who) for name, method, who in CELLS if MATRIX[name][method][PEOPLE.index(who)] == 404]
    keyed = [(name, method, who) for name, method, who in refused if "<" in ROUTES[name].pattern]
    assert len(keyed) > 50
    for name, method, who in keyed:
        answers = [ask(world.client(who), method, name, key) for key in (world.key(name), of_nothing(name))]
        seen = [(one.status_code, re.sub(varying, b"", one.content), sorted(one.headers)) for one in answers]
        assert seen[0] == seen[1], (name, method, who)


def test_no_route_has_a_method_that_is_not_in_the_matrix(world: World) -> None:
    for name in ROUTES:
        for method in {"GET", *UNSAFE} - set(MATRIX[name]):
            for who in ("ada", "root"):
                status = ask(world.client(who), method, name, world.key(name)).status_code
                assert status in (404, 405), (name, method, who)


def test_looking_changes_nothing(world: World) -> None:
    before = everything()
    for name in ROUTES:
        for who in PEOPLE:
            ask(world.client(who), "GET", name, world.key(name))
        for who in ("ada", "root"):  # who reach most; to a view it is a GET
            ask(world.client(who), "HEAD", name, world.key(name))
        assert everything() == before, name


def test_nothing_is_changed_without_the_token(world: World) -> None:
    before = everything()
    for name in ROUTES:
        for method in UNSAFE:
            for who in ("ada", "teacher", "root"):
                status = ask(world.client(who, enforce_csrf_checks=True), method, name, world.key(name)).status_code
                assert status in ((403,) if method in MATRIX[name] else (403, 404, 405)), (name, method, who)
        assert everything() == before, name


def test_the_token_alone_is_enough(world: World) -> None:
    strict = world.client("ada", enforce_csrf_checks=True)
    strict.get("/")
    token = {"X-CSRFToken": strict.cookies["csrftoken"].value}
    assert strict.post(f"/submissions/{world.submission.pk}/retry", headers=token).status_code == 302


def test_signing_in_without_the_token_says_that_the_page_was_too_old(db: None) -> None:
    answer = Client(enforce_csrf_checks=True).post("/login/", {"username": "ada", "password": "a-long-passphrase"})
    assert answer.status_code == 403
    assert "The page was too old" in answer.content.decode()


# The admin, by its own rule: staff only, and of Ada's nothing to a teacher of another class.

ADMIN: Final = [route for route in walk() if route.name.startswith("admin:")]


def admin_address(route: Route) -> str:
    """With the key of a row of the route's model: the world's, which is Ada's."""
    app, _, rest = route.name.removeprefix("admin:").partition("_")
    known = apps.all_models.get(app, {}).get(rest.rsplit("_", 1)[0])
    row = known._base_manager.order_by("pk").last() if known else None
    return route.filled(row.pk if row else 1)


def test_the_admin_is_walked() -> None:
    assert len(ADMIN) > 50
    assert "admin:evaluations_submission_change" in [route.name for route in ADMIN]


def test_whoever_is_not_staff_gets_the_admins_login_page_and_nothing_else(world: World) -> None:
    for route in ADMIN:
        address = admin_address(route)
        for who in set(PEOPLE) - {"root"}:
            answer = world.client(who).get(address)
            if route.name == "admin:login":
                assert b"IntroEval" in answer.content
            elif route.name == "admin:logout":
                assert answer.get("Location") == "/admin/"
            else:
                assert (answer.status_code, answer.get("Location", "")[:13]) == (302, "/admin/login/"), (who, route)


def test_staff_of_another_class_sees_nothing_of_adas(world: World) -> None:
    roles.ensure_groups()
    world.cast.other_teacher.is_staff = True
    world.cast.other_teacher.save()
    world.cast.other_teacher.groups.add(Group.objects.get(name=roles.TEACHERS))
    of_ada = ("ada", str(world.submission.pk), str(world.upload.pk), world.cast.classroom.name, "I like climbing.")
    for route in ADMIN:
        answer = world.client("other_teacher").get(admin_address(route))
        if answer.status_code == 200:
            shown = re.sub(r"<script.*?</script>|<[^>]*>", " ", answer.content.decode(), flags=re.DOTALL)
            assert not [one for one in of_ada if re.search(rf"\b{re.escape(one)}\b", shown)], route.name


def test_a_superuser_reaches_all_of_the_admin_and_looking_changes_nothing(world: World) -> None:
    before = everything()
    for route in ADMIN:
        answer = world.client("root").get(admin_address(route))
        assert answer.status_code < 500, route
        assert not answer.get("Location", "").startswith("/admin/login/"), route
    assert everything() == before


def test_the_admin_changes_nothing_without_the_token(world: World) -> None:
    strict = world.client("root", enforce_csrf_checks=True)
    before = everything()
    for route in ADMIN:  # a view is exempt, if at all, whatever the method
        assert strict.post(admin_address(route)).status_code == 403, route
    assert {strict.generic(method, "/admin/").status_code for method in UNSAFE} == {403}
    assert everything() == before
