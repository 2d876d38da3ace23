"""S09: a film that is also a page or a script is a film to the browser, however it is opened."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Error

from evaluations.models import Submission
from tests.browser.conftest import Visit, elsewhere
from tests.conftest import Cast
from tests.evaluations.material import hand_in
from tests.evaluations.media import corpus

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

PAGE = b"<!doctype html><html><body><script>alert('ran')</script><img src=x onerror=alert('ran')></body></html>"
TRIES = 10
SCRIPT = b"/*\n*/ alert('ran') //"


def film(folder: Path, name: str) -> bytes:
    recipe = next(each for each in corpus.RECIPES if each.name == name)
    return corpus.make(folder / name, recipe).read_bytes()


def free_box(content: bytes) -> bytes:
    """A part of an MP4 that players skip; it may come before all others."""
    return (8 + len(content)).to_bytes(4, "big") + b"free" + content


# Resolves when the browser is done with it, one way or the other.
EMBED = """([kind, address]) => new Promise(done => {
  const made = document.createElement(kind === "module" ? "script" : kind);
  if (kind === "module") made.type = "module";
  if (kind === "link") made.rel = "stylesheet";
  made.onload = made.onerror = done;
  setTimeout(done, 300);
  made[{link: "href", object: "data"}[kind] ?? "src"] = address;
  document.body.append(made);
})"""


@pytest.fixture
def polyglots(cast: Cast, tmp_path: Path) -> list[Submission]:
    """Each with the container that decoding reports; the last ones are none."""
    contents = (
        ("page behind a film.webm", "webm", film(tmp_path, "film.webm") + PAGE),
        ("page before a film.mp4", "mp4", free_box(PAGE) + film(tmp_path, "film.mp4")),
        ("script behind a sound.mp3", "mp3", film(tmp_path, "sound.mp3") + SCRIPT),
        ("page.mp4", "", PAGE),
        ("script.js", "", SCRIPT),
        ("picture.svg", "", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert('ran')</script></svg>"),
    )
    made = [elsewhere(hand_in, cast.ada, cast.classroom, name=name, content=each) for name, _, each in contents]
    for submission, (_, container, _) in zip(made, contents, strict=True):
        elsewhere(Submission.objects.filter(pk=submission.pk).update, container=container)
    return made


def go_home(visit: Visit) -> None:
    """However long it takes the browser to see that the address before was a download."""
    for _ in range(TRIES):
        with suppress(Error):
            visit.page.goto("/")
            return
        visit.page.wait_for_timeout(300)
    visit.page.goto("/")


def test_nothing_in_a_film_runs(ada: Visit, polyglots: list[Submission], site: str) -> None:
    addresses = [f"{site}/submissions/{each.pk}/media" for each in polyglots]
    for address in addresses:
        go_home(ada)
        ada.page.evaluate("address => { location = address }", address)  # a download leaves the page where it is
        ada.page.wait_for_timeout(300)
    go_home(ada)
    for kind in ("script", "module", "link", "iframe", "object", "embed"):
        for address in addresses:
            ada.page.evaluate(EMBED, [kind, address])
    assert "ran" not in ada.complaints
    assert len(ada.complaints) >= len(polyglots)  # the browser said what it refused
    ada.complaints.clear()
