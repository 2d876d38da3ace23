"""Every word on every page is a message or data: pages in a language that is made up on the spot.

In it each message stands between marks, Django's own included. All data are in Greek, so Latin letters outside of the
marks are words that nobody can translate.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import django
import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from django.contrib.auth.models import User
from django.test import Client
from django.utils import translation
from pytest_django import Settings

from evaluations import actions
from evaluations.errors import refusals
from evaluations.errors.catalogue import CATALOGUE
from evaluations.live import messages
from evaluations.models import Classroom, Criterion, Form, Item, Rubric, Submission, Upload
from evaluations.models.rubric import store
from evaluations.rating.rubric import CriterionSpec, ItemSpec, RubricSpec
from evaluations.stages.names import Stage
from queueing.exceptions import Permanent, Transient
from queueing.models import Pause, Phase, Worker, in_seconds
from queueing.states import PhaseStep
from scripts import languages
from tests.conftest import Cast
from tests.evaluations.material import claim, fail, finish, hand_in, write_long_results
from tests.evaluations.views.conftest import signed_in
from tests.test_languages import READ_ALOUD

OPEN, CLOSE = "⟦", "⟧"
SAME_EVERYWHERE: Final = {"IntroEval", "English", "Deutsch"}
SAID: Final = ("Γεια σας, με λένε Άννα.", "Μου αρέσει να διαβάζω.", "Ευχαριστώ!")
GREEK: Final = {"Σαφήνεια": 6.2, "Θάρρος": 7.1, "Περιεχόμενο": 8.3}
STATEMENTS: Final = ("λέει το όνομα", "λέει ένα σχέδιο", "τελειώνει καλά")


class Unmarked(HTMLParser):
    """Latin letters of a page that are not between marks, in texts and in what is read aloud."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self.found: list[str] = []
        self.skipping = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.skipping = tag in ("script", "style", "kbd")  # a letter that is printed on a key is no word
        for name, value in attrs:
            if name in READ_ALOUD | {"data-words", "data-toast"}:
                self.found += unmarked(value or "")

    def handle_data(self, data: str) -> None:
        self.text += [] if self.skipping else [data]


def unmarked(text: str) -> list[str]:
    """Words outside of the marks, which may lie in each other and reach over tags."""
    while text != (text := re.sub(f"{OPEN}[^{OPEN}{CLOSE}]*{CLOSE}", " ", text)):
        pass
    return [word for word in re.findall(r"[A-Za-z]+", text) if word not in SAME_EVERYWHERE]


def unmarked_on(page: str) -> list[str]:
    reader = Unmarked()
    reader.feed(page)
    return reader.found + unmarked("".join(reader.text))


@cache
def _between_marks() -> bytes:
    """German, with every message between marks, as Django reads it."""
    catalogue = Catalog(locale="de", fuzzy=False)
    for each in [*languages.found(), *_of_django()]:
        if each.id:
            plural = not isinstance(each.id, str)
            marked = tuple(f"{OPEN}{form}{CLOSE}" for form in (each.id if plural else [each.id]))
            catalogue.add(each.id, marked if plural else marked[0], context=each.context)
    file = BytesIO()
    write_mo(file, catalogue)
    return file.getvalue()


@pytest.fixture
def made_up(settings: Settings, tmp_path: Path) -> Iterator[None]:
    folder = tmp_path / "locale" / "de" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "django.mo").write_bytes(_between_marks())
    settings.LOCALE_PATHS = [tmp_path / "locale"]
    yield
    translation.deactivate()


def _of_django() -> Iterable[Any]:
    root = Path(django.__file__).parent
    for path in (root / "conf" / "locale", root / "contrib" / "humanize" / "locale"):
        yield from languages.read(path / "de" / "LC_MESSAGES" / "django.po")


def visitor(user: User | None = None) -> Client:
    client = signed_in(user) if user else Client()
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "de"
    return client


@pytest.fixture
def greek(cast: Cast) -> Cast:
    """The cast, with nothing Latin about them that pages show."""
    for number, user in enumerate((cast.teacher, cast.ada, cast.bo)):
        user.first_name = "ΑΒΓ"[number]
        user.save()
    items = tuple(ItemSpec(f"item-{number}", each, 2, hard=True) for number, each in enumerate(STATEMENTS))
    spec = RubricSpec("Κριτήρια", 1, "en", (CriterionSpec("content", "Περιεχόμενο", items),))
    rubric = store(spec, Rubric, Criterion, Item)
    Classroom.objects.filter(pk=cast.classroom.pk).update(name="Τάξη", prompt="Πες κάτι.", rubric=rubric)
    cast.classroom.refresh_from_db()
    return cast


def mine(cast: Cast) -> Submission:
    return hand_in(cast.ada, cast.classroom, name="βίντεο")


def rated(cast: Cast, **evaluation: Any) -> Submission:
    submission = mine(cast)
    given = {"scores": GREEK, "model": "Μ", "feedback": "Μπράβο!", "suggestions": ["Χαμογέλα."], **evaluation}
    write_long_results(submission, said=SAID, statements=STATEMENTS, **given)
    Form.objects.filter(submission=submission).update(name="Άννα", hobbies=["βιβλία"])
    finish(submission)
    return submission


