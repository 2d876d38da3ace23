"""Recording in the page, with Chromium's own camera and microphone: a moving picture, and somebody who speaks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from evaluations.media import store
from evaluations.media.container import open_media
from evaluations.media.decode import Decoded, decode
from evaluations.models import Submission, Upload
from tests.browser.conftest import ALLOWED, FAKE_DEVICE, PATIENCE_MS, Visit, elsewhere, full_lab
from tests.browser.test_student import tab_to, until
from tests.conftest import Cast
from tests.processes.conftest import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

expect.set_options(timeout=PATIENCE_MS)

DENIED = "--deny-permission-prompts"
OURS = {"Tus-Resumable": "1.0.0"}  # every answer of the server has it; another one is a proxy's
LOUDNESS = 0.01  # of full scale: speech is well above, a lost sound track is not

SILENCE = """
navigator.mediaDevices.getUserMedia = async () => {
  const context = new AudioContext();
  const nothing = context.createMediaStreamDestination();
  const picture = document.createElement("canvas").captureStream(5);
  return new MediaStream([...nothing.stream.getTracks(), ...picture.getTracks()]);
};
"""
DEAF = "Object.defineProperty(BaseAudioContext.prototype, 'state', { get: () => 'suspended' });"
NO_PICTURE = """
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wanted) => {
  const stream = await ask({ audio: true });
  if (wanted.video) stream.addTrack(document.createElement("canvas").captureStream(0).getVideoTracks()[0]);
  return stream;
};
"""
MUTED = """
Object.defineProperty(MediaStreamTrack.prototype, "muted", { get() { return this.kind === "audio"; } });
"""
TAKEN = """
navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("taken", "NotReadableError"); };
"""


@pytest.fixture
def booth(ada: Visit, cast: Cast) -> Visit:
    """Ada in front of the recorder of her class."""
    ada.page.get_by_role("link", name="Record it here").click()
    return ada


def press(visit: Visit, name: str) -> None:
    visit.page.get_by_role("button", name=name, exact=True).click()


def start(visit: Visit) -> None:
    press(visit, "Turn on camera and microphone")
    press(visit, "Record")  # as soon as it is enabled: the voice was heard
    in_state(visit, "recording")


def in_state(visit: Visit, state: str) -> None:
    expect(visit.page.locator("#recorder")).to_have_attribute("data-state", state)


def record_for(visit: Visit, seconds: int) -> None:
    """At least so long: whoever looks every second may miss one."""
    until(visit.page, f"Number(document.getElementById('timer').textContent.match(/0:(\\d\\d)/)?.[1]) >= {seconds}")


def safe_bytes(visit: Visit) -> int:
    return int(visit.page.locator("#recorder").get_attribute("data-safe") or 0)


def some_is_safe(visit: Visit) -> None:
    until(visit.page, "Number(document.getElementById('recorder').dataset.safe) > 0")


def handed_in(visit: Visit) -> Submission:
    in_state(visit, "done")
    submission = elsewhere(Submission.objects.get)
    assert visit.page.locator("#result").get_attribute("href") == f"/submissions/{submission.pk}/"
    return submission


def heard(submission: Submission) -> Decoded:
    found = decode(store.locate(submission.path), max_seconds=60)
    assert not found.facts.damaged
    assert abs(found.samples).max() > LOUDNESS
    return found


def kept_in_browser(visit: Visit) -> int:
    """Pieces and takes in the browser's own store."""
    count = visit.page.evaluate(
        """() => new Promise((resolve) => {
          indexedDB.open("introeval-recordings").onsuccess = ({target}) => {
            const stores = target.result.transaction(["takes", "pieces"]);
            const counts = ["takes", "pieces"].map((name) => stores.objectStore(name).count());
            stores.oncomplete = () => resolve(counts[0].result + counts[1].result);
          };
        })"""
    )
    return int(count)


def test_on_a_phone_prompt_picture_time_and_buttons_are_in_sight_while_it_records(ada: Visit, cast: Cast) -> None:
    cast.classroom.prompt = (
        "Tell us your name, how old you are, what you like to do in your free time, what you are good at, "
        "what you have done so far and what you would like to become. Give one example of each."
    )
    elsewhere(cast.classroom.save)
    ada.page.set_viewport_size({"width": 360, "height": 640})
    ada.page.get_by_role("link", name="Record it here").click()
    start(ada)
    prompt, picture = ada.page.locator("aside .prompt"), ada.page.locator("#preview")
    stop = ada.page.get_by_role("button", name="Stop")
    for seen in (prompt, picture, ada.page.locator("#timer"), stop):
        expect(seen).to_be_in_viewport(ratio=0.99)
    prompt_box, picture_box = prompt.bounding_box(), picture.bounding_box()
    assert prompt_box
    assert picture_box
    assert prompt_box["y"] + prompt_box["height"] <= picture_box["y"]
    stop.click()


