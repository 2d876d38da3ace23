"""J: a browser without a picture's codec says why there is none, and plays the sound."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from evaluations.models import Submission
from tests.browser.conftest import Visit, elsewhere
from tests.conftest import Cast
from tests.evaluations.material import hand_in
from tests.evaluations.media import corpus
from tests.evaluations.media.corpus import Recipe

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

FILMS = {
    "hevc.mov": Recipe("hevc.mov", "mov", "aac", "mov", "video/quicktime", video="libx265"),
    "camera.avi": Recipe("camera.avi", "avi", "pcm_s16le", "avi", "video/x-msvideo", video="mpeg4"),
    "mpeg4.mp4": Recipe("mpeg4.mp4", "mp4", "aac", "mp4", "video/mp4", video="mpeg4"),
    "shown.webm": Recipe("shown.webm", "webm", "libopus", "webm", "video/webm", rate=48_000, video="libvpx"),
}
HEARD = """async (player) => {
  player.muted = true;
  await player.play();
  while (player.currentTime < 0.3) await new Promise((resolve) => setTimeout(resolve, 20));
  return player.duration;
}"""


@pytest.mark.parametrize("name", FILMS)
def test_without_a_picture_there_are_words_and_the_sound(name: str, ada: Visit, cast: Cast, tmp_path: Path) -> None:
    film = corpus.make(tmp_path / name, FILMS[name])
    found = elsewhere(hand_in, cast.ada, cast.classroom, name=name, content=film.read_bytes())
    facts = {"container": FILMS[name].container, "has_video": True}
    elsewhere(Submission.objects.filter(pk=found.pk).update, **facts)
    ada.page.goto(f"/submissions/{found.pk}/")
    player = ada.page.locator("#player")
    assert player.evaluate(HEARD) == pytest.approx(2.0, abs=0.2)
    expect(ada.page.locator("#no-picture")).to_be_visible(visible=name != "shown.webm")
    expect(ada.page.locator("#player-problem")).to_be_hidden()


def test_a_file_that_a_browser_can_not_open_is_heard_all_the_same(ada: Visit, cast: Cast, tmp_path: Path) -> None:
    film = corpus.make(tmp_path / "film.webm", FILMS["shown.webm"])
    found = elsewhere(hand_in, cast.ada, cast.classroom, name="film.webm", content=film.read_bytes())
    elsewhere(Submission.objects.filter(pk=found.pk).update, container="webm", has_video=True)
    ada.page.route("**/media", lambda route: route.fulfill(body=b"no film", content_type="video/webm"))
    ada.page.goto(f"/submissions/{found.pk}/")
    expect(ada.page.locator("#player:not([data-sound])")).to_have_count(1)
    assert ada.page.locator("#player").evaluate(HEARD) == pytest.approx(2.0, abs=0.2)
    expect(ada.page.locator("#no-picture")).to_be_visible()