def in_every_state(cast: Cast) -> dict[str, Submission]:
    failed, again, cancelled, running = (mine(cast) for _ in range(4))
    fail(failed, Permanent(code="no_audio"), at=Stage.EXTRACT)
    task = claim(again)
    task.retry_later(Transient(code="crashed"), 0, took=1.0)
    actions.cancel(submission=cancelled, by=cast.ada)
    claim(running, Worker.objects.create(node="Ω", pid=2)).note_progress(7.5, 20.25)
    return {
        "failed": failed,
        "again": again,
        "cancelled": cancelled,
        "running": running,
        "waiting": mine(cast),
        "first": rated(cast),
        "done": rated(cast),
        "flagged": rated(cast, flags=["off_topic", "spoken_instructions", "uncertain", "doubtful"]),
        "before items": rated(cast, method="levels", rubric=None),
        "not rated": rated(cast, method="none", rubric=None, overall=None, scores={}),
        "simulated": rated(cast, simulated=True),
        "hidden": rated(cast, released_at=None),
    }


def complaints(client: Client, *paths: str) -> dict[str, list[str]]:
    return {path: found for path in paths if (found := unmarked_on(client.get(path).content.decode()))}


def test_the_finder_finds_what_is_not_marked() -> None:
    page = (
        '<p title="⟦a⟧ b">⟦It is <b>c ⟦d⟧</b> e⟧ Ένα</p><p data-words="⟦f⟧">plain</p><script>say("x")</script>IntroEval'
    )
    assert unmarked_on(page) == ["b", "plain"]


def test_pages_for_everybody(greek: Cast, made_up: None) -> None:
    client = visitor()
    assert OPEN in client.get("/login/").content.decode()
    assert complaints(client, "/login/", "/nothing") == {}
    wrong = {"username": "ada", "password": "x"}
    for _ in range(11):
        page = client.post("/login/", wrong).content.decode()
        assert unmarked_on(page) == []
    assert "⟦Too many tries⟧" in page
    strict = Client(enforce_csrf_checks=True, headers={"accept-language": "de"})
    assert unmarked_on(strict.post("/login/", wrong).content.decode()) == []


def test_the_students_pages(greek: Cast, made_up: None) -> None:
    there = in_every_state(greek)
    Upload.objects.create(
        student=greek.ada,
        classroom=greek.classroom,
        original_name="α",
        length=5000,
        offset=9,
        expires_at=in_seconds(99),
    )
    client = visitor(greek.ada)
    paths = [f"/submissions/{one.pk}/" for one in there.values()]
    paths += [
        f"/submissions/{there['done'].pk}/delete",
        f"/classes/{greek.classroom.pk}/record/",
        "/",
        "/submissions/fragment/",
    ]
    assert complaints(client, *paths) == {}
    for action in ("cancel", "retry", "retry", "delete"):
        page = client.post(f"/submissions/{there['waiting'].pk}/{action}", follow=True).content.decode()
        assert unmarked_on(page) == [], action


def test_the_teachers_pages(greek: Cast, made_up: None) -> None:
    there = in_every_state(greek)
    board = f"/classes/{greek.classroom.pk}/"
    paths = [
        "/classes/",
        board,
        f"{board}?q=%CE%A9",
        f"{board}retry-failed",
        f"{board}sheets/",
        f"{board}sheets/?all=1",
    ]
    paths += [f"/submissions/{there[name].pk}/" for name in ("hidden", "flagged", "before items", "not rated")]
    of_class = f"/classes/{there['flagged'].classroom_id}"
    paths += [f"{of_class}/review/{there['flagged'].pk}/", f"{of_class}/students/{greek.ada.pk}/"]
    assert complaints(visitor(greek.teacher), *paths) == {}
    Classroom.objects.update(release="after_review")
    assert complaints(visitor(greek.teacher), f"/classes/{greek.classroom.pk}/") == {}
    assert complaints(visitor(User.objects.create(username="δ")), "/", "/classes/") == {}


def test_what_the_machine_is_doing(greek: Cast, made_up: None) -> None:
    """Each step of a hand-over, pauses, no worker: the words that come and go."""
    mine(greek)
    client = visitor(greek.ada)
    Worker.objects.create(node="Ω", pid=1)
    phase = Phase(node="Ω")
    for step in PhaseStep:
        for name in ("stt", "eval"):
            phase.enter(step, name=name, target="eval" if name == "stt" else "stt", reason="Γ")
            assert complaints(client, "/") == {}, (step, name)
    for what in Pause.What:
        Pause.objects.start(what, node="Ω", by="x", reason="Επισκευή", seconds=600)
        assert complaints(client, "/") == {}, what
    Worker.objects.update(last_heartbeat_at=in_seconds(-3000))
    assert complaints(client, "/") == {}


def test_what_the_api_and_the_socket_say(greek: Cast, made_up: None) -> None:
    there = in_every_state(greek)
    client = visitor(greek.ada)
    for one in there.values():
        answer = client.get(f"/api/status/{one.pk}").json()
        error = answer["error"] or {"code": "", "id": ""}
        words = [
            answer["status_words"],
            answer["why"],
            *(text for key, text in error.items() if key not in ("code", "id")),
        ]
        assert unmarked(" ".join(words)) == [], words
    (update,) = messages.find_updates([(greek.ada.pk, messages.SentState("de"))], 0.0)
    assert update
    (snapshot,) = map(json.loads, update.texts)
    assert len(snapshot["rows"]) == len(there)
    sent = [row["html"] for row in snapshot["rows"]] + [snapshot["summary"]["words"], snapshot["phase"]["words"]]
    assert [found for html in sent for found in unmarked_on(html)] == []
    stats = client.get("/api/queue/stats").json()
    assert unmarked(f"{stats['news']} {stats['counts']}") == []


def test_every_error_has_words_in_every_language(made_up: None) -> None:
    with translation.override("de"):
        for code in CATALOGUE:
            body = json.loads(refusals.refusal(refusals.RefusedError(400, code)).content)
            assert unmarked(f"{body['title']} {body['what']} {body['todo']}") == [], code
