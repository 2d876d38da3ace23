from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from evaluations.models import Classroom, Submission
from evaluations.pages import rows
from evaluations.stages.names import Stage
from queueing import actions
from queueing.exceptions import Infrastructure, Permanent, Transient
from queueing.models import Breaker, Pause, Phase, Task, Worker, in_seconds
from queueing.policy.breaker import BreakerConfig
from queueing.states import PhaseStep, State
from tests.conftest import PASSWORD, Cast
from tests.evaluations.material import HOSTILE, claim, fail, finish, hand_in, write_results
from tests.evaluations.views.conftest import signed_in


def text_of(client: Client, url: str) -> str:
    """A page as a person reads it, with single blanks."""
    html = client.get(url, follow=True).content.decode()
    shown = re.sub(r"<template.*?</template>", "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", shown).split())


def page_of(submission: Submission) -> str:
    return f"/submissions/{submission.pk}/"


# Signing in


def test_a_student_signs_in_and_out(cast: Cast) -> None:
    client = Client()
    assert "Sign in" in text_of(client, "/")
    answer = client.post("/login/", {"username": "ada", "password": PASSWORD}, follow=True)
    assert "Hand in a video" in answer.content.decode()
    assert "Sign in" in client.post("/logout/", follow=True).content.decode()
    assert client.get("/").status_code == 302


def test_guessing_locks_the_pair_of_name_and_address_and_says_so(cast: Cast, settings: Settings) -> None:
    settings.AXES_FAILURE_LIMIT = 3
    client = Client()
    for _ in range(2):
        page = client.post("/login/", {"username": "ada", "password": "wrong"}).content.decode()
        assert "don’t match" in page
    assert "Too many tries" in client.post("/login/", {"username": "ada", "password": "wrong"}).content.decode()
    assert "Too many tries" in client.post("/login/", {"username": "ada", "password": PASSWORD}).content.decode()
    # The class shares one address: the others still get in.
    assert client.post("/login/", {"username": "bo", "password": PASSWORD}).status_code == 302


def test_signing_in_leads_to_no_other_site(cast: Cast) -> None:
    given = {"username": "ada", "password": PASSWORD, "next": "https://evil.example/"}
    assert Client().post("/login/", given)["Location"] == "/"


# The student's page


def test_a_student_without_a_class_reads_what_to_do(db: None) -> None:
    user = User.objects.create_user("new")
    assert "You are not in a class yet" in text_of(signed_in(user), "/")


def test_a_student_reads_what_the_class_asks_for(cast: Cast) -> None:
    assert cast.classroom.prompt in text_of(signed_in(cast.ada), "/")


def test_a_student_of_two_classes_chooses_one(cast: Cast) -> None:
    cast.other_classroom.students.add(cast.ada)
    html = signed_in(cast.ada).get("/").content.decode()
    assert re.findall(r'<option value="(\d+)"', html) == [str(cast.classroom.pk), str(cast.other_classroom.pk)]


def test_a_student_sees_only_their_own_videos(cast: Cast) -> None:
    hand_in(cast.ada, cast.classroom, name="of-ada.mp4")
    hand_in(cast.bo, cast.classroom, name="of-bo.mp4")
    page = text_of(signed_in(cast.ada), "/")
    assert "of-ada.mp4" in page
    assert "of-bo.mp4" not in page


def test_waiting_videos_say_their_place_and_why_they_wait(cast: Cast) -> None:
    worker = Worker.objects.create(node="lab-pc", pid=1)
    Phase(node="lab-pc").enter(PhaseStep.ACTIVE, name="eval")
    rated = hand_in(cast.bo, cast.classroom)
    Task.objects.filter(submission=rated).update(stage=Stage.EXTRACT)
    claim(rated, worker)
    hand_in(cast.ada, cast.classroom)
    page = text_of(signed_in(cast.ada), "/")
    assert "You are 2nd of 2 · step 1 of 3" in page
    assert "The lab’s computer is filling in forms and rating." in page
    assert "The lab’s computer does one kind of work at a time; transcribing comes next." in page


