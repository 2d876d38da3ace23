"""A share of the storm upon the whole of `up` that `make chaos` raises at length; see docs/proof.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.up import TARGETS, storming

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_whatever_is_killed_under_it_up_brings_all_back_and_loses_nothing(tmp_path: Path) -> None:
    with storming(tmp_path / "var", tmp_path / "log", seed=1) as storm:
        storm.strike(storm.chance.sample(sorted(TARGETS), len(TARGETS)))
        storm.calm()
        assert storm.problems() == []
        assert storm.kills.total() >= len(TARGETS) - 1  # one that was down already can't be killed

        # What would be wrong is seen.
        lost, doubled, torn = (one.submission for each in storm.students.values() for one in each.handed_in[:1])
        storm.ask("DELETE FROM evaluations_form WHERE submission_id = %s RETURNING 1", lost)
        storm.ask(
            "INSERT INTO queueing_task (submission_id, owner_key, pipeline, stage, state, turn, failures, crashes,"
            " retried, error_code, error_detail, epoch, progress_done, progress_total, sequence)"
            " SELECT submission_id, owner_key, pipeline, 'transcribe', 'queued', turn, 0, 0, false, '', '', 0, 0, 0, 1"
            " FROM queueing_task WHERE submission_id = %s RETURNING 1",
            doubled,
        )
        [(path,)] = storm.ask("SELECT path FROM evaluations_submission WHERE id = %s", torn)
        (tmp_path / "var" / "media" / path).write_bytes(b"torn")
        found = "\n".join(storm.problems())
        assert f"{lost}: it has [1, 0, 1] transcripts, forms and ratings" in found
        assert f"{doubled}: its tasks are ['done', 'queued']" in found
        assert f"{torn}: other bytes" in found
    assert storm.after_the_end() == []
