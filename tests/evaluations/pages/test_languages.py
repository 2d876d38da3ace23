"""In which language pages, fragments and the API answer, and that figures for machines stay as machines read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import translation

from evaluations.live import messages
from evaluations.live.consumer import DashboardConsumer
from evaluations.models import Submission
from evaluations.pages import languages
from queueing.exceptions import Permanent
from tests.conftest import Cast
from tests.evaluations.material import claim, fail, finish, hand_in, write_long_results
from tests.evaluations.views.conftest import disk, signed_in

__all__ = ["disk"]

GERMAN = {"accept-language": "de-AT,de;q=0.9,en;q=0.5"}


@pytest.fixture(autouse=True)
def language_is_nobodys() -> Iterator[None]:
    """A request leaves its language behind in its thread; the next request sets its own, but a test may not."""
    yield
    translation.deactivate()


def in_german(user: User) -> Client:
    client = signed_in(user)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = GERMAN["accept-language"]
    return client


# Which one


def test_a_page_is_in_the_language_that_the_browser_asks_for(db: None) -> None:
    answer = Client().get("/login/", headers=GERMAN)
    page = answer.content.decode()
    assert '<html lang="de">' in page
    assert "<h1>Anmelden</h1>" in page
    assert answer.headers["Content-Language"] == "de"
    assert {"Accept-Language", "Cookie"} <= set(re.split(", *", answer.headers["Vary"]))


@pytest.mark.parametrize("asked", ["", "fr", "fr,pl;q=0.5", "*"])
def test_otherwise_it_is_in_english(db: None, asked: str) -> None:
    answer = Client().get("/login/", headers={"accept-language": asked})
    assert "<h1>Sign in</h1>" in answer.content.decode()
    assert answer.headers["Content-Language"] == "en"


def test_a_person_chooses_before_signing_in_and_stays_where_they_are(cast: Cast) -> None:
    client = Client()
    answer = client.post(
        "/language/", {"language": "de"}, headers={"referer": "http://testserver/login/?next=/classes/"}
    )
    assert answer["Location"] == "http://testserver/login/?next=/classes/"
    assert "Anmelden" in client.get("/login/", headers={"accept-language": "en"}).content.decode()
    client.force_login(cast.ada)
    assert "Video abgeben" in client.get("/").content.decode()
    client.post("/language/", {"language": "en"})
    assert "Hand in a video" in client.get("/", headers=GERMAN).content.decode()


def test_choosing_leads_to_no_other_site_and_to_no_other_language(db: None) -> None:
    client = Client()
    answer = client.post("/language/", {"language": "xx", "next": "https://evil.example/"})
    assert answer["Location"] == "/"
    assert not client.cookies


def test_every_language_is_offered_by_its_own_name_and_the_present_one_is_marked(db: None) -> None:
    page = Client().get("/login/", headers=GERMAN).content.decode()
    offered = re.findall(r'value="(\w+)"\s+lang="(\w+)"[^>]*?(aria-current="true")?>(\w+)</button>', page)
    assert offered == [("en", "en", "", "English"), ("de", "de", 'aria-current="true"', "Deutsch")]


def test_the_admin_speaks_english_to_everybody(cast: Cast) -> None:
    User.objects.filter(pk=cast.teacher.pk).update(is_staff=True, is_superuser=True)
    answer = in_german(User.objects.get(pk=cast.teacher.pk)).get("/admin/")
    assert "Log out" in answer.content.decode()
    assert answer.headers["Content-Language"] == "en"


@pytest.mark.parametrize(
    ("query", "language"), [(b"language=de", "de"), (b"", "en"), (b"language=xx", "en"), (b"\xff", "en")]
)
def test_a_socket_speaks_as_the_page_that_opened_it(query: bytes, language: str) -> None:
    assert languages.of_socket(query) == language


def test_two_windows_of_one_student_are_told_in_their_languages(cast: Cast) -> None:
    hand_in(cast.ada, cast.classroom)
    updates = messages.find_updates(
        [(cast.ada.pk, messages.SentState(language)) for language in ("de", "en", "de")], 0.0
    )
    german, english, again = ("".join(update.texts) for update in updates if update)
    assert "hochgeladen" in german
    assert "uploaded" in english
    assert again == german
    assert translation.get_language() == "en"


@pytest.mark.parametrize("path", ["/login/", "/api/openapi.json", "/api/nothing", "/nothing"])
def test_no_cache_gives_an_answer_to_who_reads_another_language(db: None, path: str) -> None:
    said = Client().get(path)["Vary"]
    assert {"Accept-Language", "Cookie"} <= {name.strip() for name in said.split(",")}


async def test_a_page_that_asks_for_everything_again_gets_it_in_its_language() -> None:
    socket = DashboardConsumer()
    socket.sent = messages.SentState("de", number=3)
    await socket.receive(text_data="snapshot")
    assert socket.sent == messages.SentState("de")


# The API


def test_a_program_reads_words_in_its_language_and_codes_in_none(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    fail(submission, Permanent(code="no_audio"))
    english, german = (client(cast.ada).get(f"/api/status/{submission.pk}") for client in (signed_in, in_german))
    assert (english.headers["Content-Language"], german.headers["Content-Language"]) == ("en", "de")
    one, other = english.json(), german.json()
    assert (one["status_words"], other["status_words"]) == ("failed", "hat nicht geklappt")
    assert other["error"]["title"] == "Es ist kein Ton dabei"
    for answer in (one, other):
        del answer["status_words"], answer["why"]
        answer["error"] = answer["error"]["code"]
    assert one == other


@pytest.mark.parametrize("path", ["/api/nothing", "/api/my-videos"])
def test_a_program_is_refused_in_its_language(db: None, path: str) -> None:
    """By django-ninja's handlers and by what Django itself refuses."""
    english, german = Client().get(path), Client().get(path, headers=GERMAN)
    assert english.json()["code"] == german.json()["code"]
    assert english.json()["title"] != german.json()["title"]
    assert german.headers["Content-Language"] == "de"
    assert "Accept-Language" in german.headers["Vary"]


