"""Every page in every state that a person can meet: who looks at it, and what leads there.

A visit is a generator: it goes somewhere, and yields the name of each state that is worth a look.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now
from playwright.sync_api import FilePayload, Page, Route, expect

from evaluations import actions, demo
from evaluations.access.members import joining as join_codes
from evaluations.actions import decisions, mails, reratings
from evaluations.models import (
    EVALUATION,
    Classroom,
    Evaluation,
    Form,
    MailAddress,
    Rerating,
    ReviewDecision,
    Submission,
)
from queueing.exceptions import Permanent
from queueing.models import Alert, LabSample, Phase, Worker
from queueing.report import lesson
from queueing.states import PhaseStep
from tests.browser.conftest import elsewhere
from tests.conftest import Cast
from tests.evaluations.material import claim, fail, finish, hand_in, item_row, write_long_results, write_operations

LONG_NAME: Final = "a-name-without-any-place-to-break-" * 5 + ".mp4"
RTL_NAME: Final = "مقدمة عن نفسي (1) – تسجيل.mp4"
SCORES: Final = {"Clarity": 6.2, "Confidence": 7.1, "Content": 8.3}
MEGABYTE: Final = 1024 * 1024
PEOPLE: Final = ("ada", "bo", "cleo", "nemo", "newcomer", "kim", "teacher", "staff", "root")

REFUSED: Final = """
navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("no", "NotAllowedError"); };
"""


@dataclass(frozen=True)
class PagesWorld:
    """Rows in each state, and people who are signed in already."""

    cast: Cast
    submissions: dict[str, Submission]
    orders: dict[str, Rerating]  # to rate again
    sessions: dict[str, str]
    strict: Classroom  # takes nothing more
    asking: Classroom  # for consent

    def url(self, name: str) -> str:
        return reverse("submission", args=[self.submissions[name].pk])


Visit = Callable[[Page, PagesWorld], Iterator[str]]


def build(cast: Cast) -> PagesWorld:
    """All of it, once; no test may change what another one looks at."""
    worker = Worker.objects.create(node="lab-pc", pid=1)
    Phase(node="lab-pc").enter(PhaseStep.ACTIVE, name="stt")
    for name in ("cleo", "nemo", "newcomer", "kim"):
        User.objects.create(username=name)
    User.objects.create(username="staff", is_staff=True)
    User.objects.create_superuser("root")
    cast.classroom.students.add(User.objects.get(username="cleo"))
    strict = Classroom.objects.create(name="A class that has enough", rubric=cast.classroom.rubric, max_submissions=0)
    strict.students.add(User.objects.get(username="nemo"))
    asking = Classroom.objects.create(name="Asks first", rubric=strict.rubric, asks_consent=True)
    asking.students.add(User.objects.get(username="kim"))
    asking.teachers.add(cast.teacher)
    review = Classroom.objects.create(name="Reviewed", rubric=strict.rubric, release="after_review")
    review.students.add(cast.ada)
    review.teachers.add(cast.teacher)
    AccessAttempt.objects.create(
        username="locked", ip_address="127.0.0.1", user_agent="", failures_since_start=10, attempt_time=now()
    )
    _fill_the_board(cast)
    _sample_the_lab()
    return PagesWorld(cast, _submissions(cast, review, worker), _orders(cast), _sessions(), strict, asking)


def _submissions(cast: Cast, review: Classroom, worker: Worker) -> dict[str, Submission]:
    film = next(clip for clip in demo.clips() if clip.file.endswith(".webm")).path.read_bytes()
    sound = next(clip for clip in demo.clips() if clip.file.endswith(".mp3")).path.read_bytes()

    def mine(name: str, content: bytes = b"", classroom: Classroom = cast.classroom) -> Submission:
        return hand_in(cast.ada, classroom, name=name, content=content)

    earlier = mine("earlier.webm")
    write_long_results(earlier, scores=dict.fromkeys(SCORES, 5.0))
    finish(earlier)
    done = mine(RTL_NAME, film)
    write_long_results(done, scores=SCORES)
    write_operations(done)
    finish(done)
    failed = mine(LONG_NAME)
    fail(failed, Permanent(code="no_audio"))
    cancelled = mine("cancelled.mp4")
    actions.cancel(submission=cancelled, by=cast.ada)
    heard = mine("heard.mp3", sound)
    Submission.objects.filter(pk=heard.pk).update(has_video=False)
    write_long_results(heard, scores=SCORES)
    Evaluation.objects.filter(submission=heard).delete()
    Form.objects.filter(submission=heard).delete()
    claim(heard, worker).advance(took=1.0)
    hidden = mine("hidden.mp4", classroom=review)
    write_long_results(hidden, scores=SCORES, released_at=None)
    finish(hidden)
    before = mine("before.mp4")
    write_long_results(before, scores=SCORES, method="levels", rubric=None)
    finish(before)
    unrated = mine("unrated.mp4")
    write_long_results(unrated, scores={}, method="none", rubric=None, overall=None, feedback="", suggestions=[])
    finish(unrated)
    flagged = mine("flagged.mp4", classroom=review)
    flags = ["off_topic", "spoken_instructions", "uncertain", "doubtful"]
    write_long_results(flagged, scores=SCORES, released_at=None, flags=flags)
    finish(flagged)
    pruned = mine("pruned.mp4")
    write_long_results(pruned, scores=SCORES)
    finish(pruned)
    Submission.objects.filter(pk=pruned.pk).update(video_gone_at=now())
    running = mine("running.mp4")
    claim(running, worker).note_progress(7, 20)
    return {
        "waiting": mine("waiting.mp4"),
        "running": running,
        "transcript only": heard,
        "done": done,
        "failed": failed,
        "cancelled": cancelled,
        "not released": hidden,
        "rated before items": before,
        "not rated": unrated,
        "video gone": pruned,
        "flagged": flagged,
    }


def _orders(cast: Cast) -> dict[str, Rerating]:
    """In a class of their own: one that has ended, with a rating that a person decided on; and one under way."""
    classroom = Classroom.objects.create(name="Rated again", rubric=cast.classroom.rubric)
    classroom.teachers.add(cast.teacher)
    other = classroom.rubric.new_version()
    students = [User.objects.create(username=f"rated-again-{number}", last_name="x" * 30 * number) for number in (0, 1)]
    found = {}
    for name in ("ended", "running", "adopted"):
        mine = [hand_in(student, classroom, name=f"{name}.mp4") for student in students]
        for each in mine:
            write_long_results(each, scores=SCORES)
            finish(each)
        report = reratings.order(
            classroom=classroom, rubric=other, submissions=[each.pk for each in mine], by=cast.teacher
        )
        assert report.order
        for each in mine[: 1 if name == "running" else 2]:
            reratings.tasks_of(report.order)[each.pk].cancel(by="test")
            items = [item_row("plan", "names a plan for the future", 0.0), item_row("closing", "ends well", 1.0)]
            rows = [{"key": key, "title": key, "weight": 1, "score": 5.0, "items": items} for key in SCORES]
            Evaluation.objects.create(
                submission=each, rerating=report.order, rubric=other, scores=rows, overall=5.0, seal="b" * 16
            )
        found[name] = report.order
    reratings.adopt(rerating=found["adopted"], by=cast.teacher)
    decided = found["ended"].submissions.first()
    assert decided
    assert decided.evaluation_id
    decisions.decide(
        submission_id=decided.pk,
        evaluation_id=decided.evaluation_id,
        by=cast.teacher,
        seen=0,
        kind=decisions.Kind.REVIEWED,
        value=True,
    )
    return found


def _fill_the_board(cast: Cast) -> None:
    """Thirty students, the names of some as long as a name may be."""
    for number in range(30):
        first = "نورا" if number % 7 == 3 else "Maximiliane"
        student = User.objects.create(username=f"student-{number}", first_name=first, last_name="x" * number)
        cast.classroom.students.add(student)
        if number % 6:
            submission = hand_in(student, cast.classroom, name=f"{'name' * (number // 3)}.mp4")
            if number % 7 == 1:
                fail(submission, Permanent(code="no_audio"))
            elif number % 7 == 2:
                write_long_results(submission, scores=SCORES, flags=["off_topic", "doubtful"])
                finish(submission)


def _sessions() -> dict[str, str]:
    found = {}
    for name in PEOPLE:
        client = Client()
        client.force_login(User.objects.get(username=name))
        found[name] = client.cookies["sessionid"].value
    return found


# What is visited


def simply(path: Callable[[PagesWorld], str]) -> Visit:
    """A page as it is when it has come."""

    def go(page: Page, world: PagesWorld) -> Iterator[str]:
        page.goto(path(world))
        yield ""

    return go


def of_the_class(rest: str, world: PagesWorld) -> str:
    return reverse("classroom", args=[world.cast.classroom.pk]) + rest


def login(page: Page, world: PagesWorld) -> Iterator[str]:
    page.goto("/login/")
    yield "empty"
    for name, state in (("ada", "wrong password"), ("locked", "locked")):
        page.goto("/login/")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("Too many tries" if state == "locked" else "don’t match")).to_be_visible()
        yield state


def card(page: Page, world: PagesWorld) -> Iterator[str]:
    page.goto("/card/#ABCDEFGHJ")
    expect(page.get_by_label("The code on your card")).to_have_value("ABCDEFGHJ")
    yield "scanned"
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_text("There is a slip in it")).to_be_visible()
    yield "a slip"


def joining(page: Page, world: PagesWorld) -> Iterator[str]:
    """Asking for a place, the teacher's list, and the answer, which comes by itself."""
    code = elsewhere(join_codes.open_class, world.strict).code
    page.goto("/join/")
    page.get_by_label("The code of the class").fill(code)
    page.get_by_role("button", name="Ask for a place").click()
    expect(page.get_by_text("There is no name.")).to_be_visible()
    yield "no name"
    page.get_by_label("Your first and last name").fill("Anna Schmidt")
    page.get_by_role("button", name="Ask for a place").click()
    expect(page.get_by_text("your teacher sees that you ask")).to_be_visible()
    yield "waiting"
    elsewhere(approve_all, world.strict)
    expect(page.get_by_text("Your user name is anna.schmidt")).to_be_visible()
    yield "approved"


