"""What is missing before a first lesson, as whoever runs the lab sees it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.fixtures import Settings

from evaluations.models import Classroom, Rubric
from evaluations.pages.lab.first_steps import FirstStep, first_steps
from tests.conftest import Cast
from tests.evaluations.material import hand_in, rated

pytestmark = pytest.mark.django_db


def steps() -> dict[str, FirstStep]:
    found = first_steps(list(Classroom.objects.with_figures().order_by("name")))
    return dict(zip(("class", "students", "address", "worker", "models"), found, strict=True))


def missing() -> set[str]:
    return {name for name, step in steps().items() if not step.is_done}


@pytest.fixture(autouse=True)
def real_models(settings: Settings) -> None:
    settings.STT_ENGINE, settings.LLM_PROTOCOL = "faster-whisper", "ollama"


def test_in_a_fresh_lab_all_but_the_models_is_missing() -> None:
    assert missing() == {"class", "students", "address", "worker"}


def test_a_class_without_students_leads_to_its_list_of_students(settings: Settings) -> None:
    settings.LAB = True
    classroom = Classroom.objects.create(name="9b", rubric=Rubric.default())
    found = steps()
    assert missing() == {"students", "worker"}
    assert found["students"].url == f"/classes/{classroom.pk}/members/"
    assert found["address"].url == "/trust/"


@pytest.mark.parametrize(
    ("name", "value"), [("STT_ENGINE", "simulated"), ("LLM_PROTOCOL", "simulated"), ("LLM_CAN_JUDGE", False)]
)
def test_models_that_rate_nothing_are_named(name: str, value: object, settings: Settings) -> None:
    setattr(settings, name, value)
    assert "models" in missing()


def test_whoever_runs_the_lab_sees_them_until_something_was_rated_and_nobody_else(cast: Cast) -> None:
    root = User.objects.create_superuser("root")
    for user, seen in ((root, True), (cast.teacher, False)):
        browser = Client()
        browser.force_login(user)
        assert ("First steps" in browser.get("/classes/").content.decode()) is seen
    rated(hand_in(cast.ada, cast.classroom), simulated=False)
    browser.force_login(root)
    assert "First steps" not in browser.get("/classes/").content.decode()