def test_a_student_records_again_pauses_plays_hands_in_and_jumps_about_in_the_result(booth: Visit) -> None:
    start(booth)
    record_for(booth, 2)
    some_is_safe(booth)
    in_state(booth, "recording")  # it is on its way while it is recorded
    press(booth, "Stop")
    press(booth, "Record again")
    in_state(booth, "checking")
    wait_until(lambda: not elsewhere(Upload.objects.exists))
    assert kept_in_browser(booth) == 0
    press(booth, "Record")
    record_for(booth, 1)
    press(booth, "Pause")
    expect(booth.page.locator("#announcer")).to_have_text("Paused.")
    assert not elsewhere(Submission.objects.exists)
    press(booth, "Go on")
    record_for(booth, 4)
    press(booth, "Stop")
    in_state(booth, "review")
    until(booth.page, "Math.abs(document.getElementById('playback').duration - 4) < 2")
    press(booth, "Hand in")
    submission = handed_in(booth)
    expect(booth.page.locator("#place")).to_contain_text("You are 1st of 1")
    found = heard(submission)
    assert 3.5 < found.facts.duration < 7
    assert found.facts.video_codec == "vp8"
    assert kept_in_browser(booth) == 0

    original = store.locate(submission.path)
    with open_media(original) as container:
        assert container.duration is None
    booth.page.get_by_role("link", name="See how it goes").click()
    player = "document.getElementById('player')"
    until(booth.page, f"{player}.readyState > 0 && Number.isFinite({player}.duration) && {player}.seekable.end(0) > 3")
    booth.page.evaluate(f"{player}.currentTime = 3")
    until(booth.page, f"!{player}.seeking && {player}.currentTime >= 3")
    with open_media(original.with_name("seekable")) as container:
        assert container.duration == pytest.approx(found.facts.duration * 1_000_000, abs=500_000)
    store.verify(submission.path, submission.sha256)


def test_a_full_disk_and_a_reload_in_the_middle_lose_nothing(booth: Visit) -> None:
    full = {"title": "The disk of the lab computer is full", "what": "There is no room."}
    booth.page.route("**/api/uploads/*-*", lambda route: route.fulfill(status=507, json=full, headers=OURS))
    start(booth)
    expect(booth.page.locator("#problem")).to_contain_text("The disk of the lab computer is full. There is no room.")
    in_state(booth, "recording")
    booth.page.unroute_all()
    expect(booth.page.locator("#problem")).to_be_hidden()
    record_for(booth, 3)
    some_is_safe(booth)
    before = safe_bytes(booth)
    booth.page.reload()
    row = booth.page.locator("#kept .row")
    expect(row).to_contain_text("is not handed in yet")
    expect(row.get_by_role("button")).to_have_count(3)
    row.get_by_role("button", name="Hand in").click()
    row.get_by_role("link", name="is handed in").click()
    submission = elsewhere(Submission.objects.get)
    assert submission.size >= before > 0
    assert heard(submission).facts.duration > 1.5
    assert elsewhere(Upload.objects.count) == 1
    assert kept_in_browser(booth) == 0
    booth.complaints[:] = [one for one in booth.complaints if "507" not in one]


def test_at_capacity_the_recording_waits_and_is_sent_by_itself_also_after_a_reload(booth: Visit, cast: Cast) -> None:
    with full_lab(booth, cast):
        start(booth)
        problem = booth.page.locator("#problem")
        expect(problem).to_contain_text("The lab is at capacity.")
        expect(problem).to_contain_text(
            "Your recording is safe on this device; it is sent by itself in about a minute."
        )
        expect(booth.page.locator("#safety")).to_have_text(re.compile(r"Next try in 0:0\d\."))
        record_for(booth, 2)
        press(booth, "Stop")
        press(booth, "Hand in")
        in_state(booth, "sending")
        booth.page.reload()
        row = booth.page.locator("#kept .row")
        expect(row).to_contain_text("it is sent by itself in about a minute. Next try in")
        assert elsewhere(Upload.objects.count) == 0
    row.get_by_role("link", name="is handed in").click()
    assert elsewhere(Submission.objects.filter(student=cast.ada).count) == 1
    assert kept_in_browser(booth) == 0
    booth.complaints[:] = [one for one in booth.complaints if "503" not in one]