def test_a_place_only_falls_from_handing_in_to_the_result(cast: Cast) -> None:
    """It was "1st", then "being worked on", then "7th of 7"."""
    worker = Worker.objects.create(node="lab-pc", pid=1)
    mine = hand_in(cast.ada, cast.classroom)
    others = [hand_in(student, cast.classroom) for student in (cast.bo, cast.outsider)]
    places = []
    for _ in Stage:
        for each in (mine, *others):
            places.append(rows.one(mine).position)
            task = claim(each, worker)
            places.append(rows.one(mine).position)
            task.advance(took=1.0)
    assert [place for place in places if place is not None] == [1] * 13 + [0]
    assert rows.one(mine).position is None


def test_whoever_is_put_ahead_is_named_on_the_page(cast: Cast) -> None:
    hand_in(cast.ada, cast.classroom, name="first.mp4")
    second = hand_in(cast.ada, cast.classroom, name="second.mp4")
    assert rows.one(second).position == 2
    assert not rows.one(second).put_ahead
    hand_in(cast.bo, cast.classroom)
    page = text_of(signed_in(cast.ada), f"/submissions/{second.pk}/")
    assert "You are 3rd of 3" in page
    assert "Put ahead: 1 from somebody with fewer videos in the line." in page
    assert "Put ahead: 1 from somebody" in rows.one(second).why


def test_nobody_passes_others_silently(cast: Cast) -> None:
    first, second = hand_in(cast.ada, cast.classroom), hand_in(cast.bo, cast.classroom)
    actions.act("put_first", tasks=[second.evaluation_task], by="admin:1", reason="Bo’s bus leaves at noon.")
    assert [rows.one(each).position for each in (first, second)] == [2, 1]
    words = "A teacher put somebody ahead of you: Bo’s bus leaves at noon."
    assert words in text_of(signed_in(cast.ada), f"/submissions/{first.pk}/")
    assert words not in text_of(signed_in(cast.bo), f"/submissions/{second.pk}/")
    actions.act("put_last", tasks=[second.evaluation_task], by="admin:1", reason="Bo has left.")
    assert "A teacher lets others go first: Bo has left." in text_of(signed_in(cast.bo), "/")
    assert not rows.one(first).put_ahead


def test_a_change_over_says_what_comes(cast: Cast) -> None:
    Worker.objects.create(node="lab-pc", pid=1)
    hand_in(cast.ada, cast.classroom)
    Phase(node="lab-pc").enter(PhaseStep.UNLOADING, name="stt", target="eval")
    assert "The lab’s computer is changing over to filling in forms and rating." in text_of(signed_in(cast.ada), "/")


def test_a_running_video_shows_seconds_of_the_recording(cast: Cast) -> None:
    task = claim(hand_in(cast.ada, cast.classroom))
    task.note_progress(21.4, 61.0)
    page = text_of(signed_in(cast.ada), "/")
    assert "21 of 61 seconds of the recording" in page
    assert "You are 1st of 1 · step 1 of 3" in page
    assert "Being worked on: transcribing." in page


def test_a_worker_that_fell_silent_is_shown_and_its_work_is_on_hold(cast: Cast) -> None:
    Phase(node="lab-pc").enter(PhaseStep.ACTIVE, name="stt")
    claim(hand_in(cast.ada, cast.classroom)).note_progress(21.4, 61.0)
    client = signed_in(cast.ada)
    page = text_of(client, "/")
    assert "not been heard of" not in page
    assert "1 being worked on, 0 waiting." in page
    Worker.objects.update(last_heartbeat_at=in_seconds(-45))
    page = text_of(client, "/")
    assert "You are 1st of 1" in page
    assert "The computer that does the work has not been heard of for 40 s. Your video is safe" in page
    assert "1 started, 0 waiting." in page
    for said in ("Being worked on", "of the recording", "The lab’s computer is transcribing"):
        assert said not in page
    Worker.objects.update(last_heartbeat_at=in_seconds(-1000), stopped_at=Now())  # given up by upkeep
    assert "has not been heard of for a while. Your video is safe" in text_of(client, "/")
    page = text_of(client, "/")
    assert "The computer that does the work is not running at the moment. Videos are safe and wait." in page


