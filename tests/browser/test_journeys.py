"""A student's whole way, from handing in to hearing a word of the result, with a worker beside the site.

Only the models are simulated. What goes wrong on the way: the network is cut for five seconds, the page is reloaded,
there is no mouse, the socket is blocked.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from evaluations import demo
from evaluations.media import store
from evaluations.media.decode import decode
from evaluations.models import Submission, Upload
from tests.browser.conftest import PATIENCE_MS, Visit, elsewhere, process, visiting
from tests.browser.network import Network, network
from tests.browser.test_recorder import in_state, press, record_for, start
from tests.browser.test_student import MEGABYTE, until
from tests.conftest import PASSWORD, Cast
from tests.processes.conftest import MANAGE, SIMULATED, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

expect.set_options(timeout=PATIENCE_MS)

AWAY_MS = 5000
WORK_MS = 60_000  # a worker that starts, and its three stages, on two busy cores
CHUNK = 4 * MEGABYTE
PLAYER = "document.getElementById('player')"
REMEMBER_STATES = """
window.seen = new Set();
new MutationObserver(() => {
  for (const badge of document.querySelectorAll("#submissions .badge")) seen.add(badge.textContent);
}).observe(document.getElementById("list"), { childList: true, subtree: true, characterData: true });
"""
REMEMBER_SEEK = f"{PLAYER}.addEventListener('seeked', () => {{ window.soughtTo = {PLAYER}.currentTime; }})"
DROP = """
([name, bytes]) => {
  const dataTransfer = new DataTransfer();
  const content = Uint8Array.from(atob(bytes), (sign) => sign.charCodeAt(0));
  dataTransfer.items.add(new File([content], name, { type: "video/mp4", lastModified: 1 }));
  for (const kind of ["dragover", "drop"])
    document.querySelector("#drop").dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true }));
}
"""
HAS_VISIBLE_FOCUS = """
() => {
  const here = document.activeElement;
  const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(here);
  const { width, height } = here.getBoundingClientRect();
  const ring = (outlineStyle !== "none" && parseFloat(outlineWidth) >= 2) || boxShadow !== "none";
  // Inside a player are the browser's own buttons, with rings of their own.
  return here === document.body || !here.matches(":focus") || (ring && width > 1 && height > 1);
}
"""

FOCUSED = """
() => {
  const here = document.activeElement;
  return here === document.body ? "" : here.textContent || here.outerHTML;
}
"""


@pytest.fixture
def way(site: str) -> Iterator[Network]:
    with network(int(site.rpartition(":")[2])) as way:
        yield way


@pytest.fixture
def visit(chromium: Browser, way: Network, transactional_db: None) -> Iterator[Visit]:
    """Over a network that can be cut; that Chromium complains of it is all right."""
    with visiting(chromium, way.url, ("net::ERR_", "WebSocket connection to")) as visit:
        yield visit


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """A worker, from when the page that watches it is open."""
    with process(MANAGE, "run_phase_worker", log=folder / "worker.log", **SIMULATED):
        yield


def read_and_hear(visit: Visit) -> None:
    visit.page.get_by_role("link", name="See the result").click()
    for heading in ("Scores", "Feedback", "Transcript"):
        expect(visit.page.get_by_role("heading", name=heading)).to_be_visible()
    until(visit.page, f"{PLAYER}.readyState > 0")
    visit.page.evaluate(REMEMBER_SEEK)
    word = visit.page.locator(".word").nth(4)
    word.click()
    plays_from(visit, word.get_attribute("data-seek"))


def plays_from(visit: Visit, second: str | None) -> None:
    """The player went to that second, where `REMEMBER_SEEK` saw it, and plays on from there."""
    assert second is not None
    assert float(second) > 0.5
    until(visit.page, f"Math.abs(window.soughtTo - {second}) < 0.3")
    until(visit.page, f"{PLAYER}.currentTime > {second} && (!{PLAYER}.paused || {PLAYER}.ended)")


def test_a_recording_of_20_s_survives_a_cut_network_and_a_reload(
    visit: Visit, cast: Cast, way: Network, tmp_path: Path
) -> None:
    visit.sign_in(cast.ada)
    visit.page.get_by_role("link", name="Record it here").click()
    start(visit)
    record_for(visit, 8)
    way.cut()
    expect(visit.page.locator("#problem")).to_contain_text("Your recording goes on")
    visit.page.wait_for_timeout(AWAY_MS)
    way.restore()
    expect(visit.page.locator("#problem")).to_be_hidden()
    record_for(visit, 20)
    press(visit, "Stop")
    in_state(visit, "review")
    visit.page.reload()
    visit.page.locator("#kept").get_by_role("button", name="Hand in").click()
    expect(visit.page.locator("#kept").get_by_role("link", name="is handed in")).to_be_visible()
    submission = elsewhere(Submission.objects.get)
    assert decode(store.locate(submission.path), max_seconds=60).facts.duration > 19
    visit.page.get_by_role("link", name="My videos").click()
    visit.page.evaluate(REMEMBER_STATES)
    with at_work(tmp_path):
        expect(visit.page.locator("#submissions .badge")).to_have_text("done", timeout=WORK_MS)
    assert {"transcribing", "rating"} <= set(visit.page.evaluate("[...seen]"))
    read_and_hear(visit)


def test_a_dragged_file_survives_it_too_without_a_socket(
    visit: Visit, cast: Cast, way: Network, tmp_path: Path
) -> None:
    visit.page.route_web_socket("**/ws/dashboard?*", lambda route: route.close())
    visit.sign_in(cast.ada)
    expect(visit.page.locator("#connection")).to_be_visible()
    film = large_film()
    row = visit.page.locator("#uploads .row")
    way.cut_after(6 * MEGABYTE)
    drop(visit, film)
    expect(row).to_contain_text("The server can’t be reached")
    assert elsewhere(Upload.objects.get).offset == CHUNK
    visit.page.wait_for_timeout(AWAY_MS)
    way.cut_after(6 * MEGABYTE)
    way.restore()
    wait_until(lambda: elsewhere(Upload.objects.get).offset == 2 * CHUNK)  # by itself
    expect(row).to_contain_text("The server can’t be reached")
    way.restore()
    visit.page.reload()
    expect(visit.page.locator(".unfinished")).to_contain_text("film.mp4")
    drop(visit, film)
    expect(visit.row("film.mp4")).to_be_visible()
    expect(visit.page.locator(".unfinished")).to_have_count(0)
    submission = elsewhere(Submission.objects.get)
    assert (submission.size, submission.sha256) == (len(film), sha256(film).hexdigest())
    assert elsewhere(Upload.objects.count) == 1
    with at_work(tmp_path):
        expect(visit.page.locator("#submissions .badge")).to_have_text("done", timeout=WORK_MS)
    read_and_hear(visit)


def large_film() -> bytes:
    """A sample of the demo class, and behind it room that players pass over."""
    film = next(clip.path for clip in demo.clips() if clip.expect == "completed" and clip.file.endswith(".mp4"))
    return film.read_bytes() + struct.pack(">I4s", 3 * CHUNK, b"free") + bytes(3 * CHUNK - 8)


def drop(visit: Visit, film: bytes) -> None:
    visit.page.evaluate(DROP, ["film.mp4", b64encode(film).decode()])


class Keyboard:
    """Presses keys, and looks after each where the focus is and whether it can be seen."""

    def __init__(self, visit: Visit) -> None:
        self.page = visit.page

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            assert self.page.evaluate(HAS_VISIBLE_FOCUS), self.focused()

    def focused(self) -> str:
        """The words of what has the focus; none between the page's end and its top."""
        return str(self.page.evaluate(FOCUSED))

    def tab_to(self, words: str) -> None:
        self._tab_until(words, lambda: words in self.focused())

    def tab_into(self, place: str) -> None:
        self._tab_until(place, lambda: self.page.evaluate(f"document.activeElement.closest('{place}') !== null"))

    def _tab_until(self, wanted: str, reached: Callable[[], bool]) -> None:
        for _ in range(60):
            self.press("Tab")
            if reached():
                return
        pytest.fail(f"“{wanted}” can’t be reached with the Tab key")

    def all_round(self) -> int:
        """From the top to the top again: nothing holds the focus fast. Returns how many stops there are."""
        self.page.reload()
        self.press("Tab")
        assert self.focused() == "Skip to the content"
        for count in range(1, 80):
            self.press("Tab")
            if self.focused() == "Skip to the content":
                return count
        pytest.fail("the Tab key never comes back to the top")


