"""The audit trail: what each route of the staff leaves in it, and that nothing takes it out again.

A route by which somebody reaches another one's things and that is in neither table fails.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from evaluations import actions
from evaluations.access import roles
from evaluations.access.members import roster, tables
from evaluations.actions import marking, reratings, trail
from evaluations.models import Classroom, Evaluation, JoinRequest, Submission, TrailEntry
from evaluations.uploads import upkeep
from evaluations.views.members.printing import newest_card
from tests.conftest import PASSWORD, Cast
from tests.evaluations.access import test_access
from tests.evaluations.access.test_access import MATRIX, PEOPLE, ROUTES, World, ask, disk, undone, world
from tests.evaluations.actions.test_marking import mark, rating
from tests.evaluations.material import hand_in, write_results

__all__ = ["disk", "world"]

Form = dict[str, Any]
LOOKED: Final[dict[str, set[str]]] = {"GET": {"looked"}}

# route → method → the verbs that a teacher, or where she does not come a superuser, leaves in the trail.
TRAIL: Final[dict[str, dict[str, set[str]]]] = {
    "submission": LOOKED,
    "submission-captions": LOOKED,
    "submission-row": LOOKED,
    "submission-results": LOOKED,
    "submission-media": LOOKED,
    "submission-operations": LOOKED,
    "mind-map-svg": LOOKED,
    "mind-map-md": LOOKED,
    "mind-map-opml": LOOKED,
    "coach": LOOKED,
    "submission-retry": {"POST": {"moved"}},
    "submission-cancel": {"POST": {"moved"}},
    "submission-summary": {"POST": {"moved"}},
    "submission-mind-map": {"POST": {"moved"}},
    "submission-delete": {"GET": {"looked"}, "POST": {"erased"}},
    "classroom": LOOKED,
    "classroom-retry": {"POST": {"moved"}},
    "classroom-retry-failed": {"GET": {"looked"}, "POST": {"moved"}},
    "classroom-csv": {"GET": {"looked", "exported"}},
    "classroom-xlsx": {"GET": {"looked", "exported"}},
    "classroom-sheets": {"GET": {"looked", "exported"}},
    "classroom-in-short": LOOKED,
    "calibration": {"GET": {"looked"}, "POST": {"set"}},
    "calibration-mark": {"GET": {"looked"}, "POST": {"looked", "decided"}},
    "review": {"GET": {"looked"}, "POST": {"hid"}},
    "review-submission": {"GET": {"looked"}, "POST": {"decided"}},
    "student": {"GET": {"looked"}, "POST": {"admitted"}},
    "review-again": {"POST": {"moved"}},
    "reratings": {"GET": {"looked"}, "POST": {"moved"}},
    "reratings-alike": {"POST": {"moved"}},
    "rerating": LOOKED,
    "rerating-adopt": {"POST": {"decided", "set"}},
    "rerating-restore": {"POST": {"decided"}},
    "rerating-withdraw": {"POST": {"moved"}},
    "members": LOOKED,
    "members-import": {"GET": {"looked"}, "POST": {"enrolled"}},
    "members-act": {"POST": {"admitted"}},
    "members-erase": {"POST": {"erased"}},
    "student-data": {"GET": {"looked", "exported"}},
    "erase-student": {"GET": {"looked"}, "POST": {"erased"}},
    "class-privacy": {"GET": {"looked"}, "POST": {"set"}},
    "members-answer": {"POST": {"enrolled"}},
    "members-cards": {"POST": {"admitted"}},
    "lab-tasks": {"POST": {"moved"}},
    "api:status": LOOKED,
    "api:results": LOOKED,
    "api:processing_status": LOOKED,
    "api:classroom": LOOKED,
    "api:question": LOOKED,
    "api:stop_question": LOOKED,  # the same address
    "api:questions": LOOKED,
    "api:retry": {"POST": {"moved"}},
    "api:cancel": {"POST": {"moved"}},
    "api:delete": {"DELETE": {"erased"}},
    "api:summary": {"POST": {"moved"}},
    "api:mind_map": {"POST": {"moved"}},
}

# … and those by which nobody comes to another one's things.
NOTHING: Final[dict[str, str]] = {
    **dict.fromkeys(("login", "logout", "card", "join", "join-waiting", "join-enter"), "the doors; see below"),
    **dict.fromkeys(("account", "language", "dashboard", "dashboard-fragment", "dashboard-unfinished"), "one's own"),
    **dict.fromkeys(("account-mail", "mail", "consent", "privacy", "own-data"), "one's own"),
    **dict.fromkeys(("guides", "guide", "guide-picture"), "about nobody"),
    **dict.fromkeys(("api:my_videos", "api:my_classes", "api:my_uploads", "api:upload"), "one's own"),
    **dict.fromkeys(("classes", "api:classes"), "names of classes and counts"),
    **dict.fromkeys(("readyz", "metrics", "api:stats", "api:openapi-json"), "about nobody"),
    **dict.fromkeys(("lab", "lab-control", "lab-acknowledge"), "machines and counts; their events say who"),
}


def cancellable(world: World) -> Form:
    actions.retry(submission=world.submission, by=world.cast.ada)
    return {}


def another_seal(world: World) -> Form:
    write_results(hand_in(world.cast.bo, world.cast.classroom), seal="another")
    return {}


def rated_again(world: World) -> Form:
    old = Evaluation.objects.get(current_of=world.submission)
    Evaluation.objects.create(submission=world.submission, rubric=old.rubric, rerating=world.rerating, overall=5)
    return {"all": "on", "rubric": "on"}


def adopted(world: World) -> Form:
    rated_again(world)
    reratings.adopt(rerating=world.rerating, by=world.cast.teacher)
    return {}


def fittable(world: World) -> Form:
    for number in range(10):
        mark(world.cast, rating(world.cast, 3.0 + number / 2), plan=number > 4, proof=False)
    return {}


def listed(world: World) -> Form:
    text = "Name\nNew Student"
    found, taught = world.cast.classroom, Classroom.objects.taught_by(world.cast.teacher)
    return {"text": text, "confirm": roster.plan(found, tables.read(text), taught).mark}


def of_review(world: World, **more: object) -> Form:
    rating = Evaluation.objects.get(current_of=world.submission)
    return {"evaluation": rating.pk, "seen": 10**6, **more}


# What a form has to say, beside what makes it possible.
FORMS: Final[dict[str, Callable[[World], Form]]] = {
    "submission-cancel": cancellable,
    "api:cancel": cancellable,
    "classroom-retry": lambda world: {"submission": world.submission.pk},
    "calibration": fittable,
    "calibration-mark": lambda world: {
        f"item-{key}": "yes" for key in marking.asked_items(Evaluation.objects.get(current_of=world.submission))
    },
    "review": lambda world: {"do": "hide"},
    "review-submission": lambda world: of_review(world, do="comment", text="Well done."),
    "student": lambda world: {"unlock": "1"},
    "reratings": lambda world: {"rubric": world.cast.classroom.rubric_id, "which": "all"},
    "reratings-alike": another_seal,
    "rerating-adopt": rated_again,
    "rerating-restore": adopted,
    "members-import": listed,
    "class-privacy": lambda world: {"text": "Other words.", "keeps_videos_days": "7"},
    "members-act": lambda world: {"action": "unlock", "student": world.cast.ada.pk},
    "members-erase": lambda world: {"student": world.cast.ada.pk, "confirm": "1"},
    "members-answer": lambda world: {
        "action": "approve",
        "request": JoinRequest.objects.create(classroom=world.cast.classroom, name="Cy New").pk,
    },
    "members-cards": lambda world: {"newest": newest_card(world.cast.classroom)},
    "lab-tasks": lambda world: {"verb": "retry", "task": world.submission.evaluation_task.pk, "confirmed": "1"},
}


def staff_of(name: str, method: str) -> str:
    """Who of the staff reaches it; empty: nobody does."""
    cells = MATRIX[name][method]
    return next((who for who in ("teacher", "root") if cells[PEOPLE.index(who)] not in (401, 404)), "")


def test_every_route_of_the_staff_has_its_verb() -> None:
    reached = {(name, method) for name, methods in MATRIX.items() for method in methods if staff_of(name, method)}
    said = {(name, method) for name, methods in TRAIL.items() for method in methods}
    known = {(name, method) for name in NOTHING for method in MATRIX[name]}
    assert not said & known
    assert not reached - said - known, "say what each of these leaves in the audit trail"
    assert not said - reached, "nobody reaches these any more"


@pytest.mark.parametrize(("name", "method"), [(name, method) for name in TRAIL for method in TRAIL[name]])
def test_what_a_route_leaves(world: World, name: str, method: str) -> None:
    who = staff_of(name, method)
    form = FORMS[name](world) if name in FORMS and method == "POST" else {}
    before = set(TrailEntry.objects.values_list("pk", flat=True))
    address = ROUTES[name].filled(world.key(name))
    client = world.client(who)
    answer = client.post(address, form) if form else ask(client, method, name, world.key(name))
    assert answer.status_code < 400
    actor = int(client.session["_auth_user_id"])
    entries = TrailEntry.objects.exclude(pk__in=before)
    assert {entry.verb for entry in entries} == TRAIL[name][method]
    assert {(entry.actor_id, entry.program, entry.address) for entry in entries} == {(actor, "", "127.0.0.1")}
    rows = str([(entry.kind, entry.detail) for entry in entries])
    assert not [word for word in ("ada", "Group of", "New Student", "Cy New", "hello.mp4", "Well done") if word in rows]


def test_what_students_do_with_their_own_is_nobodys_concern(world: World) -> None:
    before = TrailEntry.objects.count()
    for name, methods in TRAIL.items():
        for method in methods:
            with undone():
                ask(world.client("ada"), method, name, world.key(name))
    assert TrailEntry.objects.count() == before


def test_of_a_thing_that_is_looked_at_again_and_again_one_row_is_kept(world: World) -> None:
    teacher = world.client("teacher")
    for _ in range(3):
        teacher.get(f"/submissions/{world.submission.pk}/")
        teacher.get(f"/submissions/{world.submission.pk}/media")
    entry = TrailEntry.objects.get(verb="looked")
    assert (entry.kind, entry.key) == ("submission", str(world.submission.pk))
    assert (entry.student_id, entry.classroom_id) == (world.cast.ada.pk, world.cast.classroom.pk)
    world.client("root").get(f"/submissions/{world.submission.pk}/")
    assert TrailEntry.objects.filter(verb="looked").count() == 2


@pytest.mark.parametrize(
    ("action", "verb"), [("renew", "admitted"), ("revoke", "admitted"), ("remove", "enrolled"), ("take-in", "enrolled")]
)
def test_what_is_done_to_members_names_each_of_them(world: World, action: str, verb: str) -> None:
    found, teacher = world.cast.classroom, world.client("teacher")
    teacher.post(f"/classes/{found.pk}/members/cards", {"newest": newest_card(found)})
    made = TrailEntry.objects.order_by("-pk").first()
    assert made
    keys = [world.cast.ada.pk, world.cast.bo.pk]
    teacher.post(f"/classes/{found.pk}/members/act", {"action": action, "student": keys})
    entries = TrailEntry.objects.filter(pk__gt=made.pk)
    assert {(one.verb, one.student_id, one.classroom_id) for one in entries} == {(verb, key, found.pk) for key in keys}


def test_the_staffs_sign_ins_are_kept_and_nobody_elses(cast: Cast) -> None:
    for name in ("teacher", "ada", "nobody"):
        for password in ("wrong-passphrase", PASSWORD):
            Client().post("/login/", {"username": name, "password": password})
    kept = list(TrailEntry.objects.order_by("pk").values_list("verb", "kind", "key", "actor_id", "address"))
    key = str(cast.teacher.pk)
    failed, came_in = (
        ("failed", "user", key, None, "127.0.0.1"),
        ("signed_in", "user", key, cast.teacher.pk, "127.0.0.1"),
    )
    assert kept == [failed, came_in]


def test_the_admin_leaves_what_is_read_changed_and_deleted_in_it(world: World) -> None:
    root, rating = world.client("root"), Evaluation.objects.get(current_of=world.submission)
    for page in (f"submission/{world.submission.pk}", f"evaluation/{rating.pk}", f"coachquestion/{world.question.pk}"):
        root.get(f"/admin/evaluations/{page}/change/")
    root.get("/admin/evaluations/coachquestion/")
    looks = TrailEntry.objects.filter(verb="looked")
    assert set(looks.values_list("kind", "student_id")) == {
        *((kind, world.cast.ada.pk) for kind in ("submission", "evaluation", "coachquestion")),
        ("coachquestion", None),
    }
    root.post("/admin/auth/group/add/", {"name": "Tutors"})
    group = TrailEntry.objects.get(verb="set")
    assert (group.kind, group.detail) == ("group", {"what": "added"})
    chosen = {"action": "delete_selected", "_selected_action": [group.key], "post": "yes"}
    root.post("/admin/auth/group/", chosen)
    erased = TrailEntry.objects.get(verb="erased")
    assert (erased.kind, erased.key, erased.actor_id) == ("group", group.key, group.actor_id)


def test_a_command_is_named_with_whoever_ran_it(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("export", str(world.cast.classroom.pk))
    call_command("queue_retry", str(world.submission.evaluation_task.pk))
    exported, moved = TrailEntry.objects.filter(verb__in=("exported", "moved")).order_by("pk")
    assert (exported.kind, exported.detail, exported.actor_id) == ("classroom", {"what": "csv"}, None)
    assert exported.program.startswith("command:")
    assert (moved.program.startswith("command:"), moved.student_id) == (True, world.cast.ada.pk)


def test_an_entry_is_never_changed_and_deleted_only_by_age(cast: Cast, settings: Settings) -> None:
    trail.record(trail.Verb.EXPORTED, cast.classroom, by=cast.teacher)
    with pytest.raises(IntegrityError, match="only added"), transaction.atomic():
        TrailEntry.objects.update(actor_id=cast.ada.pk)
    with pytest.raises(IntegrityError, match="too young"), transaction.atomic():
        TrailEntry.objects.all().delete()
    old = TrailEntry(verb="looked", kind="classroom", at=timezone.now() - timedelta(days=60))
    TrailEntry.objects.bulk_create([old])
    settings.AUDIT_DAYS = 90
    upkeep.prune_trail()
    assert TrailEntry.objects.count() == 2
    settings.AUDIT_DAYS = 50
    upkeep.prune_trail()
    assert TrailEntry.objects.get().verb == "exported"


def test_a_superuser_reads_it_filtered_and_as_csv(world: World) -> None:
    roles.ensure_groups()
    cast, root = world.cast, world.client("root")
    trail.record(trail.Verb.RELEASED, world.submission, by=cast.teacher)
    trail.record(trail.Verb.SET, cast.bo, by="=cmd", what="allowance")
    page = root.get("/admin/evaluations/trailentry/").content.decode()
    assert all(word in page for word in ("allowance", str(world.submission.pk)))
    only = root.get("/admin/evaluations/trailentry/", {"who": cast.teacher.pk}).content.decode()
    assert "allowance" not in only
    assert str(world.submission.pk) in only
    rows = root.get("/admin/evaluations/trailentry/csv/", {"student": cast.bo.pk}).content.decode().splitlines()
    assert [row.split(",")[1:4] for row in rows] == [["who", "verb", "kind"], ["'=cmd", "set", "user"]]
    assert TrailEntry.objects.get(kind="trailentry").verb == "exported"
    cast.teacher.is_staff = True
    cast.teacher.save()
    for who in ("teacher", "ada"):
        assert world.client(who).get("/admin/evaluations/trailentry/").status_code in (302, 403)
        assert world.client(who).get("/admin/evaluations/trailentry/csv/").status_code in (302, 403)


def test_what_is_looked_at_outlives_its_deletion_as_an_id(world: World) -> None:
    world.client("teacher").get(f"/submissions/{world.submission.pk}/")
    actions.delete(submission=world.submission, by=world.cast.ada)
    assert not Submission.objects.exists()
    assert TrailEntry.objects.get(verb="looked").key == str(world.submission.pk)


nobody_waits_for_an_answer = test_access.nobody_waits_for_an_answer