def test_an_answer_that_is_lost_makes_no_second_submission(booth: Visit) -> None:
    """F28: the last piece arrives, its answer doesn't; and the first request is answered twice."""
    lost: list[str] = []

    def lose_answers(route) -> None:  # type: ignore[no-untyped-def]
        kind = route.request.method + ("+" if "upload-length" in route.request.headers else "")
        if kind in ("POST", "PATCH+") and kind not in lost:
            lost.append(kind)
            route.fetch()
            route.abort()
        else:
            route.continue_()

    booth.page.route("**/api/uploads/**", lose_answers)
    start(booth)
    record_for(booth, 2)
    press(booth, "Stop")
    press(booth, "Hand in")
    heard(handed_in(booth))
    assert lost == ["POST", "PATCH+"]
    assert elsewhere(Upload.objects.count) == 1
    booth.complaints[:] = [one for one in booth.complaints if "net::ERR_FAILED" not in one]


def test_what_the_server_will_never_take_is_not_said_to_be_tried_again(booth: Visit) -> None:
    refused = '{"title": "The file is too large", "what": "It has more bytes than we accept.", "todo": ""}'

    def refuse_parts(route) -> None:  # type: ignore[no-untyped-def]
        if route.request.method == "PATCH":
            route.fulfill(status=413, content_type="application/json", body=refused, headers=OURS)
        else:
            route.continue_()

    booth.page.route("**/api/uploads/**", refuse_parts)
    start(booth)
    expect(booth.page.locator("#problem")).to_contain_text("It has more bytes than we accept. It can’t be handed in")
    expect(booth.page.locator("#problem")).to_contain_text("kept in this browser")
    expect(booth.page.locator("#problem")).not_to_contain_text("tried again")
    press(booth, "Stop")
    in_state(booth, "review")
    booth.complaints.clear()  # the browser writes every 413 on its console


def test_it_stops_by_itself_before_the_limit_and_can_be_saved_or_discarded(
    ada: Visit, cast: Cast, tmp_path: Path
) -> None:
    cast.classroom.max_duration_seconds = 4
    elsewhere(cast.classroom.save)
    ada.page.goto(f"/classes/{cast.classroom.pk}/record/")
    start(ada)
    in_state(ada, "review")
    expect(ada.page.locator("#problem")).to_contain_text("the longest your class allows")
    ada.page.reload()
    row = ada.page.locator("#kept .row")
    with ada.page.expect_download() as saved:
        row.get_by_role("button", name="Download my copy").click()
    assert saved.value.suggested_filename.endswith(".webm")
    saved.value.save_as(tmp_path / "copy.webm")
    assert 1 < decode(tmp_path / "copy.webm", max_seconds=60).facts.duration < 4
    row.get_by_role("button", name="Discard").click()
    expect(row).to_have_count(0)
    wait_until(lambda: not elsewhere(Upload.objects.exists))
    assert kept_in_browser(ada) == 0


def test_silence_never_enables_record_and_says_why(booth: Visit) -> None:
    booth.page.add_init_script(SILENCE)
    booth.page.reload()
    press(booth, "Turn on camera and microphone")
    expect(booth.page.locator("#heard")).to_have_text("Say something: we must hear you first.")
    expect(booth.page.locator("#problem")).to_contain_text("We hear nothing yet.")
    expect(booth.page.get_by_role("button", name="Record", exact=True)).to_be_disabled()
    assert booth.page.locator("#level").evaluate("meter => meter.value") == 0


def test_where_the_browser_can_not_listen_it_records_all_the_same(booth: Visit) -> None:
    """Firefox at a computer without loudspeakers starts no AudioContext."""
    booth.page.add_init_script(DEAF)
    booth.page.reload()
    press(booth, "Turn on camera and microphone")
    expect(booth.page.locator("#heard")).to_contain_text("This browser can’t measure how loud you are here")
    expect(booth.page.locator("#problem")).to_be_hidden()
    press(booth, "Record")
    record_for(booth, 2)
    press(booth, "Stop")
    press(booth, "Hand in")
    heard(handed_in(booth))


