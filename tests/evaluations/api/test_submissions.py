"""Where a student's video is, what came of it, and what can be done about it: the same answers as the pages'."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from evaluations.errors import catalogue
from evaluations.models import Form, Submission
from queueing.exceptions import Permanent, Transient
from queueing.forecast.published import Estimate, PlaceInLine, publish
from queueing.models import Forecast, Pause, Worker, in_seconds
from tests.conftest import Cast
from tests.evaluations.api.conftest import ask, send
from tests.evaluations.material import (
    SAID,
    claim,
    fail,
    finish,
    foretell,
    hand_in,
    pushed_to,
    write_long_results,
    write_operations,
    write_results,
)
from tests.evaluations.views.conftest import signed_in


def listed(cast: Cast) -> list[dict[str, Any]]:
    """Ada's videos, whichever group they are in."""
    return [row for group in ask(cast.ada, "my-videos").values() for row in group]


def test_my_videos_are_grouped_by_what_became_of_them(cast: Cast) -> None:
    pending, running, failed, cancelled, done = (hand_in(cast.ada, cast.classroom) for _ in range(5))
    claim(running)
    fail(failed, Permanent("x", code="no_audio"))
    cancelled.evaluation_task.cancel(by="x")
    write_results(done)
    finish(done)
    said = ask(cast.ada, "my-videos")
    assert {group: [row["submission_id"] for row in found] for group, found in said.items()} == {
        "completed": [str(done.pk)],
        "processing": [str(running.pk)],
        "failed": [str(cancelled.pk), str(failed.pk)],
        "pending": [str(pending.pk)],
    }
    assert (said["completed"][0]["progress"], said["completed"][0]["overall"]) == (100, 7.5)
    assert [row["progress"] for row in said["failed"]] == [None, None]
    assert said["pending"][0]["overall"] is None


def test_a_score_that_is_not_released_is_not_told(cast: Cast, waiting: Submission) -> None:
    write_results(waiting, released_at=None)
    finish(waiting)
    assert ask(cast.ada, f"status/{waiting.pk}")["overall"] is None


def test_a_videos_tries_and_times_are_told(cast: Cast, waiting: Submission) -> None:
    assert ask(cast.ada, f"status/{waiting.pk}")["started_at"] is None
    task = claim(waiting)
    task.retry_later(Transient("x", code="engine_busy"), 0, took=1.0)
    said = ask(cast.ada, f"status/{waiting.pk}")
    assert said["retry_count"] == 1
    assert waiting.created_at.isoformat()[:19] <= said["started_at"] <= said["last_updated"]


def test_progress_is_of_the_whole_way_and_never_shrinks(cast: Cast, waiting: Submission) -> None:
    Worker.objects.create(node="lab-pc", pid=1)
    seen = []
    for seconds in (200, 150, 180, 50):  # a setback in between
        progress_by_forecast(waiting, seconds)
        said = ask(cast.ada, f"status/{waiting.pk}")
        seen.append(said["progress"])
    assert seen == [0, 25, 25, 75]
    until = datetime.fromisoformat(said["estimated_completion"]) - Forecast.objects.get().made_at
    assert until.total_seconds() == pytest.approx(50, abs=1)
    Forecast.objects.update(made_at=in_seconds(-60))
    said = ask(cast.ada, f"status/{waiting.pk}")
    assert (said["progress"], said["estimated_completion"]) == (75, None), "nobody estimates any more"


def progress_by_forecast(submission: Submission, seconds: float) -> None:
    """One round of a worker's forecast."""
    pk = submission.evaluation_task.pk
    with Forecast.objects.renew(0) as row:
        assert row
        place = PlaceInLine(pk, 0, setbacks=int(seconds == 180))
        row.publish(publish({pk: Estimate(seconds, seconds)}, [place], row.published, same_lab=True), which_lab="x")


def test_a_waiting_video_has_a_place_in_the_line_and_a_reason(cast: Cast, waiting: Submission) -> None:
    hand_in(cast.bo, cast.classroom)
    said = ask(cast.ada, f"status/{waiting.pk}")
    assert said["submission_id"] == str(waiting.pk)
    assert (said["name"], said["size_bytes"]) == ("hello.mp4", waiting.size)
    assert (said["status"], said["status_words"], said["stage"], said["phase"]) == (
        "uploaded",
        "uploaded",
        "transcribe",
        "stt",
    )
    assert (said["position"], said["waiting"]) == (1, 2)
    assert said["why"] == (
        "The computer that does the work is not running at the moment."
        " Your video is safe: work on it goes on by itself."
    )
    assert (said["progress"], said["stage_progress"], said["error"]) == (0, None, None)
    assert (said["can_retry"], said["can_cancel"]) == (False, True)


def test_a_running_one_says_how_many_seconds_of_audio_are_done(cast: Cast, waiting: Submission) -> None:
    task = claim(waiting)
    task.note_progress(12.5, 60.0)
    said = ask(cast.ada, f"status/{waiting.pk}")
    assert (said["status"], said["position"]) == ("stt_processing", 1)
    assert said["stage_progress"] == {"done_seconds": 12.5, "total_seconds": 60.0}