def approve_all(classroom: Classroom) -> None:
    for asked in classroom.join_requests.waiting():
        join_codes.approve(asked)


def account(page: Page, world: PagesWorld) -> Iterator[str]:
    """With mail, and the pages that its mails link to."""
    page.goto("/account/")
    yield "without mail"
    page.get_by_label("Your e-mail address").fill("ada@school.example")
    page.locator("#mail-heading ~ form").first.get_by_role("button", name="Save").click()
    expect(page.get_by_text("A mail was sent to ada@school.example.")).to_be_visible()
    yield "mail is not confirmed"
    for verb, button in (("confirm", "Yes, this is my address"), ("stop", "No more mail")):
        page.goto(f"/mail/?token={elsewhere(token_of, world.cast.ada, verb)}")
        yield f"asked to {verb}"
        page.get_by_role("button", name=button).click()
        expect(page.get_by_role("status").filter(has_text="ada@school.example")).to_be_visible()
        yield f"said to {verb}"


def token_of(user: User, verb: str) -> str:
    return mails.token(MailAddress.objects.get(user=user), verb)


def members(page: Page, world: PagesWorld) -> Iterator[str]:
    address = reverse("members", args=[world.cast.classroom.pk])
    elsewhere(ask_for_places, world.cast)
    page.goto(address)
    yield "with some who ask"
    page.get_by_label("ada", exact=True).check()
    page.get_by_role("button", name="Print new cards").click()
    expect(page.locator(".cards li")).to_have_count(1)
    yield "a card"
    page.goto(address)
    yield "one has a card"


