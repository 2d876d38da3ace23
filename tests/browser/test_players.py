"""I, J: a click on a word plays that word, and a browser without a picture's codec says why there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from evaluations.media.decode import decode
from evaluations.models import Submission
from tests.browser.conftest import Visit, elsewhere
from tests.browser.test_student import until
from tests.conftest import Cast
from tests.evaluations.material import hand_in, write_words
from tests.evaluations.media import corpus
from tests.evaluations.media.corpus import Ladder, Recipe

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


SECONDS = 6
UNINDEXED = {"write_xing": "0"}
LADDERS = {
    "vbr.mp3": ("mp3", [Ladder("mp3", "libmp3lame", options=UNINDEXED, quality=4, rest=1)]),
    "chained.ogg": ("ogg", [Ladder("ogg", "libopus", seconds=3), Ladder("ogg", "libopus", seconds=3, first=3)]),
    "camera.ts": ("mpegts", [Ladder("mpegts", "aac", "libx264", begin=100, late=1, seconds=5)]),
    "recorder.aac": ("aac", [Ladder("adts", "aac", rest=1)]),
    "from-100.webm": ("webm", [Ladder("webm", "libopus", "libvpx", begin=100, late=1, seconds=5)]),
}
"""By name: the container, and what follows each other in it."""
LISTEN = """(player) => {
  const context = new AudioContext(), ear = new AnalyserNode(context, { fftSize: 2048, smoothingTimeConstant: 0 });
  context.createMediaElementSource(player).connect(ear).connect(context.destination);
  const levels = new Float32Array(ear.frequencyBinCount);
  window.heard = [];
  setInterval(() => {
    ear.getFloatFrequencyData(levels);
    const loudest = levels.reduce((best, level, at) => (level > levels[best] ? at : best), 0);
    const hertz = levels[loudest] > -60 ? (loudest * context.sampleRate) / ear.fftSize : 0;
    if (!player.paused && !player.seeking) heard.push([player.currentTime, hertz]);
  }, 20);
}"""


@pytest.mark.parametrize("name", LADDERS)
def test_a_click_on_a_word_plays_that_word(name: str, ada: Visit, cast: Cast, tmp_path: Path) -> None:
    container, parts = LADDERS[name]
    made = tmp_path / name
    made.write_bytes(
        b"".join(corpus.ladder(tmp_path / f"{at}-{name}", part).read_bytes() for at, part in enumerate(parts))
    )
    samples = decode(made, max_seconds=600).samples
    steps = [corpus.step_in(samples[at * 16_000 : (at + 1) * 16_000]) for at in range(SECONDS)]
    found = elsewhere(hand_in, cast.ada, cast.classroom, name=name, content=made.read_bytes())
    elsewhere(Submission.objects.filter(pk=found.pk).update, container=container, has_video=False)
    elsewhere(write_words, found, [f"word{at}" for at in range(SECONDS)])
    ada.page.goto(f"/submissions/{found.pk}/")
    player = ada.page.locator("#player")
    player.evaluate(LISTEN)
    for second in (4, 2, 5):  # forth and back
        player.evaluate("player => { player.pause(); heard.length = 0; }")
        ada.page.locator(".word", has_text=f"word{second}").click()
        until(ada.page, f"heard.some(([at]) => at >= {second}.7)")
        heard = [hertz for at, hertz in ada.page.evaluate("heard") if second + 0.3 <= at < second + 0.7]
        assert {round((hertz - corpus.FIRST_HZ) / corpus.STEP_HZ) for hertz in heard} == {steps[second]}
