"""H, J, BB: what a device made ends on the page as words or as a true reason. Only the judge is simulated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from evaluations import demo
from evaluations.media.decode import decode
from tests.browser.conftest import Visit, process
from tests.browser.test_student import choose
from tests.browser.test_whole_way import WORK_MS
from tests.evaluations.media import corpus
from tests.evaluations.media.corpus import Recipe, Sound
from tests.evaluations.uploads.test_kinds_of_files import document
from tests.processes.conftest import MANAGE
from tests.processes.test_demo_class import plain

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.django_db(transaction=True)]

NO_RECORDINGS = {
    "notes.docx": (document(), "This is not a video or a recording"),
    "empty.mp4": (b"", "The file is empty"),
    "six.mp4": (b"\0\0\0\1\2\3", "This is not a video or a recording"),
    "sun.au": (b".snd" + bytes(5000), "This kind of recording is not supported"),
}
DEVICES = (
    Recipe("dictation.amr", "amr", "libopencore_amrnb", "amr", "audio/amr", rate=8_000),
    Recipe("recorder.wma", "asf", "wmav2", "asf", "audio/x-ms-wma"),
    Recipe("old camera.avi", "avi", "adpcm_ima_wav", "avi", "video/x-msvideo", video="msmpeg4"),
)


@pytest.fixture(scope="module")
def clip() -> demo.DemoClip:
    return next(clip for clip in demo.clips() if clip.file == "grace.ogg")


@pytest.fixture
def spoken(clip: demo.DemoClip) -> Sound:
    return decode(clip.path, max_seconds=600).samples


def test_what_is_no_recording_is_refused_when_it_is_chosen_and_what_is_one_is_understood(
    ada: Visit, clip: demo.DemoClip, spoken: Sound, tmp_path: Path
) -> None:
    for name, (content, words) in NO_RECORDINGS.items():
        (tmp_path / name).write_bytes(content)
        choose(ada, tmp_path / name)
        expect(ada.page.locator("#uploads .row").filter(has_text=name)).to_contain_text(words)
    ada.complaints.clear()  # the browser writes every 415 on its console

    # As many as a student may hand in within an hour: what was refused does not count.
    hum, silence = corpus.tone(len(spoken) / 16_000, 16_000)[: len(spoken)], np.zeros_like(spoken)
    recordings = [corpus.make(tmp_path / each.name, each, sound=spoken) for each in DEVICES]
    recordings.append(corpus.with_tracks(tmp_path / "opposite.mkv", [[spoken, -spoken]]))
    recordings.append(corpus.with_tracks(tmp_path / "three tracks.mkv", [[silence], [hum], [spoken]]))
    simulated = {"LLM_PROTOCOL": "simulated", "SIMULATED_SECONDS": "0.05", "BATCH_MAX_WAIT_SECONDS": "0.1"}
    with process(MANAGE, "run_phase_worker", log=tmp_path / "worker.log", **simulated):
        choose(ada, *recordings)
        for made in recordings:
            expect(ada.row(made.name).locator(".badge")).to_have_text("done", timeout=WORK_MS)

    said = {word for word in plain(clip.words or "").split() if len(word) > 4}
    for made in recordings:
        ada.page.goto("/")
        ada.row(made.name).get_by_role("link", name="See the result").click()
        heard = ada.page.locator(".transcript").inner_text().lower()
        assert sum(word in heard for word in said) >= 0.8 * len(said), made.name
        expect(ada.page.get_by_text("damaged")).to_have_count(0)
        expect(ada.page.locator("#no-picture")).to_be_visible(visible=made.suffix == ".avi")