def ask_for_places(cast: Cast) -> None:
    join_codes.open_class(cast.classroom)
    for name in ("Anna Schmidt", "x" * 140):
        join_codes.ask(cast.classroom, name=name, student=None)


def class_list(page: Page, world: PagesWorld) -> Iterator[str]:
    page.goto(reverse("members-import", args=[world.cast.classroom.pk]))
    yield "empty"
    for text, state in (("Name;Mail;Class\nAnna;x;10a\n;;", "with errors"), ("Anna\nAnna\nBo Berg", "sound")):
        page.get_by_label("Names, one in a row").fill(text)
        page.get_by_role("button", name="Look at it first").click()
        expect(page.get_by_role("heading", name="What the list would do")).to_be_visible()
        yield state


def rules(page: Page, world: PagesWorld) -> Iterator[str]:
    page.goto("/")
    page.locator(".rubric summary").click()
    yield "how it is rated"


def rows(page: Page, world: PagesWorld) -> Iterator[str]:
    page.goto("/")
    expect(page.locator("#submissions .row")).to_have_count(12)
    yield "rows in each state"


def rows_without_a_socket(page: Page, world: PagesWorld) -> Iterator[str]:
    page.clock.install()
    page.route_web_socket("**/ws/dashboard?*", lambda route: route.close())
    page.goto("/")
    expect(page.locator("#connection")).to_be_visible()
    yield "connection lost"
    page.route("**/submissions/fragment/", lambda route: route.abort())
    page.clock.fast_forward(60_000)
    expect(page.locator("#stale")).to_be_visible()
    yield "nothing new for a while"