def test_a_failed_one_has_the_catalogues_words_and_the_pages_id(cast: Cast, failed: Submission) -> None:
    error = ask(cast.ada, f"status/{failed.pk}")["error"]
    assert {**error, "id": ""} == {"code": "no_audio", **asdict(catalogue.explain("no_audio")), "id": ""}
    page = signed_in(cast.ada).get(f"/submissions/{failed.pk}/").content.decode()
    assert error["title"] in page
    assert error["id"] in page


def test_what_is_for_staff_only_is_not_told(cast: Cast, failed: Submission) -> None:
    for path in (f"status/{failed.pk}", f"submissions/{failed.pk}/results", "my-videos"):
        assert "for staff only" not in str(ask(cast.ada, path))


def test_api_socket_and_page_say_the_same(cast: Cast, waiting: Submission) -> None:
    hand_in(cast.bo, cast.classroom)
    second = hand_in(cast.ada, cast.classroom)
    claim(waiting, Worker.objects.create(node="lab-pc", pid=1))
    pushed = {row["submission_id"]: (row["status"], row["position"]) for row in pushed_to(cast.ada)}
    asked = {row["submission_id"]: (row["status"], row["position"]) for row in listed(cast)}
    assert asked == pushed
    assert asked.keys() == {str(waiting.pk), str(second.pk)}


def test_api_socket_and_page_say_how_long_it_still_takes(cast: Cast, waiting: Submission) -> None:
    Worker.objects.create(node="lab-pc", pid=1)

    def shown() -> tuple[object, str, str]:
        page = signed_in(cast.ada).get("/").content.decode()
        return ask(cast.ada, f"status/{waiting.pk}")["estimate"], pushed_to(cast.ada)[0]["html"], page

    estimate, *htmls = shown()
    assert estimate is None
    assert all("estimating…" in html for html in htmls)
    foretell(waiting, 245.5, 350.0)
    estimate, *htmls = shown()
    assert estimate == {"low_seconds": 245.5, "high_seconds": 350.0}
    assert all("about 4–6 min" in html for html in htmls)
    Pause.objects.start("stt", by="admin:1", reason="fire drill")
    estimate, *htmls = shown()
    assert estimate is None
    assert not any("4–6 min" in html or "estimating" in html for html in htmls)


def test_what_has_ended_takes_no_more_time(cast: Cast, failed: Submission) -> None:
    foretell(failed, 245.5, 350.0)
    assert ask(cast.ada, f"status/{failed.pk}")["estimate"] is None


def test_my_videos_are_mine_newest_first_and_the_same_object_as_their_status(cast: Cast, waiting: Submission) -> None:
    hand_in(cast.bo, cast.classroom)
    newer = hand_in(cast.ada, cast.classroom)
    mine = listed(cast)
    assert [row["submission_id"] for row in mine] == [str(newer.pk), str(waiting.pk)]
    assert mine == [ask(cast.ada, f"status/{pk}") for pk in (newer.pk, waiting.pk)]


def test_a_list_costs_as_many_queries_for_ten_as_for_one(cast: Cast, waiting: Submission) -> None:
    client = signed_in(cast.ada)
    with CaptureQueriesContext(connection) as one:
        client.get("/api/my-videos")
    for _ in range(9):
        hand_in(cast.ada, cast.classroom)
    with CaptureQueriesContext(connection) as ten:
        assert len(client.get("/api/my-videos").json()["pending"]) == 10
    assert len(ten) == len(one)


def test_results_are_shown_as_far_as_they_are(cast: Cast, waiting: Submission) -> None:
    said = ask(cast.ada, f"submissions/{waiting.pk}/results")
    assert (said["transcript"], said["form"], said["evaluation"]) == (None, None, None)
    assert (said["is_hidden"], said["attempts"]) == (False, [])


def test_results_have_times_in_seconds(cast: Cast, waiting: Submission) -> None:
    write_results(waiting, text="I like climbing.")
    said = ask(cast.ada, f"submissions/{waiting.pk}/results")
    word = said["transcript"]["segments"][0]["words"][0]
    assert word == {"start_seconds": 1.5, "end_seconds": 2.0, "text": "I like climbing.", "probability": 0.4}
    assert said["transcript"]["duration_seconds"] == 3.0
    assert (said["form"]["hobbies"], said["form"]["age"]) == (["I like climbing."], None)
    assert said["evaluation"]["overall"] == 7.5
    quotes = said["evaluation"]["scores"][0]["items"][0]["sentences"]
    assert quotes == [{"sentence": 1, "quote": "I like climbing.", "start_seconds": 1.5, "end_seconds": 2.0}]
    assert said["evaluation"]["speech"]["words_per_minute"] == 120.4


def test_a_rating_that_is_not_released_is_seen_by_the_teacher_alone(cast: Cast, waiting: Submission) -> None:
    write_results(waiting, released_at=None)
    students = ask(cast.ada, f"submissions/{waiting.pk}/results")
    assert (students["evaluation"], students["is_hidden"]) == (None, True)
    assert students["transcript"]["text"]
    teachers = ask(cast.teacher, f"submissions/{waiting.pk}/results")
    assert (teachers["evaluation"]["overall"], teachers["is_hidden"]) == (7.5, False)
    assert teachers["evaluation"]["released_at"] is None


