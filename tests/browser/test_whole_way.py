"""The whole way, with nothing simulated: a browser, the site, a worker, real speech, a real language model."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from evaluations import demo
from tests.browser.conftest import Visit, process
from tests.processes.conftest import MANAGE

WORK_MS = 150_000  # for one short clip on two busy cores, models loaded from cold

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.django_db(transaction=True)]


def test_a_clip_goes_in_and_a_rating_comes_out(ada: Visit, tmp_path: Path) -> None:
    clip = min((clip for clip in demo.clips() if clip.expect == "completed"), key=lambda clip: len(clip.words or ""))
    row = ada.row(clip.file)
    with process(MANAGE, "run_phase_worker", log=tmp_path / "worker.log"):
        ada.page.locator("#drop input").set_input_files(str(clip.path))
        expect(row).to_be_visible()
        expect(row.locator(".badge")).to_have_text("done", timeout=WORK_MS)
    row.get_by_role("link", name="See the result").click()
    for heading in ("Scores", "How you spoke", "What you said about yourself", "Transcript"):
        expect(ada.page.get_by_role("heading", name=heading)).to_be_visible()
    expect(ada.page.locator("#results")).to_contain_text("No scores.")  # the small model can't judge
    heard = ada.page.locator(".transcript").inner_text().lower()
    said = [word for word in (clip.words or "").lower().split() if word.isalpha() and len(word) > 4]
    assert sum(word in heard for word in said) > len(said) / 2
