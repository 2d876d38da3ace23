"""A student with a name and words that nobody else has leaves something in every table, is erased, and is nowhere."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from pytest_django import Settings

from evaluations import actions
from evaluations.access.members import cards, joining
from evaluations.actions import appeals, decisions
from evaluations.actions.decisions import Kind
from evaluations.coaching.questions import asking
from evaluations.media import store
from evaluations.models import Classroom, Deletion, JoinRequest, Receipt, Submission, TrailEntry, Upload, UserSession
from evaluations.uploads import files, result_files
from evaluations.uploads.privacy import consents, erasing
from evaluations.uploads.privacy.erasing import NotErasedError
from introeval import logs
from introeval.backup import database, making, manifest
from queueing.exceptions import ClaimLost, Permanent
from queueing.models import Task
from tests.conftest import Cast
from tests.evaluations.material import claim, fail, finish, hand_in, newest_decision, write_operations, write_results
from tests.evaluations.uploads.conftest import Tus
from tests.evaluations.views.conftest import signed_in

pytestmark = pytest.mark.django_db(transaction=True)

FIRST, LAST, WORD = "Quizzaciously", "Plughtwiddle", "xyzzyflumph"
TRACES = (FIRST, LAST, WORD)
OF_EVALUATIONS = (
    *("coachquestion", "evaluation", "form", "joinrequest", "mindmap", "reviewdecision", "submission", "summary"),
    *("transcript", "upload"),
)
WITH_WORDS = {f"evaluations_{name}" for name in OF_EVALUATIONS} | {
    *("auth_user", "axes_accessattempt", "axes_accesslog", "django_admin_log", "queueing_attempt", "queueing_task"),
}


@dataclass(frozen=True)
class Marked:
    """The student, and what is still worked on for them."""

    student: User
    running: Task
    upload: Upload


@pytest.fixture
def log(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that all lines go to; it is in DATA_DIR with everything else."""
    settings.DATA_DIR, settings.RESULT_FILES = tmp_path, True
    path = tmp_path / "introeval.log"
    monkeypatch.setenv("LOG_FILE", str(path))
    logs.configure(io.StringIO())
    yield path
    monkeypatch.undo()
    logs.configure()


@pytest.fixture
def marked(cast: Cast, log: Path) -> Marked:
    return leave_traces(cast)


def leave_traces(cast: Cast) -> Marked:
    """Through the product, whatever a student and a teacher do; results are written as the stages write them."""
    classroom = cast.classroom
    classroom.asks_consent = True
    classroom.save()
    declined = joining.ask(classroom, name=f"{FIRST} {LAST}", student=None)
    joining.decline(declined)
    student = joining.approve(joining.ask(classroom, name=f"{FIRST} {LAST}", student=None))
    assert student is not None
    User.objects.filter(pk=student.pk).update(email=f"{FIRST}@example.org")
    cards.make(classroom, [student], by=cast.teacher)
    consents.agree(student=student, classroom=classroom, sha256=consents.current_text(classroom).sha256)
    for name in (student.username, f"{FIRST} {LAST}"):
        Client().post("/login/", {"username": name, "password": WORD})
    page = f"/classes/{classroom.pk}/students/{student.pk}/"
    signed_in(cast.teacher).post(page, {"more_submissions": "1"})
    LogEntry.objects.log_actions(cast.teacher.pk, [student], CHANGE, change_message=[], single_object=True)

    tus = Tus(student)
    whole = tus.send(f"{WORD} in a video".encode() * 99, name=f"{WORD}.mp4")["Submission-Id"]
    begun = tus.start(5000, name=f"{LAST}.mp4")
    tus.patch(begun, 0, f"{WORD} on its way".encode())
    rated = Submission.objects.get(pk=whole)
    finish(rated)
    rating = write_results(rated, text=WORD)
    write_operations(rated, text=WORD, quote=WORD)
    store.locate(rated.path).with_name(store.COPY).write_text(WORD)
    asking.ask(submission=rated, student=student, text=f"{WORD}?", language="en")
    appeals.ask(submission=rated, by=student, sentence=f"Look at {WORD} again.")
    decided: dict[str, Any] = {"submission_id": rated.pk, "evaluation_id": rating.pk, "by": cast.teacher}
    decisions.decide(**decided, seen=newest_decision(rating), kind=Kind.COMMENT, value=f"Say {WORD} again.")
    fail(hand_in(student, classroom, name=f"{LAST}.mp4"), Permanent(f"{WORD} is odd", code="unreadable"))
    actions.delete(submission=hand_in(student, classroom), by=student)
    running = claim(hand_in(student, classroom, name=f"{FIRST}.mp4"))
    result_files.write(rated.pk)
    return Marked(student, running, Upload.objects.get(submission=None))


