from __future__ import annotations

from evaluations.uploads import intake
from tests.conftest import Cast
from tests.evaluations.api.conftest import ask
from tests.evaluations.material import hand_in, write_results


def test_a_student_sees_what_is_asked_and_which_limits_hold(cast: Cast) -> None:
    (said,) = ask(cast.ada, "my-classes")
    assert said == {
        "id": cast.classroom.pk,
        "name": "Group of Ms Teacher",
        "prompt": cast.classroom.prompt,
        "max_duration_seconds": 600,
        "max_submissions": 20,
        "submissions_left": 20,
        "deadline": None,
    }


def test_uploads_on_their_way_can_be_found_again(cast: Cast) -> None:
    upload = intake.begin(student=cast.ada, classroom=cast.classroom, name="half.mp4", length=5)
    intake.begin(student=cast.bo, classroom=cast.classroom, name="of-bo.mp4", length=5)
    (said,) = ask(cast.ada, "my-uploads")
    assert (said["url"], said["name"]) == (f"/api/uploads/{upload.pk}", "half.mp4")
    assert (said["offset_bytes"], said["length_bytes"]) == (0, 5)


def test_a_teacher_sees_her_classes_with_their_figures(cast: Cast) -> None:
    hand_in(cast.ada, cast.classroom)
    hand_in(cast.ada, cast.classroom)
    (said,) = ask(cast.teacher, "classes")
    figures = {"student_count": 2, "submission_count": 2, "handed_in_count": 1}
    assert said == {"id": cast.classroom.pk, "name": "Group of Ms Teacher", **figures}


def test_a_class_shows_who_handed_in_what_and_who_did_not(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    write_results(submission, released_at=None)
    hand_in(cast.outsider, cast.other_classroom)
    said = ask(cast.teacher, f"classes/{cast.classroom.pk}")
    (row,) = said["submissions"]
    assert row["student"] == {"id": cast.ada.pk, "name": "ada"}
    assert row["overall"] == 7.5
    assert row["video"] == ask(cast.teacher, f"status/{submission.pk}")
    assert said["missing"] == [{"id": cast.bo.pk, "name": "bo"}]
    assert (said["page"], said["page_count"]) == (1, 1)


def test_a_page_behind_the_last_one_does_not_exist(cast: Cast) -> None:
    assert ask(cast.teacher, f"classes/{cast.classroom.pk}?page=2", status=404)["code"] == "not_found"


def test_whoever_teaches_nothing_has_no_classes(cast: Cast) -> None:
    assert ask(cast.ada, "classes") == []