def test_a_student_without_a_mouse_goes_the_whole_way(visit: Visit, cast: Cast, tmp_path: Path) -> None:
    page, keyboard = visit.page, Keyboard(visit)
    page.goto("/login/")
    keyboard.press("Tab")
    assert keyboard.focused() == "Skip to the content"
    page.keyboard.press("Enter")
    keyboard.press("Tab")
    page.keyboard.type("ada")
    keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/")

    keyboard.tab_to("Record it here")
    page.keyboard.press("Enter")
    in_state(visit, "idle")
    keyboard.tab_to("Turn on camera")
    keyboard.press("Enter")
    expect(page.locator("#announcer")).to_have_text("We hear you.")
    keyboard.tab_to("Record")
    keyboard.press("Space")
    in_state(visit, "recording")
    expect(page.locator(":focus")).to_have_text("Pause")
    record_for(visit, 8)
    keyboard.tab_to("Stop")
    page.keyboard.press("Space")
    in_state(visit, "review")
    expect(page.locator(":focus")).to_have_text("Hand in")
    keyboard.press("Enter")
    in_state(visit, "done")
    expect(page.locator(":focus")).to_have_text("See how it goes")
    keyboard.tab_to("My videos")
    page.keyboard.press("Enter")

    expect(page.locator("#submissions .row")).to_be_visible()
    assert keyboard.all_round() > 5
    keyboard.tab_to("Cancel")
    with at_work(tmp_path):
        expect(page.locator("#submissions .badge")).to_have_text("done", timeout=WORK_MS)
    assert page.evaluate("document.activeElement.closest('[data-row]') !== null")  # a row that was replaced meanwhile
    keyboard.tab_to("See the result")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Transcript")).to_be_visible()
    until(page, f"{PLAYER}.readyState > 0")
    assert keyboard.all_round() > 8
    keyboard.tab_into(".transcript")
    page.evaluate(REMEMBER_SEEK)
    keyboard.press("ArrowRight", "ArrowRight", "ArrowRight", "Enter")
    plays_from(visit, page.evaluate("document.activeElement.dataset.seek"))
