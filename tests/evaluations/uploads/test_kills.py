"""A kill -9 at any step of handing in or deleting: nothing is lost or there twice, and the next upkeep completes it."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

import pytest
from django.conf import settings
from django.db import connections
from django.db.models.functions import Now

from evaluations import actions
from evaluations.media import store
from evaluations.models import Deletion, Submission, Upload
from evaluations.uploads import intake
from evaluations.uploads.audit import audit
from queueing.models import Task
from tests.conftest import Cast
from tests.evaluations.material import hand_in, write_results

pytestmark = pytest.mark.django_db(transaction=True)

FILE_CALLS = {"fsync", "rename", "mkdir", "unlink", "rmdir"}
DATABASE_CALLS = {"execute", "_commit", "_savepoint_commit"}  # of Django's cursor and connection
MODULES = ("evaluations/media/store.py", "django/db/backends/", "pathlib.py")


def complete_upload(cast: Cast, number: int) -> tuple[Upload, bytes]:
    content = f"video {number}".encode() * 1000
    size = len(content)
    upload = Upload.objects.create(
        student=cast.ada, classroom=cast.classroom, length=size, offset=size, expires_at=Now()
    )
    staged = settings.UPLOADS_DIR / str(upload.pk)
    staged.parent.mkdir(exist_ok=True)
    staged.write_bytes(content)
    return upload, content


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Do `work` in a process that is killed -9 before its `step`-th step; False when it ended before."""
    connections.close_all()  # the two processes must not share one
    child = os.fork()
    if child == 0:
        _work_until(step, work)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def _work_until(step: int, work: Callable[[], object]) -> None:
    steps = itertools.count()

    def trace(frame: FrameType, event: str, called: object) -> None:
        code = frame.f_code
        name = getattr(called, "__name__", "") if event == "c_call" else code.co_name if event == "call" else ""
        wanted = FILE_CALLS if event == "c_call" else DATABASE_CALLS
        if name in wanted and any(part in code.co_filename for part in MODULES) and next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(trace)
    with contextlib.suppress(BaseException):
        work()


def test_a_kill_at_any_step_loses_nothing_and_the_next_upkeep_hands_it_in(cast: Cast, disk: Path) -> None:
    seen_without_a_row = 0
    for step in range(200):
        upload, content = complete_upload(cast, step)
        killed = killed_at(step, intake.expire_uploads)

        left = audit(deep=True)
        assert left.sound
        assert not left.orphaned
        seen_without_a_row += len(left.arriving)

        intake.expire_uploads()
        submission = Submission.objects.get(pk=upload.pk)
        assert store.locate(submission.path).read_bytes() == content
        assert Task.objects.filter(submission=submission).count() == 1
        assert not (disk / "uploads" / str(upload.pk)).exists()
        after = audit(deep=True)
        assert after.sound
        assert after.arriving == after.orphaned == after.strays == frozenset()
        if not killed:
            break
    assert not killed
    assert step > 20
    assert seen_without_a_row > 5  # the kill did come between the rename and the commit


def test_a_kill_at_any_step_of_a_deletion_leaves_all_or_nothing_and_the_next_upkeep_removes_the_rest(
    cast: Cast, disk: Path
) -> None:
    seen_leaving = 0
    for step in range(200):
        submission = hand_in(cast.ada, cast.classroom)
        write_results(submission)
        store.locate(submission.path).with_name(store.COPY).write_bytes(b"copy")
        killed = killed_at(step, partial(actions.delete, submission=submission, by=cast.ada))

        left = audit(deep=True)
        assert left.sound
        assert not left.orphaned
        seen_leaving += bool(left.leaving)
        if Submission.objects.filter(pk=submission.pk).exists():
            assert submission.evaluation_task.state == "queued"
            assert not left.leaving
            actions.delete(submission=submission, by=cast.ada)

        actions.remove_files_of_deleted()
        assert not (disk / "media" / submission.path).parent.exists()
        assert not Task.objects.exists()
        assert Deletion.objects.get(pk=submission.pk).files_gone_at is not None
        after = audit(deep=True)
        assert after.leaving == after.orphaned == after.strays == frozenset()
        if not killed:
            break
    assert not killed
    assert step > 20
    assert seen_leaving > 1  # the kill did come between the commit and the last file