def toasts(page: Page, world: PagesWorld) -> Iterator[str]:
    """What is shown when two of one's videos have ended, one of them with a failure."""
    page.goto("/")
    for name, end in ((RTL_NAME, finish), (LONG_NAME, partial(fail, error=Permanent(code="no_audio")))):
        submission = elsewhere(hand_in, world.cast.bo, world.cast.classroom, name=name)
        elsewhere(end, submission)
        expect(page.locator(".badge:is(.done, .failed)").first).to_be_visible()
    expect(page.locator(".badge.failed")).to_be_visible()
    yield "what has just ended"


def uploading(page: Page, world: PagesWorld) -> Iterator[str]:
    """The first of three chunks arrives; then one on its way, one in line, one that is refused."""

    def hold(route: Route) -> None:
        if route.request.headers.get("upload-offset", "0") == "0":
            route.continue_()

    page.goto("/")
    page.route("**/api/uploads/*-*", hold)
    files = (("empty.mp4", 0), (LONG_NAME, 9 * MEGABYTE), (RTL_NAME, MEGABYTE))
    page.locator("#drop input").set_input_files([film(name, size) for name, size in files])
    expect(page.locator("#uploads")).to_contain_text("4.0 of 9.0 MB")
    yield "uploads in progress"
    page.goto("/")
    expect(page.locator(".unfinished").first).to_be_visible()
    yield "an unfinished upload"


def film(name: str, size: int) -> FilePayload:
    return {"name": name, "mimeType": "video/mp4", "buffer": b"fLaC".ljust(size, b"\0") if size else b""}


def record(page: Page, world: PagesWorld) -> Iterator[str]:
    page.goto(reverse("record", args=[world.cast.classroom.pk]))
    page.locator(".rubric summary").click()
    yield "before"
    page.locator(".rubric summary").click()
    page.get_by_role("button", name="Turn on camera and microphone").click()
    page.get_by_role("button", name="Record", exact=True).click(trial=True)  # it was heard
    yield "checking"
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.locator("#timer")).to_contain_text(re.compile("0:0[1-9]"))
    yield "recording"
    page.get_by_role("button", name="Pause").click()
    yield "paused"
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Hand in")).to_be_visible()
    yield "review"
    page.reload()
    expect(page.locator("#kept .row")).to_be_visible()
    yield "kept in the browser"


def consent(page: Page, world: PagesWorld) -> Iterator[str]:
    """The text comes before the recorder, and one key agrees to it."""
    page.goto(reverse("record", args=[world.asking.pk]))
    yield "asked"
    page.get_by_role("button", name="I agree").press("Enter")
    expect(page.locator("#recorder")).to_be_visible()
    yield "agreed"