def test_whoever_has_handed_in_sees_first_what_becomes_of_it(cast: Cast) -> None:
    client = signed_in(cast.ada)
    page = text_of(client, "/")
    assert page.index("Hand in a video") < page.index("Nothing yet.")
    hand_in(cast.ada, cast.classroom, name="mine.mp4")
    page = text_of(client, "/")
    assert page.index("mine.mp4") < page.index("Record it here")


def test_what_a_teacher_looks_at_first_is_not_said_to_be_ready(cast: Cast) -> None:
    cast.classroom.release = Classroom.Release.AFTER_REVIEW
    cast.classroom.save()
    submission = hand_in(cast.ada, cast.classroom, name="mine.mp4")
    write_results(submission, released_at=None)
    finish(submission)
    page = signed_in(cast.ada).get("/").content.decode()
    assert 'data-toast="mine.mp4 is rated. Your teacher looks at it first."' in page
    assert 'data-words="mine.mp4: done. Your teacher looks at it first."' in page
    assert "See the transcript" in page
    assert "is ready" not in page
    assert "See the result" not in page


def test_a_file_of_no_use_is_recorded_again_rather_than_tried_again(cast: Cast) -> None:
    client = signed_in(cast.ada)
    submission = hand_in(cast.ada, cast.classroom)
    fail(submission, Permanent(code="no_speech"))
    recorder = f'href="/classes/{cast.classroom.pk}/record/">Record it again</a>'
    assert recorder in client.get("/").content.decode()
    assert "Try again" in text_of(client, "/")
    assert recorder not in signed_in(cast.teacher).get(page_of(submission)).content.decode()
    client.post(f"{page_of(submission)}retry")
    fail(submission, Permanent(code="crashed"))
    assert recorder not in client.get("/").content.decode()


@pytest.mark.parametrize(("seconds", "words"), [(35, "30 s"), (119, "110 s"), (150, "2 min"), (9000, "hours")])
def test_how_long_a_worker_has_been_silent_is_said_in_steps(cast: Cast, seconds: int, words: str) -> None:
    claim(hand_in(cast.ada, cast.classroom))
    Worker.objects.update(last_heartbeat_at=in_seconds(-seconds))
    assert f"not been heard of for {words}." in rows.read_queue().activity


def test_what_a_silent_machine_did_is_not_said_of_one_that_works(cast: Cast) -> None:
    for node, phase, stage in (("lab-pc", "stt", Stage.TRANSCRIBE), ("lab-2", "eval", Stage.EXTRACT)):
        worker = Worker.objects.create(node=node, pid=1)
        Phase(node=node).enter(PhaseStep.ACTIVE, name=phase)
        submission = hand_in(cast.bo, cast.classroom)
        Task.objects.filter(submission=submission).update(stage=stage)
        claim(submission, worker)
    both = "The lab’s computer is filling in forms and rating. The lab’s computer is transcribing."
    assert both in text_of(signed_in(cast.ada), "/")
    Worker.objects.filter(node="lab-2").update(last_heartbeat_at=in_seconds(-45))
    assert rows.read_queue().activity == "The lab’s computer is transcribing."