def tables_with(*words: str) -> set[str]:
    """The tables with a row in which one of these words is, whatever the column."""
    found = set()
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            table = connection.ops.quote_name(model._meta.db_table)
            wanted = [f"%{word}%" for word in words]
            cursor.execute(f"SELECT count(*) FROM {table} t WHERE t::text ILIKE ANY (%s)", [wanted])  # noqa: S608
            if cursor.fetchone()[0]:
                found.add(model._meta.db_table)
    return found


def files_with(folder: Path, *words: str) -> set[str]:
    """Files below the folder that have one of these words in their name or anywhere in their bytes."""
    wanted = [word.lower().encode() for word in words]
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {
        path.relative_to(folder).as_posix()
        for path in paths
        if any(word in str(path).lower().encode() or word in path.read_bytes().lower() for word in wanted)
    }


def test_no_trace_of_a_student_who_was_erased_is_left_anywhere(
    marked: Marked, cast: Cast, tmp_path: Path, log: Path
) -> None:
    before, other = tables_with(*TRACES), hand_in(cast.bo, cast.classroom)
    assert before == WITH_WORDS, "else this test would look for nothing"
    assert len(files_with(tmp_path, *TRACES)) >= 4
    page = f"/classes/{cast.classroom.pk}/students/{marked.student.pk}/erase"
    teacher = signed_in(cast.teacher)
    assert f"{FIRST} {LAST}" in teacher.get(page).content.decode()
    answer = teacher.post(page, follow=True)
    assert "Backups from before still have everything" in answer.content.decode()

    assert tables_with(*TRACES) == set()
    assert not UserSession.objects.filter(user_id=marked.student.pk).exists()
    assert files_with(tmp_path, *TRACES) == set()
    assert "student_erased" in log.read_text()
    receipt = Receipt.objects.get()
    assert (receipt.what, receipt.whose, receipt.by) == (Receipt.Removed.STUDENT, marked.student.pk, cast.teacher)
    assert receipt.size > 99 * len(WORD)
    assert not Deletion.objects.exclude(student=None, files_gone_at__isnull=False).exists()
    assert [row.pk for row in Submission.objects.all()] == [other.pk], "nobody else's is touched"
    store.verify(other.path, other.sha256)


def backed_up(folder: Path, against: Path | None = None) -> set[str]:
    """What of a backup that is made now has one of the words in it; its dump is read as SQL."""
    made = making.make(folder, against=against)
    program = database._program("pg_restore", least=manifest.read(made.folder).postgres)
    command = [program, "--file=-", str(made.folder / manifest.DUMP)]
    said = subprocess.run(command, capture_output=True, check=True).stdout.lower()
    in_dump = any(word.lower().encode() in said for word in TRACES)
    return files_with(made.folder, *TRACES) | ({manifest.DUMP} if in_dump else set())