def no_camera(page: Page, world: PagesWorld) -> Iterator[str]:
    page.add_init_script(REFUSED)
    page.goto(reverse("record", args=[world.cast.classroom.pk]))
    page.get_by_role("button", name="Turn on camera and microphone").click()
    expect(page.locator("#problem")).to_be_visible()
    yield "refused camera"


def result(name: str, page: Page, world: PagesWorld) -> Iterator[str]:
    page.goto(world.url(name))
    if name == "done":
        page.locator("#player").evaluate("each => each.readyState || new Promise((to) => (each.onloadeddata = to))")
        for summary in page.locator("summary").all():
            summary.click()
        page.locator(".word").nth(2).click()
    yield name


def desk(page: Page, world: PagesWorld) -> Iterator[str]:
    """The review of a flagged one, with a decision of somebody else in the way."""
    flagged = world.submissions["flagged"]
    page.goto(reverse("review-submission", args=[flagged.classroom_id, flagged.pk]))
    yield "flagged"
    page.get_by_role("button", name="Keys").click()
    yield "keys"
    page.keyboard.press("Escape")
    for summary in page.locator("summary").all():
        summary.click()
    elsewhere(decide_meanwhile, flagged)
    page.get_by_label("Comment to the student").fill("Well told.")
    page.evaluate("document.getElementById('comment').form.submit()")  # as without a script
    expect(page.locator(".offer").first).to_be_visible()
    yield "somebody else decided"


def decide_meanwhile(submission: Submission) -> None:
    rating = Evaluation.objects.get(current_of=submission)
    ReviewDecision.objects.create(submission=submission, evaluation=rating, kind="comment", value="Mine.", before="")


def order(name: str, page: Page, world: PagesWorld) -> Iterator[str]:
    page.goto(reverse("rerating", args=[world.orders[name].pk]))
    yield name


def stale_form(page: Page, world: PagesWorld) -> Iterator[str]:
    page.goto("/login/")
    page.context.clear_cookies()
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("too old")).to_be_visible()
    yield "csrf"


def broken(page: Page, world: PagesWorld) -> Iterator[str]:
    """What the site shows when it made a mistake; that such an answer has its headers is another test's."""
    html = render_to_string("500.html")

    def answer(route: Route) -> None:
        real = route.fetch()
        route.fulfill(response=real, status=500, body=html)

    page.route("**/mistake", answer)
    page.goto("/mistake")
    yield "500"


def ask(page: Page, world: PagesWorld) -> Iterator[str]:
    """The admin's page of a task, and the question before something is done to it."""
    task = world.submissions["failed"].evaluation_task
    page.goto(reverse("admin:queueing_task_change", args=[task.pk]))
    yield "a task"
    page.get_by_role("link", name="Retry").click()
    yield "asked before it is done"


def operations(page: Page, world: PagesWorld) -> Iterator[str]:
    page.goto("/operations/")
    for summary in page.locator("summary").all():
        summary.click()
    yield "a lesson with an alert"
    page.goto("/operations/?state=failed&span=day")
    yield "failed tasks"
    page.get_by_label("select all").check()
    page.get_by_role("button", name="Retry selected").click()
    expect(page.get_by_role("button", name="Do it")).to_be_visible()
    yield "asked before it is done"


def _sample_the_lab() -> None:
    minute = now().replace(second=0, microsecond=0)
    seen = {"gpu_used": 0.6, "gpu_celsius": 70.0, "disk_free": 0.4, "models": ["whisper base"]}
    LabSample.objects.bulk_create(
        LabSample(at=minute - timedelta(minutes=ago), waiting={"transcribe": ago, "rate": 2}, nodes={"lab-pc": seen})
        for ago in (0, 1, 2, 9, 10)
    )
    Alert.objects.create(kind="disk_space", severity="critical", text="the disk is full", cure="free some space")
    Alert.objects.create(kind="queue_size", severity="warning", text="many wait", acknowledged_by="anna")
    lesson.keep(EVALUATION)


def marking(world: PagesWorld) -> str:
    return reverse("calibration-mark", args=[world.cast.classroom.pk, world.submissions["done"].pk])


