"""The page “How far to trust it”, and `manage.py calibrate`."""

from __future__ import annotations

import json
import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from evaluations.models import CalibrationFit, Evaluation, ReviewDecision
from tests.conftest import Cast
from tests.evaluations.actions.test_marking import mark, rating
from tests.evaluations.views.conftest import signed_in


def page(cast: Cast) -> str:
    return signed_in(cast.teacher).get(reverse("calibration", args=[cast.classroom.pk])).content.decode()


def address(cast: Cast, evaluation: Evaluation) -> str:
    return reverse("calibration-mark", args=[cast.classroom.pk, evaluation.submission_id])


def test_a_class_without_ratings_says_so(cast: Cast) -> None:
    assert "Nothing of this class is rated by items yet." in page(cast)


def test_a_teacher_marks_one_after_the_other_without_seeing_the_programs_answers(cast: Cast) -> None:
    for overall in (3.0, 6.0):
        rating(cast, overall, plan=0.5)
    client = signed_in(cast.teacher)
    (start,) = re.findall(r'href="(/classes/\d+/calibration/[^"]+)"', page(cast))
    shown = client.get(start).content.decode()
    assert "names a plan" in shown
    assert "checked" not in shown  # nor anything else that tells what the program answered
    assert "says their name" not in shown  # computed
    assert "ada" not in re.sub(r"<head.*?</head>", "", shown, flags=re.DOTALL).replace(cast.classroom.name, "")
    second = client.post(start, {"item-plan": "yes", "item-proof": "no"})
    assert second.status_code == 302
    assert second.headers["Location"] != start
    last = client.post(second.headers["Location"], {"item-plan": "no", "item-proof": "no"})
    assert last.headers["Location"] == reverse("calibration", args=[cast.classroom.pk])
    assert "You have marked all of them." in page(cast)
    assert ReviewDecision.objects.filter(by=cast.teacher).count() == 4


@pytest.mark.parametrize("given", [{}, {"item-plan": "yes"}, {"item-plan": "yes", "item-proof": "perhaps"}])
def test_an_incomplete_form_is_shown_again_with_what_was_chosen(cast: Cast, given: dict[str, str]) -> None:
    made = rating(cast, 5.0)
    answer = signed_in(cast.teacher).post(address(cast, made), given)
    assert answer.status_code == 400
    assert "Please answer every statement" in answer.content.decode()
    assert answer.content.decode().count("checked") == len([value for value in given.values() if value != "perhaps"])
    assert not ReviewDecision.objects.exists()


def test_ten_marked_ones_are_called_calibrated_and_can_be_fitted_to(cast: Cast) -> None:
    made = [rating(cast, 3.0 + number / 2) for number in range(10)]
    client, here = signed_in(cast.teacher), reverse("calibration", args=[cast.classroom.pk])
    for number, evaluation in enumerate(made[:-1]):
        mark(cast, evaluation, plan=number > 4, proof=False)
    assert "Not calibrated yet." in page(cast)
    assert "10 marked submissions are needed." in client.post(here, follow=True).content.decode()
    mark(cast, made[-1], plan=True, proof=False)
    assert "Calibrated." in page(cast)
    assert "Fitted to 10 submissions." in client.post(here, follow=True).content.decode()
    assert CalibrationFit.objects.get().by == cast.teacher


def test_items_that_tell_nobody_apart_and_a_crowded_top_are_named(cast: Cast) -> None:
    for _ in range(10):
        rating(cast, 9.0)
    shown = page(cast)
    assert "“names a plan”: more than 95 % pass." in shown
    assert "“proves it”: nearly nobody passes." in shown
    assert "100 % of the class have 8 or more points." in shown


def run(*arguments: str) -> tuple[int, Any]:
    out = StringIO()
    try:
        call_command("calibrate", *arguments, "--json", stdout=out)
    except SystemExit as stopped:
        return int(str(stopped.code)), json.loads(out.getvalue())
    return 0, json.loads(out.getvalue())


def test_the_command_tells_agreement_and_whether_it_is_enough(cast: Cast) -> None:
    made = [rating(cast, 3.0 + number / 2) for number in range(10)]
    for number, evaluation in enumerate(made):
        mark(cast, evaluation, plan=number > 4, proof=False)
        code, found = run(cast.classroom.name)
        assert (code, found["agreement"]["marked"]) == (0 if number == 9 else 1, number + 1)
    assert found["agreement"]["calibrated"]
    plan = found["agreement"]["items"][0]
    assert (plan["key"], plan["marked"], plan["yes"], plan["right"]) == ("plan", 10, 5, 0.5)
    assert found["spread"]["nobody_passes"] == ["proof"]


def test_the_command_fits_and_prints_words(cast: Cast) -> None:
    for number in range(10):
        mark(cast, rating(cast, 5.0), plan=number > 4, proof=False)
    out = StringIO()
    call_command("calibrate", str(cast.classroom.pk), "--fit", stdout=out)
    assert "10 marked (calibrated)" in out.getvalue()
    assert "Fitted: calibration of sha256:abc" in out.getvalue()


def test_the_command_names_the_classes_there_are(cast: Cast) -> None:
    with pytest.raises(CommandError, match="Group of Ms Teacher"):
        call_command("calibrate", "No such class")
    with pytest.raises(CommandError, match="10 marked submissions are needed"):
        call_command("calibrate", cast.classroom.name, "--fit")