def test_a_video_and_its_captions_are_in_no_language_of_the_site(cast: Cast) -> None:
    path = f"/submissions/{rated_one(cast).pk}"
    for file in ("media", "captions.vtt"):
        answer = in_german(cast.ada).get(f"{path}/{file}")
        assert answer.status_code == 200
        assert "Content-Language" not in answer.headers


# Figures


class Figures(HTMLParser):
    """Attributes that machines read as numbers."""

    OF_CHARTS = ("cx", "cy", "height", "points", "r", "viewbox", "width", "x", "x1", "x2", "y", "y1", "y2")
    OF_SCRIPTS = ("data-chunk-bytes", "data-end", "data-max-bytes", "data-max-seconds", "data-seek", "data-start")
    READ = {*OF_CHARTS, *OF_SCRIPTS, "max", "min"}

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in self.READ or (name == "value" and tag in ("progress", "meter")):
                self.seen.setdefault(name, []).append(value or "")


def test_people_read_their_comma_and_machines_their_point(cast: Cast) -> None:
    client = in_german(cast.ada)
    running = hand_in(cast.ada, cast.classroom)
    claim(running).note_progress(7.5, 20.25)
    rated = [rated_one(cast) for _ in range(2)]
    pages = [client.get(path).content.decode() for path in ("/", f"/submissions/{rated[1].pk}/", record(cast))]
    figures = Figures()
    for page in pages:
        figures.feed(page)
    assert figures.seen.keys() >= {"cx", "points", "data-seek", "data-end", "value", "max", "x", "data-max-bytes"}
    for name, values in figures.seen.items():
        for value in values:
            numbers = re.split(r"[ ,]" if name == "points" else " ", value)
            assert all(re.fullmatch(r"-?\d+(\.\d+)?", number) for number in numbers), f"{name}={value!r}"
    assert '<span class="score">6,2</span>' in pages[1]
    assert 'class="middle value"' in pages[1]
    assert not re.search(r">[^<]*\b\d+\.\d\b[^<]*<", re.sub(r"(?s)<(script|style|title|time).*?</\1>", "", pages[1]))


def rated_one(cast: Cast) -> Submission:
    submission = hand_in(cast.ada, cast.classroom)
    write_long_results(submission, scores={"Clarity": 6.2, "Confidence": 7.1, "Content": 8.3})
    finish(submission)
    return submission


def record(cast: Cast) -> str:
    return f"/classes/{cast.classroom.pk}/record/"
