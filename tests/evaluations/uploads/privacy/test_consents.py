"""Nothing is handed in before a student has agreed, where the class asks; and what was agreed to stays what it was."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, transaction
from django.test import Client

from evaluations.models import Classroom, Consent, ConsentText, Submission, Upload
from evaluations.models.privacy import CONSENT_TEXTS
from evaluations.uploads import files
from evaluations.uploads.privacy import consents, erasing
from tests.conftest import Cast
from tests.evaluations.material import hand_in
from tests.evaluations.uploads.conftest import Tus
from tests.evaluations.views.conftest import signed_in

CONTENT = b"fLaC" + bytes(range(256))


@pytest.fixture
def classroom(cast: Cast) -> Classroom:
    cast.classroom.asks_consent = True
    cast.classroom.save()
    return cast.classroom


def page(client: Client, path: str) -> str:
    return " ".join(unescape(client.get(path).content.decode()).split())


def press(client: Client, path: str, name: str) -> Any:
    """The one button with that name on the page at `path`, as a browser sends it."""
    (value,) = re.findall(rf'name="{name}" value="([^"]+)"', page(client, path))
    form = re.search(r'<form method="post" action="(/classes/\d+/consent/)"', page(client, path))
    extra = {"record": "1"} if 'name="record"' in page(client, path) else {}
    return client.post(form[1] if form else path, {name: value, **extra})


def refused(student: Any, classroom: Classroom) -> set[tuple[int, str]]:
    """What the doors answer by which a recording comes in."""
    client = signed_in(student)
    answers = [
        Tus(student).create(len(CONTENT)),
        client.post("/api/upload", {"file": SimpleUploadedFile("a.flac", CONTENT), "classroom": str(classroom.pk)}),
    ]
    return {(answer.status_code, answer.json()["code"]) for answer in answers}


def test_nothing_is_handed_in_before_the_student_agrees_and_then_it_is(cast: Cast, classroom: Classroom) -> None:
    client = signed_in(cast.ada)
    recorder = f"/classes/{classroom.pk}/record/"
    assert refused(cast.ada, classroom) == {(403, "no_consent")}
    for path in ("/", recorder):
        assert "The school’s own computer writes down what you say" in page(client, path)
        assert 'id="upload"' not in page(client, path)
        assert 'id="recorder"' not in page(client, path)
    assert not Upload.objects.exists()
    assert press(client, recorder, "agree")["Location"] == recorder
    assert 'id="recorder"' in page(client, recorder)
    assert 'id="upload"' in page(client, "/")
    given = Consent.objects.get()
    assert (given.student, given.text.version, given.text.text) == (cast.ada, 1, CONSENT_TEXTS["en"])
    assert given.text_sha256 == given.text.sha256
    assert Tus(cast.ada).send(CONTENT).status_code == 204
    assert refused(cast.bo, classroom) == {(403, "no_consent")}, "each for themselves"


def test_another_text_is_another_version_to_which_all_agree_anew(cast: Cast, classroom: Classroom) -> None:
    press(signed_in(cast.ada), "/", "agree")
    begun = Tus(cast.ada).start(len(CONTENT))
    teacher, path = signed_in(cast.teacher), f"/classes/{classroom.pk}/privacy/"
    assert "1 student has agreed to version 1" in page(teacher, path)
    form = {
        "asks_consent": "on",
        "text": "We keep it\r\nfor a week.",
        "keeps_videos_days": "7",
        "keeps_results_until": "",
    }
    assert teacher.post(path, form).status_code == 302
    assert teacher.post(path, form).status_code == 302  # the same words: no version of its own
    assert list(ConsentText.objects.values_list("version", "text")) == [
        (1, CONSENT_TEXTS["en"]),
        (2, "We keep it\nfor a week."),
    ]
    classroom.refresh_from_db()
    assert (classroom.keeps_videos_days, classroom.keeps_results_until) == (7, None)
    assert "0 students have agreed to version 2" in page(teacher, path)
    assert refused(cast.ada, classroom) == {(403, "no_consent")}
    assert Tus(cast.ada).patch(begun, 0, CONTENT).status_code == 204, "what was begun before may be finished"


def test_who_read_another_text_than_there_is_by_now_has_not_agreed(cast: Cast, classroom: Classroom) -> None:
    seen = consents.current_text(classroom).sha256
    consents.change_text(classroom=classroom, text="Another one.", by=cast.teacher)
    answer = signed_in(cast.ada).post(f"/classes/{classroom.pk}/consent/", {"agree": seen}, follow=True)
    assert "The text has changed since." in answer.content.decode()
    assert not Consent.objects.exists()


def test_a_text_that_somebody_agreed_to_is_never_changed(cast: Cast, classroom: Classroom) -> None:
    press(signed_in(cast.ada), "/", "agree")
    for change in ({"text": "Something else."}, {"version": 2}):
        with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
            ConsentText.objects.update(**change)


def test_taking_it_back_stops_what_is_new_and_offers_to_delete_the_rest(cast: Cast, classroom: Classroom) -> None:
    client, path = signed_in(cast.ada), f"/classes/{classroom.pk}/consent/"
    press(client, "/", "agree")
    hand_in(cast.ada, classroom)
    other = hand_in(cast.bo, classroom)
    Tus(cast.ada).start(5)
    assert "Then nothing new can be handed in" in page(client, path)
    press(client, path, "withdraw")
    assert (Upload.objects.count(), Submission.objects.count()) == (0, 2)
    assert Consent.objects.get().withdrawn_at is not None
    assert refused(cast.ada, classroom) == {(403, "no_consent")}
    assert "1 video of yours is here" in page(client, path)
    client.post(path, {"delete": "1"})
    assert [row.pk for row in Submission.objects.all()] == [other.pk]
    press(client, path, "agree")
    assert Consent.objects.standing().count() == 1
    assert Consent.objects.count() == 2, "that it was taken back stays on record"


def test_what_is_still_written_to_is_discarded_by_pressing_again(
    cast: Cast, classroom: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, path = signed_in(cast.ada), f"/classes/{classroom.pk}/consent/"
    press(client, "/", "agree")
    Tus(cast.ada).start(5)
    monkeypatch.setattr(erasing, "BUSY_SECONDS", 0.0)
    with files.alone(Upload.objects.get().pk):
        press(client, path, "withdraw")
    assert (Upload.objects.count(), consents.is_missing(cast.ada, classroom)) == (1, True)
    press(client, path, "withdraw")
    assert not Upload.objects.exists()


def test_classes_that_do_not_ask_are_as_they_were(cast: Cast) -> None:
    assert not cast.classroom.asks_consent
    assert 'id="upload"' in page(signed_in(cast.ada), "/")
    assert Tus(cast.ada).send(CONTENT).status_code == 204


def test_the_text_of_a_german_class_is_german(cast: Cast, classroom: Classroom) -> None:
    classroom.rubric.language = "de"
    assert consents.current_text(classroom).text == CONSENT_TEXTS["de"]


def test_of_two_classes_the_one_that_has_its_consent_can_be_handed_in_for(cast: Cast, classroom: Classroom) -> None:
    cast.other_classroom.students.add(cast.ada)
    text = page(signed_in(cast.ada), "/")
    assert f"Before you hand in for {classroom.name}" in text
    assert f'name="classroom" value="{cast.other_classroom.pk}"' in text


def test_nothing_is_said_of_taking_back_what_was_never_asked_for(cast: Cast) -> None:
    """Nor that without it nothing can be handed in, where the class takes it all the same."""
    client, path = signed_in(cast.ada), f"/classes/{cast.classroom.pk}/consent/"
    assert not cast.classroom.asks_consent
    text = page(client, "/privacy/")
    assert "take your consent back" not in text
    assert "Say no: tell your teacher. Nobody may treat you worse" in text

    press(client, path, "agree")  # their own will; the class goes on without
    assert "Say no: take your consent back, above." in page(client, "/privacy/")
    assert "nothing new can be handed in" not in page(client, path)
    answer = client.post(path, {"withdraw": "1"}, follow=True).content.decode()
    assert "you can still hand in" in answer
    assert Tus(cast.ada).send(CONTENT).status_code == 204


def test_who_is_asked_reads_how_to_say_no_before_and_after(cast: Cast, classroom: Classroom) -> None:
    client = signed_in(cast.ada)
    assert "Say no: don’t agree" in page(client, "/privacy/")
    press(client, "/", "agree")
    assert "Say no: take your consent back, above." in page(client, "/privacy/")
    classroom.students.remove(cast.ada)
    hand_in(cast.ada, classroom)
    text = page(client, "/privacy/")
    assert "taking it back" not in text, "there is no link to it"
    assert "take your consent back, above" not in text