def test_an_unsupported_answer_of_the_model_is_told_apart(cast: Cast, waiting: Submission) -> None:
    write_results(waiting)
    Form.objects.update(unsupported=[{"field": "age", "value": 17}])
    form = ask(cast.ada, f"submissions/{waiting.pk}/results")["form"]
    assert form["unsupported"] == [{"field": "age", "value": 17}]


def test_attempts_say_how_they_ended(cast: Cast, failed: Submission) -> None:
    (attempt,) = ask(cast.ada, f"submissions/{failed.pk}/results")["attempts"]
    assert (attempt["stage"], attempt["outcome"]) == ("transcribe", "permanent")
    assert attempt["error"]["title"] == catalogue.explain("no_audio").title


def test_a_failed_one_is_tried_again_once(cast: Cast, failed: Submission) -> None:
    assert send(cast.ada, f"submissions/{failed.pk}/retry")["status"] == "retry_queued"
    assert send(cast.ada, f"submissions/{failed.pk}/retry", status=409)["code"] == "nothing_to_retry"


def test_a_teacher_tries_again_too(cast: Cast, failed: Submission) -> None:
    assert send(cast.teacher, f"submissions/{failed.pk}/retry")["status"] == "retry_queued"
    assert failed.evaluation_task.events.get(kind="retry").detail["by"] == str(cast.teacher.pk)


def test_a_waiting_one_is_cancelled_once(cast: Cast, waiting: Submission) -> None:
    assert send(cast.ada, f"submissions/{waiting.pk}/cancel")["status"] == "cancelled"
    assert send(cast.ada, f"submissions/{waiting.pk}/cancel", status=409)["code"] == "nothing_to_cancel"


NOT_PROCESSING = {
    "success": True,
    "summary_processing": False,
    "mind_map_processing": False,
    "any_processing": False,
    "summary_start_time": None,
    "mind_map_start_time": None,
}


def test_a_summary_and_a_mind_map_are_asked_for_once_each(cast: Cast, waiting: Submission) -> None:
    idle = {"session_id": str(waiting.pk), **NOT_PROCESSING}
    assert ask(cast.ada, f"llm/processing-status/{waiting.pk}") == idle
    assert send(cast.ada, f"llm/{waiting.pk}/summary", status=409)["code"] == "no_transcript"
    write_results(waiting)
    began = send(cast.ada, f"llm/{waiting.pk}/summary", status=202)
    since = waiting.tasks.get(pipeline="summary").staged_at.timestamp()
    running = {**idle, "summary_processing": True, "any_processing": True, "summary_start_time": since}
    assert began == {**running, "skipped": False}
    assert send(cast.teacher, f"llm/{waiting.pk}/summary") == {**running, "skipped": True}
    assert ask(cast.ada, f"llm/processing-status/{waiting.pk}") == running
    both = send(cast.ada, f"llm/{waiting.pk}/mind-map", status=202)
    assert (both["summary_processing"], both["mind_map_processing"], both["skipped"]) == (True, True, False)
    assert send(cast.ada, f"llm/{waiting.pk}/mind-map")["skipped"]
    assert waiting.tasks.count() == 3


def test_what_was_made_is_among_the_results_with_its_quotes(cast: Cast, waiting: Submission) -> None:
    assert ask(cast.ada, f"submissions/{waiting.pk}/results")["mind_map"] is None
    write_results(waiting)
    write_operations(waiting)
    found = ask(cast.ada, f"submissions/{waiting.pk}/results")
    leaf = {"text": "climb on rocks", "sentence": 2, "quote": SAID[1], "start_seconds": 2.7, "end_seconds": 5.7}
    assert found["mind_map"]["branches"][0] == {"topic": "hobbies", "leaves": [leaf]}
    assert (found["summary"]["sentences"], found["summary"]["dropped"]) == ([leaf], 1)


def test_feedback_is_composed_in_the_readers_language_as_on_the_page(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    write_long_results(submission, scores={"Clarity": 6.0})
    german = Client(headers={"Accept-Language": "de"})
    german.force_login(cast.ada)
    said = german.get(f"/api/submissions/{submission.pk}/results").json()["evaluation"]
    assert "Du gibst deinen" in said["feedback"]
    page = unescape(german.get(f"/submissions/{submission.pk}/").content.decode())
    assert all(sentence in page for sentence in (said["feedback"], *said["suggestions"]))
    english = ask(cast.ada, f"submissions/{submission.pk}/results")["evaluation"]
    assert english["feedback"] == f"You give your listeners names a plan: “{SAID[0]}”"
    assert english["suggestions"] == ["proves a strength You could start from “climbing”."]


def test_feedback_of_the_method_before_is_as_it_was_written(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    written = write_results(submission, method="levels", rubric=None, feedback="Well done.", suggestions=["Smile."])
    said = ask(cast.ada, f"submissions/{submission.pk}/results")["evaluation"]
    assert (said["feedback"], said["suggestions"]) == (written.feedback, written.suggestions)
