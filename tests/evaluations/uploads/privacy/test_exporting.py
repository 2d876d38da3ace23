"""A student's data as a zip: all of it, nobody else's, made in pieces."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from evaluations.actions import appeals
from evaluations.coaching.questions import asking
from evaluations.media import store
from evaluations.models import Submission
from evaluations.uploads.privacy import consents, exporting
from tests.conftest import Cast
from tests.evaluations.material import HOSTILE, finish, hand_in, write_operations, write_results
from tests.evaluations.views.conftest import signed_in

WORD = "xyzzyflumph"


def opened(content: bytes) -> tuple[dict[str, Any], zipfile.ZipFile]:
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.testzip() is None
    return json.loads(archive.read("data.json")), archive


def downloaded(client: Any, path: str) -> tuple[dict[str, Any], zipfile.ZipFile]:
    answer = client.get(path)
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/zip")
    return opened(answer.getvalue())


def of_ada(cast: Cast) -> dict[str, Any]:
    """What her teacher gets."""
    path = f"/classes/{cast.classroom.pk}/students/{cast.ada.pk}/data.zip"
    return downloaded(signed_in(cast.teacher), path)[0]


def filled(cast: Cast, **rating: Any) -> Submission:
    found = hand_in(cast.ada, cast.classroom, name=f"{WORD}{HOSTILE}.MP4", content=WORD.encode() * 500_000)
    finish(found)
    write_results(found, text=WORD, **rating)
    return found


def test_the_zip_has_everything_that_is_kept_of_a_student_and_nothing_of_another_one(cast: Cast) -> None:
    consents.agree(student=cast.ada, classroom=cast.classroom, sha256=consents.current_text(cast.classroom).sha256)
    found = filled(cast)
    write_operations(found, text=WORD, quote=WORD)
    asking.ask(submission=found, student=cast.ada, text=f"{WORD}?", language="en")
    appeals.ask(submission=found, by=cast.ada, sentence=f"Look at {WORD}.")
    hand_in(cast.bo, cast.classroom, name="of-bo.mp4")
    data, archive = downloaded(signed_in(cast.ada), "/privacy/data.zip")
    assert data["account"]["username"] == "ada"
    assert data["consents"][0]["text_sha256"] == consents.current_text(cast.classroom).sha256
    (one,) = data["submissions"]
    assert (one["transcript"], one["form"]["name"], one["overall"], one["feedback"]) == (WORD, WORD, 7.5, WORD)
    assert one["scores"][0]["items"][0]["sentences"][0]["quote"] == WORD
    assert one["questions"][0]["text"] == f"{WORD}?"
    assert one["summary"]["key_points"][0]["text"] == WORD
    assert [each["value"] for each in one["decisions"]] == [f"Look at {WORD}."]
    assert one["models"]["transcript"]["model"] == "none"
    assert one["video"] == f"videos/{found.pk}.mp4"
    assert archive.read(one["video"]) == store.locate(found.path).read_bytes()
    page = archive.read("index.html").decode()
    assert WORD in page
    assert "<script" not in page
    assert "of-bo" not in page + json.dumps(data)


def test_a_video_is_never_held_as_a_whole(cast: Cast) -> None:
    found = filled(cast)
    made = list(exporting.pieces(exporting.members(cast.ada)))
    assert sum(map(len, made)) > found.size > 5 * exporting.PIECE_BYTES
    assert max(map(len, made)) < 2 * exporting.PIECE_BYTES
    opened(b"".join(made))


async def test_an_asgi_server_sends_the_same(tmp_path: Path) -> None:
    (tmp_path / "video").write_bytes(b"x" * 3_000_000)
    members = [exporting.ZipMember("a", "text"), exporting.ZipMember("b", source=tmp_path / "video")]
    content = b"".join([piece async for piece in exporting.pieces_async(members)])
    assert zipfile.ZipFile(io.BytesIO(content)).read("b") == b"x" * 3_000_000


def test_what_a_student_may_not_see_yet_is_not_in_their_own_zip_but_in_the_teachers(cast: Cast) -> None:
    filled(cast, released_at=None)
    data, _archive = downloaded(signed_in(cast.ada), "/privacy/data.zip")
    (one,) = data["submissions"]
    assert (one["scores"], one["feedback"], one["rating_not_released_yet"]) == (None, None, True)
    data, _archive = downloaded(
        signed_in(cast.teacher), f"/classes/{cast.classroom.pk}/students/{cast.ada.pk}/data.zip"
    )
    assert data["submissions"][0]["overall"] == 7.5


def test_a_teacher_gets_what_is_of_her_own_classes(cast: Cast) -> None:
    cast.other_classroom.students.add(cast.ada)
    for each in (cast.classroom, cast.other_classroom):
        consents.agree(student=cast.ada, classroom=each, sha256=consents.current_text(each).sha256)
    elsewhere = hand_in(cast.ada, cast.other_classroom)
    found = filled(cast)
    data, _archive = downloaded(
        signed_in(cast.teacher), f"/classes/{cast.classroom.pk}/students/{cast.ada.pk}/data.zip"
    )
    assert [one["submission"] for one in data["submissions"]] == [str(found.pk)]
    assert "failed_logins" not in data
    assert "mail" not in data
    assert [one["class"] for one in data["consents"]] == data["account"]["classes"] == [cast.classroom.name]
    data, _archive = downloaded(signed_in(cast.ada), "/privacy/data.zip")
    assert {one["submission"] for one in data["submissions"]} == {str(found.pk), str(elsewhere.pk)}


@pytest.mark.parametrize("gone", ["removed in order", "lost"])
def test_a_video_that_is_not_there_is_no_reason_for_no_zip(cast: Cast, gone: str) -> None:
    found = filled(cast)
    if gone == "lost":
        members = exporting.members(cast.ada)
    store.remove(found.pk)
    if gone == "removed in order":
        members = exporting.members(cast.ada)
    data, archive = opened(b"".join(exporting.pieces(members)))
    assert sorted(archive.namelist()) == ["data.json", "index.html"]
    assert data["submissions"][0]["transcript"] == WORD


def test_the_command_writes_the_zip_for_its_owner_only(cast: Cast, tmp_path: Path) -> None:
    filled(cast, released_at=None)
    target = tmp_path / "ada.zip"
    call_command("export_student", "ada", "--output", str(target), stdout=io.StringIO())
    data, _archive = opened(target.read_bytes())
    assert data["submissions"][0]["overall"] == 7.5
    assert target.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if ".zip" in path.name] == ["ada.zip"]


def test_the_page_says_by_which_program_and_where(cast: Cast, settings: Any) -> None:
    settings.STT_ENGINE, settings.STT_MODEL = "faster-whisper", "/models/base"
    settings.LLM_PROTOCOL, settings.LLM_EXTRACT_URL = "ollama", "http://127.0.0.1:11434"
    settings.LLM_RATE_URL, settings.LLM_RATE_MODEL = "http://gpu.school.example:11434", "llama3:8b-instruct"
    text = " ".join(signed_in(cast.ada).get("/privacy/").content.decode().split())
    assert "base (faster-whisper), on a computer of this lab" in text
    assert "llama3:8b-instruct (ollama), on the computer gpu.school.example" in text
    assert "Download all my data" in text
    for page in ("/", f"/classes/{cast.classroom.pk}/record/", "/account/"):
        assert 'href="/privacy/"' in signed_in(cast.ada).get(page).content.decode()


def test_the_page_names_who_is_responsible_where_that_is_known(cast: Cast, settings: Any) -> None:
    settings.SCHOOL = "Schule am <Fluß>"
    assert "Responsible for it: Schule am &lt;Fluß&gt;." in signed_in(cast.ada).get("/privacy/").content.decode()
    settings.SCHOOL = ""
    assert "Responsible for it" not in signed_in(cast.ada).get("/privacy/").content.decode()