def test_a_teacher_is_not_told_that_she_is_in_the_line(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    assert "You are 1st of 1" in text_of(signed_in(cast.ada), f"/submissions/{submission.pk}/")
    page = text_of(signed_in(cast.teacher), f"/submissions/{submission.pk}/")
    assert "1st of 1" in page
    assert "You are" not in page


# Pauses


@pytest.fixture
def waiting(cast: Cast) -> Submission:
    """Ada waits for transcription while a worker lives."""
    Worker.objects.create(node="lab-pc", pid=1)
    Phase(node="lab-pc").enter(PhaseStep.ACTIVE, name="stt")
    return hand_in(cast.ada, cast.classroom)


def why(cast: Cast) -> str:
    """Why Ada's video waits, on her page."""
    (row,) = rows.of_student(cast.ada, rows.read_queue())
    assert row.why in unescape(text_of(signed_in(cast.ada), "/"))
    return row.why


@pytest.mark.parametrize("what", [Pause.What.EVERYTHING, Pause.What.STT])
def test_a_paused_queue_gives_its_reason_and_says_that_nothing_is_lost(
    what: str, cast: Cast, waiting: Submission
) -> None:
    Pause.objects.start(what, by="admin:1", reason="We are changing a cable.")
    said = why(cast)
    assert "is paused: We are changing a cable. Videos are safe" in said
    assert "admin" not in said
    cast.teacher.classes_taught.add(cast.classroom)
    for client, url in ((cast.ada, "/"), (cast.teacher, f"/classes/{cast.classroom.pk}/")):
        assert "We are changing a cable" in text_of(signed_in(client), url)
    Pause.objects.all().end(by="admin:1")
    assert "paused" not in text_of(signed_in(cast.ada), "/")


def test_a_pause_that_ends_by_itself_says_when_in_the_schools_time(
    cast: Cast, waiting: Submission, settings: Settings
) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    pause = Pause.objects.start(Pause.What.STT, by="x", reason="lunch", seconds=600)
    assert pause.until is not None
    assert f"until {pause.until.astimezone(ZoneInfo('Asia/Tokyo')):%H:%M}: lunch." in why(cast)
    Pause.objects.update(since=in_seconds(-100), until=in_seconds(-1))
    assert "lunch" not in why(cast)


def test_a_pause_of_the_other_kind_or_of_one_of_two_nodes_is_no_reason_to_wait(cast: Cast, waiting: Submission) -> None:
    Pause.objects.start(Pause.What.EVAL, by="x", reason="no ratings")
    assert "no ratings" not in why(cast)
    Worker.objects.create(node="lab-2", pid=2)
    Pause.objects.start(Pause.What.STT, node="lab-pc", by="x", reason="repair")
    assert "repair" not in why(cast)
    Pause.objects.start(Pause.What.STT, node="lab-2", by="x", reason="repair")
    assert "repair" in why(cast)


def test_a_machine_that_stands_still_is_not_said_to_work(cast: Cast, waiting: Submission) -> None:
    Pause.objects.start(Pause.What.EVERYTHING, by="x", reason="fire drill")
    assert "The lab’s computer" not in text_of(signed_in(cast.ada), "/")
    claim(waiting, Worker.objects.get())  # it is finished all the same
    assert "The lab’s computer is finishing what it has begun." in text_of(signed_in(cast.ada), "/")


def test_a_language_model_that_does_not_answer_is_told_to_those_who_wait_for_it_without_its_address(
    cast: Cast, waiting: Submission
) -> None:
    """F45, F56"""
    gone = Infrastructure("No server at http://gpu-1:11434", code="engine_unavailable")
    for _ in range(3):
        Breaker.objects.fail("http://gpu-1:11434", gone, node="n", config=BreakerConfig())
    words = "The language model does not answer at the moment; work goes on by itself when it is back."
    for person, url in ((cast.ada, "/"), (cast.teacher, f"/classes/{cast.classroom.pk}/")):
        page = text_of(signed_in(person), url)
        assert words in page
        assert "gpu-1" not in page
    assert words not in why(cast)  # it waits for transcription
    Task.objects.update(stage=Stage.EXTRACT)
    assert words in why(cast)
    Breaker.objects.update(restarts=3)
    assert "restarting it did not help: please tell whoever looks after the machine" in why(cast)
    Breaker.objects.all().close()
    assert "language model" not in why(cast)


def test_several_pauses_calm_down_once(cast: Cast, waiting: Submission) -> None:
    Pause.objects.start(Pause.What.STT, by="x", reason="new cable")
    Pause.objects.start(Pause.What.EVAL, by="x", reason="new fan")
    words = rows.read_queue().activity
    assert "new cable" in words
    assert "new fan" in words
    assert words.count("safe") == 1


def test_a_full_disk_reads_kindly(cast: Cast, waiting: Submission) -> None:
    Pause.objects.start_or_extend(Pause.What.STT, node="lab-pc", reason="[Errno 28] /srv/media/x", seconds=15)
    said = why(cast)
    assert said.startswith("Transcription rests for a moment")
    assert "Videos are safe" in said
    assert "Errno" not in text_of(signed_in(cast.ada), "/")


def test_the_reason_of_a_pause_is_text_and_never_markup(cast: Cast, waiting: Submission) -> None:
    Pause.objects.start(Pause.What.STT, by="x", reason=HOSTILE)
    assert HOSTILE not in signed_in(cast.ada).get("/").content.decode()


@pytest.mark.parametrize("step", PhaseStep)
def test_every_step_of_the_gpu_has_words(cast: Cast, step: PhaseStep) -> None:
    Worker.objects.create(node="lab-pc", pid=1)
    Phase(node="lab-pc").enter(step, name="stt", target="eval", reason="it hangs")
    assert "The lab’s computer is" in text_of(signed_in(cast.ada), "/")


def test_a_failure_says_what_happened_what_to_do_and_that_nothing_is_lost(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    task = fail(submission, Transient("token 71: unexpected }", code="invalid_answer"), at=Stage.RATE)
    page = text_of(signed_in(cast.ada), "/")
    assert "The model’s answer made no sense." in page
    assert "Your video is safe." in page
    assert "The transcript and the form are ready." in page
    assert f"Number for your teacher: {task.pk}-" in page
    assert "token 71" not in page


def test_the_number_of_queries_does_not_grow_with_the_list(
    cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(12):
        hand_in(cast.ada, cast.classroom, name=f"{number}.mp4")
    client = signed_in(cast.ada)
    with django_assert_max_num_queries(15):
        client.get("/")
    with django_assert_max_num_queries(11):
        client.get("/submissions/fragment/")


def test_an_unfinished_upload_is_shown_after_a_reload(cast: Cast) -> None:
    from evaluations.uploads import intake

    upload = intake.begin(student=cast.ada, classroom=cast.classroom, name="half.mp4", length=10)
    client = signed_in(cast.ada)
    intake.append(upload, offset=0, chunk=b"hello")
    assert "Unfinished: half.mp4" in text_of(client, "/")


# Retry and cancel


def test_a_student_tries_a_failed_video_again_from_the_stage_that_failed(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    fail(submission, Permanent(code="invalid_answer"), at=Stage.RATE)
    client = signed_in(cast.ada)
    page = client.post(f"{page_of(submission)}retry", follow=True).content.decode()
    assert "It is tried again." in page
    assert (submission.evaluation_task.state, submission.evaluation_task.stage) == (State.QUEUED, Stage.RATE)
    assert "nothing to try again" in client.post(f"{page_of(submission)}retry", follow=True).content.decode()


def test_the_list_gets_the_new_row_back(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    fail(submission, Permanent(code="no_audio"))
    answer = signed_in(cast.ada).post(f"{page_of(submission)}retry", headers={"HX-Request": "true"})
    assert f'id="submission-{submission.pk}"' in answer.content.decode()
    assert 'data-status="retry_queued"' in answer.content.decode()


def test_a_result_page_that_has_stopped_asking_is_loaded_again(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    fail(submission, Permanent(code="no_audio"))
    headers = {"HX-Request": "true", "HX-Current-URL": f"http://testserver{page_of(submission)}"}
    assert signed_in(cast.ada).post(f"{page_of(submission)}retry", headers=headers)["HX-Refresh"] == "true"


def test_a_student_cancels_and_goes_on(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    client = signed_in(cast.ada)
    client.post(f"{page_of(submission)}cancel")
    assert submission.evaluation_task.state == State.CANCELLED
    assert "The video is kept." in text_of(client, "/")
    client.post(f"{page_of(submission)}retry")
    assert submission.evaluation_task.state == State.QUEUED


# The result


def test_a_result_has_everything_that_was_found(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    write_results(submission, text="I like climbing.")
    finish(submission)
    html = signed_in(cast.ada).get(page_of(submission)).content.decode()
    page = text_of(signed_in(cast.ada), page_of(submission))
    for words in (
        "7.5 of 10",
        "yes: I like climbing. 2 of 2 points",
        "no: I like climbing. 0 of 2 points",
        "60 words a minute",
        "40% on average",
        "You give your listeners I like climbing.: “I like climbing.”",
        "not found by the program",
    ):
        assert words in page
    # A quote, a stretch of speech, a segment and a word each lead to the second where they were said.
    assert html.count('data-seek="1.50"') == 4


def test_a_simulated_result_says_that_it_is(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    write_results(submission, simulated=True)
    assert "Simulated. No model was behind this rating" in text_of(signed_in(cast.ada), page_of(submission))


def test_the_transcript_shows_as_soon_as_it_exists(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    write_results(submission, text="Early words.").delete()
    fail(submission, Permanent(code="invalid_answer"), at=Stage.RATE)
    page = text_of(signed_in(cast.ada), page_of(submission))
    assert "Early words." in page
    assert "The model’s answer made no sense" in page


def test_scores_wait_for_the_review_where_the_class_says_so(cast: Cast) -> None:
    Classroom.objects.update(release=Classroom.Release.AFTER_REVIEW)
    submission = hand_in(cast.ada, cast.classroom)
    evaluation = write_results(submission, text="Secret feedback.", released_at=None)
    evaluation.submission.transcript.delete()
    evaluation.submission.form.delete()
    student, teacher = signed_in(cast.ada), signed_in(cast.teacher)
    for url in (page_of(submission), f"{page_of(submission)}results/"):
        assert "Secret feedback." not in text_of(student, url)
        assert "Your teacher looks at it first" in text_of(student, url)
        assert "Secret feedback." in text_of(teacher, url)
    assert "Not released yet" in text_of(teacher, page_of(submission))
    evaluation.released_at = Now()
    evaluation.save()
    assert "Secret feedback." in text_of(student, page_of(submission))


def test_the_strip_is_sent_only_when_it_changed(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    client = signed_in(cast.ada)
    html = client.get(page_of(submission)).content.decode()
    state, version = re.findall(r'"state": "(\w+)", "version": "([-\d]+)"', html)[0]
    url = f"{page_of(submission)}row/?state={state}&version={version}"
    assert client.get(url).status_code == 204
    task = claim(submission)
    answer = client.get(url)
    assert (answer.status_code, answer["HX-Trigger"]) == (200, "results-changed")
    state, version = re.findall(r'"state": "(\w+)", "version": "([-\d]+)"', answer.content.decode())[0]
    task.note_progress(1, 5)
    progressed = client.get(f"{page_of(submission)}row/?state={state}&version={version}")
    assert progressed.status_code == 200
    assert "HX-Trigger" not in progressed


def test_media_comes_in_ranges_to_those_who_may(cast: Cast) -> None:
    content = bytes(range(256)) * 20
    submission = hand_in(cast.ada, cast.classroom, content=content)
    url = f"{page_of(submission)}media"
    answer = signed_in(cast.ada).get(url, headers={"Range": "bytes=100-199"})
    assert (answer.status_code, answer.content) == (206, content[100:200])
    assert answer["Content-Range"] == f"bytes 100-199/{len(content)}"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert signed_in(cast.ada).get(url, headers={"Range": "bytes=99999-"}).status_code == 416
    assert signed_in(cast.bo).get(url, headers={"Range": "bytes=0-1"}).status_code == 404


def test_media_whose_file_is_gone_is_not_found(cast: Cast, disk: Path) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    (disk / "media" / submission.path).unlink()
    assert signed_in(cast.ada).get(f"{page_of(submission)}media").status_code == 404


@pytest.mark.parametrize("who", ["ada", "teacher"])
def test_nothing_that_people_or_models_wrote_becomes_markup(cast: Cast, who: str) -> None:
    User.objects.update(first_name=HOSTILE, last_name="<b>x</b>")
    Classroom.objects.update(prompt=HOSTILE)
    Classroom.objects.filter(pk=cast.classroom.pk).update(name=HOSTILE)
    submission = hand_in(cast.ada, cast.classroom, name=HOSTILE)
    write_results(submission, text=HOSTILE)
    fail(submission, Permanent(HOSTILE, code=HOSTILE[:40]))
    urls = ["/", page_of(submission), f"{page_of(submission)}row/", "/submissions/fragment/"]
    urls += ["/classes/", f"/classes/{cast.classroom.pk}/"] if who == "teacher" else []
    for url in urls:
        html = signed_in(getattr(cast, who)).get(url, follow=True).content.decode()
        assert "<script>alert" not in html
        assert "<img src=x" not in html
        assert "<b>x</b>" not in html


def test_no_page_has_inline_scripts_or_styles(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    write_results(submission)
    for url in ("/", page_of(submission), "/nothing"):
        html = signed_in(cast.ada).get(url).content.decode()
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", html)


def test_every_answer_carries_the_content_security_policy(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """S44: pages, whatever is refused, static files, and the site's own mistakes; media have a stricter one."""
    client = Client(raise_request_exception=False)
    client.force_login(cast.ada)
    for url, status in (
        ("/", 200),
        ("/nothing", 404),
        ("/logout/", 405),
        ("/api/my-videos", 200),
        ("/static/nothing.js", 404),
        ("/readyz", 200),
    ):
        strict(client.get(url), status)
    strict(client.head("/static/evaluations/site.css"), 200)
    strict(client.get("/", headers={"host": "elsewhere.example"}), 400)
    strict(Client(enforce_csrf_checks=True).post("/login/"), 403)
    monkeypatch.setattr(rows, "read_queue", lambda: 1 / 0)
    strict(client.get("/"), 500)


def strict(answer: Any, status: int) -> None:
    assert answer.status_code == status
    policy = answer["Content-Security-Policy"].split("; ")
    assert {"default-src 'self'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"} <= set(policy)
    assert "unsafe" not in answer["Content-Security-Policy"]


# The teacher's pages


def test_a_teacher_lands_on_classes_and_finds_the_results(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom, name="of-ada.mp4")
    write_results(submission)
    client = signed_in(cast.teacher)
    assert "1 of 2 students" in text_of(client, "/")
    html = client.get(f"/classes/{cast.classroom.pk}/").content.decode()
    page = text_of(client, f"/classes/{cast.classroom.pk}/")
    assert f'href="{page_of(submission)}"' in html
    assert "7.5" in page
    assert "bo missing" in page


def test_whoever_has_many_classes_turns_their_pages(cast: Cast) -> None:
    User.objects.create_superuser("root")
    for n in range(40):
        Classroom.objects.create(name=f"past-{n:02}", rubric=cast.classroom.rubric)
    client = Client()
    client.force_login(User.objects.get(username="root"))
    pages = [text_of(client, f"/classes/?page={n}") for n in (1, 2, 3, 99)]
    assert [page.count("0 of 0 students") for page in pages] == [18, 20, 2, 2]
    assert [("Previous" in page, "Next" in page) for page in pages[:3]] == [(False, True), (True, True), (True, False)]
    asked = [client.get(f"/api/classes?page={n}").json() for n in (1, 2, 3, 4)]
    assert [len(page) for page in asked] == [20, 20, 2, 0]
    assert client.get("/api/classes?page=0").status_code == 422


def test_the_board_alone_is_sent_to_a_page_that_asks_again(cast: Cast) -> None:
    answer = signed_in(cast.teacher).get(f"/classes/{cast.classroom.pk}/", headers={"HX-Request": "true"})
    assert answer.content.decode().lstrip().startswith('<div id="board"')


# Errors


def test_what_is_not_there_is_said_in_words(cast: Cast) -> None:
    assert "There is no such page, or it is not yours to see." in text_of(signed_in(cast.ada), "/nothing")
    assert "There is no such page" in text_of(Client(), "/nothing")


def test_a_mistake_of_the_site_is_said_in_words(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    from evaluations.pages import rows

    monkeypatch.setattr(rows, "read_queue", lambda: 1 / 0)
    client = signed_in(cast.ada)
    client.raise_request_exception = False
    answer = client.get("/")
    assert answer.status_code == 500
    assert "What you uploaded is safe." in answer.content.decode()
