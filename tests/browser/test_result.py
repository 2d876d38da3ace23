"""The result page in a real browser: hear it, follow it, read it, print it."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from evaluations.models import Evaluation, Form, Submission, Transcript
from evaluations.stages.names import Stage
from queueing.models import Task, Worker
from tests.browser.conftest import Visit, elsewhere
from tests.browser.test_student import clip, tab_to, until
from tests.conftest import Cast
from tests.evaluations.material import SAID, claim, finish, hand_in, write_long_results, write_operations

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

SCORES = {"Clarity": 6.2, "Confidence": 7.1, "Content": 8.3}
PLAYER = "document.getElementById('player')"
SENTENCE = ".transcript li[aria-current=true]"
WORD = ".word[aria-current=true]"


def rated(cast: Cast, **given: Any) -> Submission:
    submission = hand_in(cast.ada, cast.classroom, name="mine.webm", content=clip().read_bytes())
    write_long_results(submission, scores=SCORES, **given)
    finish(submission)
    return submission


def opened(visit: Visit, submission: Submission, at: str = "") -> Visit:
    visit.page.goto(f"/submissions/{submission.pk}/{at}")
    until(visit.page, f"{PLAYER}.readyState > 0")
    return visit


def now(visit: Visit) -> float:
    return float(visit.page.evaluate(f"{PLAYER}.currentTime"))


@pytest.fixture
def result(ada: Visit, cast: Cast) -> Visit:
    """Ada at her result."""
    return opened(ada, elsewhere(rated, cast))


def test_a_word_a_quote_and_a_place_on_the_strip_each_seek(result: Visit) -> None:
    page = result.page
    page.locator(".word", has_text="mathematics").click()
    until(page, f"{PLAYER}.currentTime >= 10.6")
    assert now(result) < 12
    page.locator(".quote", has_text=SAID[0]).click()
    until(page, f"{PLAYER}.currentTime < 3")
    page.locator(".speaking .pause").first.click()
    until(page, f"{PLAYER}.currentTime >= 5 && {PLAYER}.currentTime < 8")


def test_space_and_escape_pause_what_plays_wherever_the_reader_is(result: Visit) -> None:
    page = result.page
    word = page.locator(".word", has_text="mathematics")
    for key in ("Space", "Escape"):
        word.click()
        until(page, f"!{PLAYER}.paused && {PLAYER}.currentTime >= 10.6")
        page.keyboard.press(key)
        until(page, f"{PLAYER}.paused")


def test_the_transcript_follows_the_player_by_sentence_and_word(result: Visit) -> None:
    page = result.page
    page.locator(".word", has_text="Hello").click()
    expect(page.locator(SENTENCE)).to_contain_text(SAID[0])
    expect(page.locator(WORD)).to_have_text("my")
    expect(page.locator(SENTENCE)).to_contain_text(SAID[1])
    assert page.locator("main [aria-current=true]").count() <= 2
    page.evaluate(f"{PLAYER}.pause(); {PLAYER}.currentTime = 16.9")
    expect(page.locator(SENTENCE)).to_have_count(0)  # nothing is said there


def test_captions_show_what_is_said(result: Visit) -> None:
    result.page.locator(".word", has_text="Hello").click()
    track = f"{PLAYER}.textTracks[0]"
    until(result.page, f"{track}.mode === 'showing' && {track}.activeCues?.length === 1")
    assert result.page.evaluate(f"{track}.activeCues[0].text") == "Hello, my name is Ada and I am eleven\nyears old."
    assert result.page.evaluate(f"{track}.cues.length") == 6


def test_a_link_to_a_second_starts_there(ada: Visit, cast: Cast) -> None:
    opened(ada, elsewhere(rated, cast), at="#t=10.5")
    until(ada.page, f"{PLAYER}.currentTime === 10.5")
    expect(ada.page.locator(SENTENCE)).to_contain_text(SAID[3])
    ada.page.evaluate("location.hash = '#t=2.7'")
    until(ada.page, f"{PLAYER}.currentTime === 2.7")
    ada.page.evaluate("location.hash = '#t=alert(1)'")
    assert now(ada) == 2.7


def test_one_tab_stop_leads_to_every_word(result: Visit) -> None:
    page = result.page
    tab_to(result, "0:00")
    while page.evaluate("document.activeElement.closest('.transcript') === null"):
        page.keyboard.press("Tab")
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    expect(page.locator(":focus")).to_have_text("in")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "button"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    until(page, f"{PLAYER}.currentTime >= 2.7")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(":focus")).to_have_text("Um,")
    page.keyboard.press("End")
    expect(page.locator(":focus")).to_have_text("listening!")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.transcript') === null")
    assert page.locator(".transcript [tabindex='0']").count() == 1
    assert page.locator(".transcript [role=button]").count() == 0  # text again, to whoever has it read aloud


def draw(submission: Submission) -> None:
    """As a worker does, with leaves that a test knows."""
    waiting = Task.objects.live().get(submission=submission, pipeline="mind_map")
    worker = Worker.objects.create(node="lab-pc", pid=1)
    (task,) = Task.objects.take([waiting.pk], worker=worker, lease_seconds=60)
    write_operations(submission)
    task.advance(took=1.0)


def test_a_mind_map_is_asked_for_comes_by_itself_and_its_leaves_are_heard(ada: Visit, cast: Cast) -> None:
    submission = elsewhere(rated, cast)
    page = opened(ada, submission).page
    button = page.locator("#mind-map-button")
    button.press("Enter")
    expect(button).to_have_attribute("aria-disabled", "true")
    expect(page.locator("#announcer")).to_have_text("It is being made.")
    button.press("Enter")
    expect(page.locator("#announcer")).to_contain_text("nothing new was begun")
    elsewhere(draw, submission)
    expect(page.locator(".mind-map .leaf")).to_have_count(2)  # by itself
    expect(page.locator("#mind-map-button:focus")).to_have_text("Draw the mind map again")
    page.locator(".mind-map .leaf").last.click()
    until(page, f"{PLAYER}.currentTime >= 7")
    leaf = page.locator(".map-list .quote").first
    expect(leaf).to_contain_text("climb on rocks")
    leaf.press("Enter")
    until(page, f"{PLAYER}.currentTime >= 2.7 && {PLAYER}.currentTime < 6")
    with page.expect_download() as saved:
        page.get_by_role("link", name="Markdown").click()
    assert "climb on rocks" in saved.value.path().read_text()
    page.emulate_media(media="print")
    for kept in (page.locator("svg.mind-map"), leaf, page.locator(".mind-map .leaf").last):
        expect(kept).to_be_visible()
    for gone in (button, page.get_by_role("link", name="Markdown", include_hidden=True)):
        expect(gone).to_be_hidden()


def test_the_transcript_follows_by_itself_until_the_reader_scrolls_away(ada: Visit, cast: Cast) -> None:
    ada.page.emulate_media(reduced_motion="reduce")
    opened(ada, elsewhere(rated, cast, said=[*SAID * 10]))
    page, box = ada.page, ada.page.locator(".transcript")
    top = "document.querySelector('.transcript').scrollTop"

    def said_at(number: int) -> None:
        page.evaluate(f"{PLAYER}.currentTime = document.querySelectorAll('.transcript li')[{number}].dataset.start")

    page.evaluate(f"{PLAYER}.pause()")
    page_top = page.evaluate("scrollY")
    said_at(8)
    said_at(5)
    assert page.evaluate(top) == 0  # it is in sight
    page.evaluate("document.querySelector('.transcript').style.maxHeight = '6rem'")
    said_at(7)
    until(page, f"{top} > 0")
    assert page.evaluate("scrollY") == page_top  # the page stays where it is
    box.hover()
    page_top = page.evaluate("scrollY")
    page.mouse.wheel(0, 1000)
    until(page, f"{top} > 900")
    away = page.evaluate(top)
    said_at(2)
    expect(page.locator(SENTENCE)).to_contain_text(SAID[2])
    assert page.evaluate(top) == away
    assert page.evaluate("scrollY") == page_top


def test_what_comes_later_joins_without_stopping_the_player(ada: Visit, cast: Cast) -> None:
    submission = elsewhere(hand_in, cast.ada, cast.classroom, name="mine.webm", content=clip().read_bytes())
    opened(ada, submission)
    page = ada.page
    page.evaluate(f"{PLAYER}.currentTime = 1; {PLAYER}.loop = true; {PLAYER}.play()")
    page.evaluate(
        f"window.stops = 0; for (const t of ['pause', 'emptied']) {PLAYER}.addEventListener(t, () => stops++)"
    )
    assert page.locator("track").count() == 0

    elsewhere(only_transcribe, submission)
    expect(page.get_by_role("heading", name="Transcript")).to_be_visible()
    expect(page.get_by_role("heading", name="How you spoke")).to_be_visible()
    expect(page.locator("#results")).to_contain_text("The result will show up here")
    until(page, f"{PLAYER}.textTracks[0]?.mode === 'showing' && {PLAYER}.textTracks[0].cues?.length > 0")
    expect(page.locator(SENTENCE)).to_have_count(1)

    page.locator("#places summary").click()
    word = page.locator(".word", has_text="mathematics").element_handle()
    word.focus()
    page.locator(".transcript button").first.focus()
    page.keyboard.press("ArrowRight")
    elsewhere(rate, submission)
    expect(page.get_by_role("heading", name="Scores")).to_be_visible()
    assert word.evaluate("element => element.isConnected")  # whoever reads keeps their place
    expect(page.locator(":focus")).to_have_text("Hello,")
    expect(page.locator("#places")).to_have_attribute("open", "")
    assert page.locator("track").count() == 1
    assert page.evaluate("stops") == 0


def only_transcribe(submission: Submission) -> None:
    write_long_results(submission, scores=SCORES)
    Evaluation.objects.all().delete()
    Form.objects.all().delete()
    claim(submission).advance(took=1.0)


def rate(submission: Submission) -> None:
    transcript = Transcript.objects.get()
    Transcript.objects.all().delete()
    write_long_results(submission, scores=SCORES)
    Transcript.objects.all().delete()
    transcript.save(force_insert=True)
    for _ in (Stage.EXTRACT, Stage.RATE):
        claim(submission).advance(took=1.0)


def test_paper_gets_everything_that_helps_and_no_controls(result: Visit) -> None:
    page = result.page
    page.locator(".word").first.click()
    marked = page.locator(".transcript li[aria-current]")
    expect(marked).to_be_visible()
    page.emulate_media(media="print", color_scheme="dark")
    expect(marked).to_have_css("box-shadow", "none")
    for gone in ("#player", "header", "footer", "#timeline", "#places", ".row-actions"):
        expect(page.locator(gone).first).to_be_hidden()
    for kept in (".radar svg", ".speaking", "#scores-heading", "#form-heading", ".transcript li >> nth=-1"):
        expect(page.locator(kept)).to_be_visible()
    expect(page.get_by_text("By ada in Group of Ms Teacher")).to_be_visible()
    box = "document.querySelector('.transcript')"
    assert page.evaluate(f"{box}.scrollHeight === {box}.clientHeight")  # nothing is cut off
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") in (
        "rgb(255, 255, 255)",
        "rgba(0, 0, 0, 0)",
    )
    assert page.pdf().startswith(b"%PDF")


@pytest.mark.parametrize(
    "visit", [{"viewport": {"width": 360, "height": 740}, "has_touch": True}], indirect=True, ids=["phone"]
)
def test_a_word_can_be_tapped_on_a_phone(ada: Visit, cast: Cast) -> None:
    opened(ada, elsewhere(rated, cast))
    elsewhere(rated_before, cast)
    ada.page.reload()
    assert ada.page.evaluate("document.documentElement.scrollWidth") <= 360
    until(ada.page, f"{PLAYER}.readyState > 0")
    word = ada.page.locator(".word", has_text="mathematics")
    word.tap()
    until(ada.page, f"{PLAYER}.currentTime >= 10.6")
    for seen in (word, ada.page.locator("#player")):
        expect(seen).to_be_in_viewport(ratio=0.9)  # what is read and who says it


def rated_before(cast: Cast) -> None:
    write_long_results(hand_in(cast.ada, cast.classroom, name="x" * 200), scores=dict.fromkeys(SCORES, 5.0))
