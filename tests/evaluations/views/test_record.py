"""The recorder's page, and the recordings that came from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluations.media import store
from evaluations.media.container import open_media
from tests.conftest import Cast
from tests.evaluations.material import hand_in
from tests.evaluations.media import corpus
from tests.evaluations.views.conftest import signed_in


def test_a_browsers_recording_is_played_from_a_copy_that_seeks(cast: Cast, tmp_path: Path) -> None:
    recording = corpus.browser_recording(tmp_path / "recording.webm").read_bytes()
    submission = hand_in(cast.ada, cast.classroom, content=recording)
    played = signed_in(cast.ada).get(f"/submissions/{submission.pk}/media", headers={"Range": "bytes=0-"})
    (tmp_path / "played.webm").write_bytes(played.content)
    with open_media(tmp_path / "played.webm") as container:
        assert container.duration == pytest.approx(2_000_000, abs=100_000)
    store.verify(submission.path, submission.sha256)