def test_a_camera_without_a_picture_is_told_before_the_student_has_said_it_all(booth: Visit) -> None:
    """The browser waits for the first picture before it writes anything, the sound included."""
    booth.page.add_init_script(NO_PICTURE)
    booth.page.clock.install()
    booth.page.reload()
    start(booth)
    expect(booth.page.locator("#safety")).to_be_empty()
    booth.page.clock.fast_forward(15_000)
    expect(booth.page.locator("#problem")).to_contain_text("Nothing was recorded")
    in_state(booth, "idle")
    wait_until(lambda: not elsewhere(Upload.objects.exists))
    press(booth, "I have no camera: sound only")
    press(booth, "Record")
    record_for(booth, 2)
    press(booth, "Stop")
    press(booth, "Hand in")
    heard(handed_in(booth))


def test_a_muted_microphone_keeps_its_own_words(booth: Visit) -> None:
    booth.page.add_init_script(SILENCE + MUTED)
    booth.page.reload()
    press(booth, "Turn on camera and microphone")
    expect(booth.page.locator("#problem")).to_contain_text("Your microphone is muted")
    booth.page.wait_for_timeout(5000)  # by now it would be said that nothing is heard
    expect(booth.page.locator("#problem")).to_contain_text("Your microphone is muted")


def test_what_is_said_while_recording_moves_nothing(booth: Visit) -> None:
    start(booth)
    place = booth.page.get_by_role("button", name="Stop").bounding_box()
    booth.page.locator("#problem").evaluate("place => { place.hidden = false; place.textContent = 'It is silent.'; }")
    expect(booth.page.locator("#problem")).to_be_in_viewport()
    assert booth.page.get_by_role("button", name="Stop").bounding_box() == place


def test_a_student_without_a_mouse_and_a_camera_records(booth: Visit) -> None:
    keyboard = booth.page.keyboard
    in_state(booth, "idle")
    tab_to(booth, "sound only")
    keyboard.press("Enter")
    expect(booth.page.locator("#announcer")).to_have_text("We hear you.")
    tab_to(booth, "Record")
    keyboard.press("Space")
    in_state(booth, "recording")
    expect(booth.page.locator("#announcer")).to_have_text("Recording.")
    expect(booth.page.locator(":focus")).to_have_text("Pause")
    record_for(booth, 2)
    tab_to(booth, "Stop")
    keyboard.press("Space")
    in_state(booth, "review")
    expect(booth.page.locator(":focus")).to_have_text("Hand in")
    keyboard.press("Enter")
    assert heard(handed_in(booth)).facts.video_codec is None
    expect(booth.page.locator(":focus")).to_have_text("See how it goes")
    tab_to(booth, "My videos")  # no trap


def test_a_device_that_is_in_use_has_its_own_words(booth: Visit) -> None:
    booth.page.add_init_script(TAKEN)
    booth.page.reload()
    press(booth, "Turn on camera and microphone")
    expect(booth.page.locator("#problem")).to_contain_text("in use by another program")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("delete window.MediaRecorder", "This browser can’t record."),
        ("Object.defineProperty(window, 'isSecureContext', {value: false})", "ask your teacher for the https address"),
    ],
    ids=["unsupported", "insecure"],
)
def test_where_it_can_not_be_a_file_still_can(booth: Visit, script: str, words: str) -> None:
    booth.page.add_init_script(script)
    booth.page.reload()
    expect(booth.page.locator("#problem")).to_contain_text(words)
    booth.page.get_by_role("link", name="hand in a file").click()
    expect(booth.page.locator("#drop")).to_be_visible()


def test_who_has_handed_in_enough_is_told_before_recording(ada: Visit, cast: Cast) -> None:
    cast.classroom.max_submissions = 0
    elsewhere(cast.classroom.save)
    ada.page.goto(f"/classes/{cast.classroom.pk}/record/")
    expect(ada.page.locator("#refused")).to_contain_text("as many videos as your class allows")
    expect(ada.page.get_by_role("button", name="Turn on")).to_be_hidden()


@pytest.mark.parametrize(
    ("chromium", "words"),
    [
        ((FAKE_DEVICE, DENIED), "The browser didn’t allow camera and microphone."),
        ((ALLOWED,), "No camera or no microphone was found."),
    ],
    indirect=["chromium"],
    ids=["denied", "no_device"],
)
def test_what_the_browser_refuses_has_its_own_words(booth: Visit, words: str) -> None:
    press(booth, "Turn on camera and microphone")
    expect(booth.page.locator("#problem")).to_contain_text(words)
    press(booth, "I have no camera: sound only")  # and it can be tried again
    in_state(booth, "idle")