# (route or error, who, how): a route may have several.
VISITS: Final[list[tuple[str, str | None, Visit]]] = [
    ("login", None, login),
    ("guides", None, simply(lambda world: "/help/")),
    ("guide", "ada", simply(lambda world: "/help/lab-protocol/")),
    ("card", None, card),
    ("join", None, joining),
    ("join-waiting", None, simply(lambda world: "/join/waiting/")),
    ("account", "ada", account),
    ("members", "teacher", members),
    ("members-import", "teacher", class_list),
    ("dashboard", "bo", rules),
    ("dashboard", "newcomer", simply(lambda world: "/")),
    ("dashboard", "ada", rows),
    ("dashboard", "ada", rows_without_a_socket),
    ("dashboard", "bo", toasts),
    ("dashboard", "cleo", uploading),
    ("record", "cleo", record),
    ("record", "cleo", no_camera),
    ("dashboard", "kim", simply(lambda world: "/")),
    ("consent", "kim", simply(lambda world: reverse("consent", args=[world.asking.pk]))),
    ("record", "kim", consent),
    ("consent", "kim", simply(lambda world: reverse("consent", args=[world.asking.pk]))),
    ("privacy", "ada", simply(lambda world: "/privacy/")),
    ("class-privacy", "teacher", simply(lambda world: reverse("class-privacy", args=[world.asking.pk]))),
    (
        "erase-student",
        "teacher",
        simply(lambda world: reverse("erase-student", args=[world.cast.classroom.pk, world.cast.ada.pk])),
    ),
    ("record", "nemo", simply(lambda world: reverse("record", args=[world.strict.pk]))),
    *(
        ("submission", "ada", partial(result, name))
        for name in (
            *("waiting", "running", "transcript only", "done", "failed", "cancelled", "not released"),
            *("rated before items", "not rated", "video gone"),
        )
    ),
    ("submission", "teacher", partial(result, "done")),
    ("submission", "teacher", partial(result, "flagged")),
    ("submission-delete", "ada", simply(lambda world: f"{world.url('done')}delete")),
    ("classes", "teacher", simply(lambda world: "/classes/")),
    ("classes", "nemo", simply(lambda world: "/classes/")),
    ("classroom", "teacher", simply(lambda world: reverse("classroom", args=[world.cast.classroom.pk]))),
    ("classroom", "teacher", simply(lambda world: reverse("classroom", args=[world.orders["ended"].classroom_id]))),
    ("classroom", "root", simply(lambda world: reverse("classroom", args=[world.strict.pk]))),
    *(
        ("classroom", "teacher", simply(partial(of_the_class, query)))
        for query in ("?show=missing&sort=status", "?q=nobody", "?show=failed")
    ),
    ("classroom-retry-failed", "teacher", simply(partial(of_the_class, "retry-failed"))),
    ("classroom-sheets", "teacher", simply(partial(of_the_class, "sheets/?all=1"))),
    ("classroom-in-short", "teacher", simply(lambda world: f"{of_the_class('', world)}in-short/")),
    ("calibration", "teacher", simply(lambda world: reverse("calibration", args=[world.cast.classroom.pk]))),
    ("calibration-mark", "teacher", simply(marking)),
    ("lab", "root", operations),
    ("lab", "staff", simply(lambda world: "/operations/")),
    ("review-submission", "teacher", desk),
    ("student", "teacher", simply(lambda world: reverse("student", args=[world.cast.classroom.pk, world.cast.ada.pk]))),
    ("submission-appeal", "ada", simply(lambda world: f"{world.url('done')}appeal")),
    ("reratings", "teacher", simply(lambda world: reverse("reratings", args=[world.orders["ended"].classroom_id]))),
    *(("rerating", "teacher", partial(order, name)) for name in ("ended", "running", "adopted")),
    ("error 404", "ada", simply(lambda world: "/nothing")),
    ("error 403", "staff", simply(lambda world: "/admin/auth/user/")),
    ("error 403", None, stale_form),
    ("error 500", "ada", broken),
    ("admin", "root", ask),
]
