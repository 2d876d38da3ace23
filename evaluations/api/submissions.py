"""A student's videos: their status, their results, and retry, cancel and delete."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from django.db.models import Count, Max, Min, Q
from django.http import HttpRequest
from ninja import Router
from ninja import Status as Answer

from evaluations import actions
from evaluations.access import limits, permissions
from evaluations.access.permissions import get_visible_submission, signed_in
from evaluations.actions import decisions, trail
from evaluations.api import schemas
from evaluations.api.describing import documented
from evaluations.coaching.operations import requests
from evaluations.errors import catalogue
from evaluations.errors.refusals import RefusedError
from evaluations.models import MIND_MAP, SUMMARY, Evaluation, Form, MindMap, Submission, Summary, Transcript, corrected
from evaluations.pages import result, rows
from evaluations.pages.rows import SubmissionRow
from evaluations.stages.names import Stage, StageStatus
from queueing import pipelines
from queueing.models import Attempt, Event, Task
from queueing.states import State, Status

router = Router(tags=["videos"])
_GROUPS: Final = {
    State.QUEUED: "pending",
    State.RUNNING: "processing",
    State.DONE: "completed",
    State.FAILED: "failed",
    State.CANCELLED: "failed",
}
_TRIES: Final[dict[str, Any]] = {
    "first": Min("began_at"),
    "failed": Count("pk", filter=~Q(outcome__in=("", "succeeded"))),
}
_OPERATION: Final = {202: schemas.OperationOut, **documented(schemas.OperationOut, 403, 404, 409)}


@router.get("/status/{uuid:pk}", response=documented(schemas.Video, 404))
def status(request: HttpRequest, pk: uuid.UUID) -> schemas.Video:
    """Where one video is: status, stage, place in the line, why it waits, progress, error."""
    return _video(get_visible_submission(request, pk))


@router.get("/my-videos", response=documented(schemas.MyVideos))
def my_videos(request: HttpRequest) -> schemas.MyVideos:
    """All of your own videos, by what has become of them."""
    found = rows.of_student(signed_in(request), rows.read_queue())
    groups: dict[str, list[schemas.Video]] = {"completed": [], "processing": [], "failed": [], "pending": []}
    for row, each in zip(found, videos(found), strict=True):
        groups[_GROUPS[State(row.task.state)]].append(each)
    return schemas.MyVideos(**groups)


@router.get("/submissions/{uuid:pk}/results", response=documented(schemas.Results, 404))
def results(request: HttpRequest, pk: uuid.UUID) -> dict[str, Any]:
    """What there is so far: transcript, form, evaluation as far as you may see it, and every attempt."""
    found = get_visible_submission(request, pk)
    there = found.results()
    rated, transcript = there.evaluation, there.transcript and corrected(there.transcript)
    shown = rated if rated and permissions.may_see(signed_in(request), rated, found.classroom) else None
    return {
        "submission_id": found.pk,
        "transcript": transcript,
        "form": there.form,
        "evaluation": _counting(shown, transcript, there.form) if shown else None,
        "is_hidden": rated is not None and shown is None,
        "summary": Summary.objects.filter(submission=found).first(),
        "mind_map": MindMap.objects.filter(submission=found).first(),
        "attempts": [_attempt(one) for one in found.evaluation_task.attempts.order_by("began_at")],
    }


@router.post("/submissions/{uuid:pk}/retry", response=documented(schemas.Video, 403, 404, 409))
def retry(request: HttpRequest, pk: uuid.UUID) -> schemas.Video:
    """Try again from the stage that failed; 409 when it neither failed nor was cancelled."""
    return _move(request, pk, actions.retry, otherwise="nothing_to_retry")


@router.post("/submissions/{uuid:pk}/cancel", response=documented(schemas.Video, 403, 404, 409))
def cancel(request: HttpRequest, pk: uuid.UUID) -> schemas.Video:
    """Stop the work on it, waiting or running; the video stays. 409 when the work has ended."""
    return _move(request, pk, actions.cancel, otherwise="nothing_to_cancel")


@router.delete("/submissions/{uuid:pk}", response=documented(None, 403, 404, success=204))
def delete(request: HttpRequest, pk: uuid.UUID) -> Answer[None]:
    """Delete it for good: video, transcript, result, and the work on it, even while that runs. Can't be undone."""
    actions.delete(submission=get_visible_submission(request, pk), by=signed_in(request))
    return Answer(204, None)


@router.get("/llm/processing-status/{uuid:pk}", response=documented(schemas.Processing, 404))
def processing_status(request: HttpRequest, pk: uuid.UUID) -> dict[str, Any]:
    """Whether a summary or a mind map of it is being made: each of them at most once at a time."""
    return requests.status_of(get_visible_submission(request, pk)).as_dict()


@router.post("/llm/{uuid:pk}/summary", response=_OPERATION)
def summary(request: HttpRequest, pk: uuid.UUID) -> Answer[dict[str, Any]]:
    """Have its transcript summed up. 200 with `skipped` while that is under way: the request is not queued."""
    return _operation(request, pk, SUMMARY)