def test_the_next_backup_has_nothing_of_them_whatever_it_is_made_against(
    marked: Marked, cast: Cast, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("disk")
    before = backed_up(folder / "before")
    assert manifest.DUMP in before
    assert len(before) > 1, "a video, too"
    erasing.erase(student=marked.student, by=cast.teacher)
    assert backed_up(folder / "after", folder / "before") == set()


def test_work_that_runs_for_them_ends_without_a_result(marked: Marked) -> None:
    erasing.erase(student=marked.student, by=None)
    marked.running.note_progress(1, 20)
    with pytest.raises(ClaimLost):
        marked.running.advance(took=1.0)
    assert not Task.objects.exists()


def test_an_upload_that_is_being_written_to_is_waited_for_and_then_erasing_can_be_done_again(
    marked: Marked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "BUSY_SECONDS", 0.0)
    with files.alone(marked.upload.pk), pytest.raises(CommandError, match="try again"):
        call_command("erase_student", str(marked.student.pk), "--yes")
    assert not User.objects.get(pk=marked.student.pk).is_active, "nothing new begins meanwhile"
    out = io.StringIO()
    call_command("erase_student", marked.student.username, "--yes", "--json", stdout=out)
    said = json.loads(out.getvalue())
    assert (said["account"], said["files_left"]) == (marked.student.pk, 0)
    assert tables_with(*TRACES) == set()
    assert FIRST.lower() not in out.getvalue().lower()


def test_files_that_a_disk_keeps_are_removed_by_the_upkeep_though_nobody_knows_whose(
    marked: Marked, tmp_path: Path
) -> None:
    (tmp_path / "media").rename(tmp_path / "unmounted")
    erasing.erase(student=marked.student, by=None)
    assert erasing.files_left()
    (tmp_path / "unmounted").rename(tmp_path / "media")
    actions.remove_files_of_deleted()
    assert files_with(tmp_path, *TRACES) == set()


def test_what_says_the_same_name_of_somebody_else_stays(cast: Cast) -> None:
    for user in (cast.ada, cast.bo):
        user.first_name = "Max"
        user.save()
    User.objects.filter(pk=cast.outsider.pk).update(username="Max")
    asking_elsewhere = joining.ask(cast.other_classroom, name="Max", student=None)
    Client().post("/login/", {"username": "Max", "password": WORD})
    erasing.erase(student=cast.ada, by=None)
    assert JoinRequest.objects.get() == asking_elsewhere
    assert AccessAttempt.objects.get().username == "Max"


def test_bytes_that_were_stored_without_a_row_go_with_their_upload(cast: Cast) -> None:
    tus = Tus(cast.ada)
    tus.start(5)
    upload = Upload.objects.get()
    stored = store._media_root() / hand_in(cast.bo, cast.classroom).path
    left = store._media_root() / str(upload.pk)[:2] / str(upload.pk)
    left.mkdir(parents=True)
    shutil.copy(stored, left / stored.name)
    erasing.erase(student=cast.ada, by=None)
    assert not (left / stored.name).exists()


def test_without_yes_nothing_is_erased_where_nobody_can_be_asked(cast: Cast) -> None:
    with pytest.raises(SystemExit):
        call_command("erase_student", "ada", stdout=io.StringIO())
    assert User.objects.filter(pk=cast.ada.pk).exists()


def test_who_teaches_is_not_erased(cast: Cast) -> None:
    cast.classroom.students.add(cast.other_teacher)
    with pytest.raises(NotErasedError):
        erasing.erase(student=cast.other_teacher, by=None)
    page = f"/classes/{cast.classroom.pk}/students/{cast.other_teacher.pk}/erase"
    assert signed_in(cast.teacher).post(page).status_code == 404
    assert User.objects.get(pk=cast.other_teacher.pk).is_active


def test_a_teacher_erases_nothing_of_another_teachers_class(cast: Cast) -> None:
    hand_in(cast.ada, cast.other_classroom)
    page = f"/classes/{cast.classroom.pk}/students/{cast.ada.pk}/erase"
    answer = signed_in(cast.teacher).post(page)
    assert (answer.status_code, Submission.objects.count()) == (403, 1)
    assert "Only whoever looks after the site" in answer.content.decode()
    assert signed_in(User.objects.create_superuser("root")).post(page).status_code == 302
    assert not User.objects.filter(pk=cast.ada.pk).exists()


def test_an_erased_student_can_not_be_named_by_a_number_that_is_none(cast: Cast) -> None:
    for wanted in ("nobody", str(10**8), uuid.uuid4().hex):
        with pytest.raises(CommandError, match="There is no account"):
            call_command("erase_student", wanted, "--yes")
    assert Classroom.objects.count() == 2


def words(answer: Any) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def test_a_teacher_finds_it_on_the_list_of_students_and_is_asked_first(cast: Cast) -> None:
    hand_in(cast.ada, cast.classroom)
    hand_in(cast.bo, cast.other_classroom)
    teacher, page = signed_in(cast.teacher), f"/classes/{cast.classroom.pk}/members/"
    (address,) = re.findall(r'formaction="([^"]+/erase)"', teacher.get(page).content.decode())
    chosen = {"student": [cast.ada.pk, cast.bo.pk, cast.outsider.pk]}
    asked = words(teacher.post(address, chosen))
    assert "Erase these 2 students?" in asked
    assert "1 video with its transcript, form, result, questions to the coach" in asked
    assert "This can’t be undone" in asked
    assert "Not yours to erase: in another teacher’s class, too" in asked
    assert User.objects.filter(pk__in=chosen["student"]).count() == 3, "nothing has happened yet"

    answer = words(teacher.post(address, {**chosen, "confirm": "1"}, follow=True))
    receipt = Receipt.objects.get(what="student")
    assert f"The student is erased: receipt {receipt.pk}." in answer
    assert (receipt.whose, receipt.by) == (cast.ada.pk, cast.teacher)
    assert set(User.objects.filter(pk__in=chosen["student"])) == {cast.bo, cast.outsider}
    assert TrailEntry.objects.filter(verb="erased", kind="user", actor_id=cast.teacher.pk).count() == 1
    assert "Nobody was chosen" in words(teacher.post(address, {"confirm": "1"}, follow=True))


def test_whoever_looks_after_the_site_finds_it_at_the_account(cast: Cast) -> None:
    hand_in(cast.ada, cast.classroom)
    root = User.objects.create_superuser("root")
    client = signed_in(root)
    account = f"/admin/auth/user/{cast.ada.pk}"
    page = client.get(f"{account}/change/").content.decode()
    (address,) = re.findall(r'href="(/admin/auth/user/act/erase/[^"]+)"', page)
    assert "/delete/" not in page
    assert "/history/" in page
    assert client.get(f"{account}/delete/").status_code == 403, "it would leave what only erasing finds"
    asked = words(client.get(address))
    assert "1 student accounts go for good, with 1 videos" in asked
    assert User.objects.filter(pk=cast.ada.pk).exists()

    chosen = {"action": "erase", "_selected_action": [cast.ada.pk, cast.teacher.pk]}
    assert "1 of these accounts are no student's" in words(client.post("/admin/auth/user/", chosen))
    done = words(client.post(address.split("?")[0], {"rows": f"{cast.ada.pk},{cast.teacher.pk}"}, follow=True))
    receipt = Receipt.objects.get(what="student")
    assert f"1 erased, receipts {receipt.pk}" in done
    assert "1 left: no student's account" in done
    assert (receipt.by, User.objects.filter(pk=cast.teacher.pk).exists()) == (root, True)
    assert TrailEntry.objects.filter(verb="erased", kind="user", actor_id=root.pk).count() == 1
    assert "Delete" in client.get(f"/admin/auth/user/{cast.teacher.pk}/change/").content.decode()


def test_not_even_staff_that_may_change_accounts_erases_in_the_admin(cast: Cast) -> None:
    cast.teacher.is_staff = True
    cast.teacher.save()
    cast.teacher.user_permissions.add(*Permission.objects.filter(content_type__model="user"))
    client = signed_in(cast.teacher)
    assert "act/erase" not in client.get(f"/admin/auth/user/{cast.ada.pk}/change/").content.decode()
    assert client.post("/admin/auth/user/act/erase/", {"rows": str(cast.ada.pk)}).status_code == 403