@router.post("/llm/{uuid:pk}/mind-map", response=_OPERATION)
def mind_map(request: HttpRequest, pk: uuid.UUID) -> Answer[dict[str, Any]]:
    """Have a mind map drawn of its transcript. 200 with `skipped` while that is under way."""
    return _operation(request, pk, MIND_MAP)


def _operation(request: HttpRequest, pk: uuid.UUID, pipeline: str) -> Answer[dict[str, Any]]:
    found = get_visible_submission(request, pk)
    if not requests.can_be_made(found):
        raise RefusedError(409, "no_transcript")
    began = requests.request(submission=found, pipeline=pipeline)
    if began:
        trail.record_for_others(trail.Verb.MOVED, found, what=pipeline)
    return Answer(202 if began else 200, {**requests.status_of(found).as_dict(), "skipped": not began})


def videos(found: Sequence[SubmissionRow]) -> list[schemas.Video]:
    """Rows of the pages' lists as the API returns them; by a few queries for all of them."""
    tasks = [row.task.pk for row in found]
    tried = Attempt.objects.filter(task__in=tasks).order_by().values("task").annotate(**_TRIES)
    tries = {one["task"]: one for one in tried}
    changed = dict(Event.objects.filter(task__in=tasks).order_by().values_list("task").annotate(at=Max("at")))
    released = [row.submission.evaluation_id or 0 for row in found if row.rating.is_released]
    ratings = decisions.counting(Evaluation.objects.filter(pk__in=released)) if released else []
    overall = {one.submission_id: one.overall for one in ratings}
    return [
        _described(row, tries.get(row.task.pk, {}), changed.get(row.task.pk), overall.get(row.submission.pk))
        for row in found
    ]


def video(row: SubmissionRow) -> schemas.Video:
    """One of them."""
    (only,) = videos([row])
    return only


def _described(
    row: SubmissionRow, tries: Mapping[str, Any], changed_at: datetime | None, overall: float | None
) -> schemas.Video:
    task, found = row.task, row.submission
    needed = pipelines.get(task.pipeline).stage(task.stage).phase
    progress = schemas.ProgressOut(done_seconds=task.progress_done, total_seconds=task.progress_total)
    return schemas.Video(
        submission_id=found.pk,
        classroom_id=found.classroom_id,
        name=found.original_name,
        handed_in_at=found.created_at,
        size_bytes=found.size,
        duration_seconds=found.duration,
        damage=_damage(found),
        status=_status(task),
        status_words=str(task.status.label),
        stage=Stage(task.stage),
        phase=needed if row.is_live else None,
        position=row.position,
        waiting=row.queue.line.length(),
        estimate=schemas.EstimateOut(**asdict(row.estimate)) if row.estimate else None,
        why=row.why,
        progress=row.percent,
        stage_progress=progress if row.has_progress else None,
        estimated_completion=row.estimated_completion,
        batch_id=task.batch_id,
        priority=task.priority,
        retry_count=tries.get("failed", 0),
        started_at=tries.get("first"),
        last_updated=changed_at or found.created_at,
        overall=overall,
        error=_problem(task.error_code, row.error_id, row.detail),
        is_hidden=row.is_held,
        can_retry=row.can_retry,
        can_cancel=row.is_live,
        sequence=task.sequence,
    )


def _counting(rated: Evaluation, transcript: Transcript | None, form: Form | None) -> dict[str, Any]:
    """A rating with what people decided."""
    stand = decisions.standing(rated)
    counts = decisions.as_it_counts(rated, stand)
    counts.feedback, counts.suggestions = result.advice(counts, transcript, form)
    beside = {"overall_by_program": rated.overall, "comment": stand.comment}
    return {name: getattr(counts, name) for name in schemas.EvaluationOut.model_fields if name not in beside} | beside


def _status(task: Task) -> StageStatus | Status:
    word = task.status
    return Status(word.value) if isinstance(word, Status) else StageStatus(word.value)


def _video(found: Submission) -> schemas.Video:
    return video(rows.one(found))


def _move(request: HttpRequest, pk: uuid.UUID, verb: Callable[..., bool], *, otherwise: str) -> schemas.Video:
    found = get_visible_submission(request, pk)
    limits.spend_moves(signed_in(request), [found.pk])
    if not verb(submission=found, by=signed_in(request)):
        raise RefusedError(409, otherwise)
    return _video(found)


def _damage(found: Submission) -> schemas.Damage | None:
    if found.damaged_at is None:
        return None
    words = catalogue.of_damage(found.damaged_at, ends_early=found.ends_early)
    return schemas.Damage(at_seconds=found.damaged_at, ends_early=found.ends_early, words=words)


def _problem(code: str, id: str, detail: str = "") -> schemas.Problem | None:
    return schemas.Problem(**catalogue.problem(code, id=id, detail=detail)) if code else None


def _attempt(one: Attempt) -> schemas.AttemptOut:
    return schemas.AttemptOut(
        stage=Stage(one.stage),
        began_at=one.began_at,
        ended_at=one.ended_at,
        outcome=one.outcome,
        compute_seconds=one.compute_seconds,
        error=_problem(one.error_code, f"{one.task_id}-{one.epoch}"),
    )
