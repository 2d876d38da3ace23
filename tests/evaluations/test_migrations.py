"""From levels to items, and to items with signs: every class can be rated, what was rated before reads as it did."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import unescape
from typing import Any, Final

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import StateApps
from django.utils.timezone import now

from evaluations.models import EVALUATION, Classroom, Evaluation, Rubric, Submission
from evaluations.models.rubric import store
from evaluations.rating import default_rubric
from queueing.models import Task
from tests.evaluations.material import finish
from tests.evaluations.views.conftest import signed_in

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

Targets = list[tuple[str, str]]

LEVELS: Final = [("evaluations", "0003_measure_words")]
WITHOUT_SIGNS: Final = [("evaluations", "0022_minors")]
JUDGED, BOTH, MEASURED, COMPUTED = "judged", "both", "measured", "computed"
DEFAULT: Final = (  # as `Rubric.default` made it
    ("overall_rating", "Overall rating", "All criteria together.", COMPUTED, ""),
    ("clarity_of_speech", "Clarity of speech", "Words are easy to follow: a steady pace.", BOTH, "delivery"),
    ("content_quality", "Content quality", "Says who they are, with details.", BOTH, "completeness"),
    ("confidence", "Confidence", "Speaks of themselves positively and directly.", BOTH, "fluency"),
)
OWN: Final = (
    ("humour", "Humour", "Makes the listeners laugh, and more. " * 10, JUDGED, ""),
    ("structure", "Structure", "Has a beginning and an end.", BOTH, "completeness"),
    ("tempo", "Tempo", "Speaks at a good pace.", MEASURED, "delivery"),
    ("plain", "Plain words", "Speaks without fillers.", MEASURED, "fluency"),
    ("form", "Form", "Says all that the form asks for.", MEASURED, "completeness"),
    ("all", "All", "All criteria together.", COMPUTED, ""),
)
MEASURED_ONLY: Final = (("form", "Form", "Says all that the form asks for.", MEASURED, "completeness"),)
QUOTE: Final = {"sentence": 1, "quote": "I swim in the town club.", "start": 1.5, "end": 3.0}


def score(key: str, basis: str, points: float, judged: str | None, measured: float | None) -> dict[str, Any]:
    """A criterion's score, as ratings by levels kept it."""
    quotes = [QUOTE] if judged else []
    found = {"basis": basis, "judged": judged, "measured": measured, "evidence": quotes}
    return {"key": key, "title": key.title(), "weight": 2.0, "score": points, **found}


SCORES: Final = [
    score("overall", COMPUTED, 6.6, None, None),
    score("clarity", BOTH, 5.5, "good", 4.0),  # halfway between 1 and 10, which is no uncertain item
    score("tempo", MEASURED, 7.2, None, 7.2),
    score("humour", JUDGED, 10.0, "excellent", None),
]


@pytest.fixture
def back_to() -> Iterator[Callable[[Targets], StateApps]]:
    """Brings the database back, without rows, and afterwards forward again."""

    def back(targets: Targets) -> StateApps:
        Classroom.objects.all().delete()
        Rubric.objects.all().delete()
        executor = MigrationExecutor(connection)
        executor.migrate(targets)
        return executor.loader.project_state(targets).apps

    yield back
    forward()


def forward() -> None:
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def make_rubric(apps: Any, name: str, criteria: Any, *, weight: float = 1.0) -> Any:
    rubric = apps.get_model("evaluations", "Rubric").objects.create(name=name)
    for position, (key, title, description, basis, measure) in enumerate(criteria):
        fields = {"title": title, "description": description, "basis": basis, "measure": measure}
        rubric.criteria.create(key=key, position=position, weight=weight, **fields)
    return rubric


def make_rating(apps: Any, classroom: Any, name: str) -> Any:
    """A submission that was rated by levels, and whose work is done."""
    student = apps.get_model("auth", "User").objects.create(username=name)
    classroom.students.add(student.pk)
    submission = apps.get_model("evaluations", "Submission").objects.create(
        original_name="old.mp4", path="x", size=1, sha256=name, classroom=classroom, student_id=student.pk
    )
    rating = apps.get_model("evaluations", "Evaluation").objects.create(
        submission=submission,
        overall=6.6,
        scores=SCORES,
        feedback="You made us laugh.",
        suggestions=["Speak up."],
        demo_quality=True,
        engine="ollama",
        model="llama3",
        released_at=now(),
    )
    return submission, rating


def test_old_rubrics_and_ratings_come_along(back_to: Callable[[Targets], StateApps]) -> None:
    apps: Any = back_to(LEVELS)
    rubrics = {
        "default": make_rubric(apps, "Self-introduction", DEFAULT),
        "own": make_rubric(apps, "Our own", OWN),
        "weightless": make_rubric(apps, "Without weights", OWN, weight=0.0),
        "measured only": make_rubric(apps, "Measured only", MEASURED_ONLY),
        "empty": make_rubric(apps, "Empty", ()),
        "named as a new one": make_rubric(apps, default_rubric.GERMAN.name, OWN),
        "unused": make_rubric(apps, "Unused", OWN),
    }
    classrooms = apps.get_model("evaluations", "Classroom").objects
    classes = {name: classrooms.create(name=name, rubric=row) for name, row in rubrics.items() if name != "unused"}
    ratings = {name: make_rating(apps, row, f"student of {name}") for name, row in classes.items()}

    forward()

    check_rubrics()
    for submission, rating in ratings.values():
        check_rating(Submission.objects.get(pk=submission.pk), rating.pk)


def check_rubrics() -> None:
    for rubric in Rubric.objects.all():
        rubric.spec().validate()
    of = {classroom.name: classroom.rubric.spec() for classroom in Classroom.objects.all()}
    assert len(of) == 6
    for name in ("default", "measured only", "empty"):
        assert of[name] == default_rubric.ENGLISH, name
    assert Rubric.default().spec() == default_rubric.ENGLISH
    german = Rubric.objects.get(language="de").spec()
    assert german.digest == default_rubric.GERMAN.digest
    for name in ("own", "weightless", "named as a new one"):
        criteria = {criterion.key: criterion for criterion in of[name].criteria}
        assert list(criteria) == ["humour", "structure", "tempo", "plain"], name
        items = {key: one.items[0] for key, one in criteria.items() if len(one.items) == 1}
        assert [item.computed for item in items.values()] == ["", "", "pace", "direct"]
        assert items["structure"].statement == "Has a beginning and an end."
        assert items["humour"].statement.startswith("Makes the listeners laugh, and more.")
        assert items["humour"].statement.endswith("…")
        assert sum(criterion.weight for criterion in criteria.values()) == 4
    assert Rubric.objects.filter(name="Unused").exists()


def check_rating(submission: Submission, pk: int) -> None:
    rating = submission.evaluation
    assert rating is not None
    assert rating.pk == pk
    assert (rating.method, rating.rubric, rating.overall) == (Evaluation.Method.LEVELS, None, 6.6)
    assert rating.provenance == {"levels": SCORES, "demo_quality": True}
    assert (rating.feedback, rating.suggestions) == ("You made us laugh.", ["Speak up."])
    assert [(row["key"], row["title"], row["weight"], row["score"]) for row in rating.scores] == [
        (old["key"], old["title"], old["weight"], old["score"]) for old in SCORES[1:]
    ]
    quotes = [quote for row in rating.scores for item in row["items"] for quote in item["sentences"]]
    assert quotes == [QUOTE, QUOTE]
    Task.objects.enqueue(submission_id=submission.pk, pipeline=EVALUATION, owner_key=str(submission.student_id))
    finish(submission)
    client = signed_in(submission.student)
    for language, label in (("en", "Rated by the method before."), ("de", "Nach dem früheren Verfahren bewertet.")):
        html = client.get(f"/submissions/{submission.pk}/", headers={"accept-language": language}).content.decode()
        text = " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())
        assert label in text
        assert ("6.6 of 10" if language == "en" else "6,6 von 10") in text
        for words in ("Clarity", "Tempo", "Humour", "You made us laugh.", "Speak up."):
            assert words in text
        assert text.count(f"“{QUOTE['quote']}”") + text.count(f"„{QUOTE['quote']}“") == 2
        for words in ("uncertain", "unsicher", "excellent", "of 9 points"):
            assert words not in text
    answer = client.get(f"/api/submissions/{submission.pk}/results").json()["evaluation"]
    assert answer["overall"] == 6.6
    assert answer["scores"][0]["items"][0]["sentences"][0]["quote"] == QUOTE["quote"]


def test_a_class_gets_the_version_with_signs_unless_something_was_rated_by_the_one_before(
    back_to: Callable[[Targets], StateApps],
) -> None:
    apps: Any = back_to(WITHOUT_SIGNS)
    models = [apps.get_model("evaluations", name) for name in ("Rubric", "Criterion", "Item")]
    before, german = (
        store(replace(spec, version=spec.version - 1), *models)
        for spec in (default_rubric.ENGLISH, default_rubric.GERMAN)
    )
    own = store(default_rubric.ENGLISH, *models)  # somebody's copy has taken the number
    own.criteria.filter(key="confidence").update(title="Nerve")
    classrooms = apps.get_model("evaluations", "Classroom").objects
    classes = {"rated": before, "new": before, "deutsch": german, "own": own}
    rated, *_ = (classrooms.create(name=name, rubric=rubric) for name, rubric in classes.items())
    student = apps.get_model("auth", "User").objects.create(username="ada")
    submission = apps.get_model("evaluations", "Submission").objects.create(
        original_name="old.mp4", path="x", size=1, sha256="ada", classroom=rated, student_id=student.pk
    )
    apps.get_model("evaluations", "Evaluation").objects.create(submission=submission, rubric=before)

    forward()

    of = {classroom.name: classroom.rubric for classroom in Classroom.objects.all()}
    assert of["rated"].pk == before.pk
    assert not of["rated"].spec().criteria[2].items[1].sign
    assert of["own"].pk == own.pk
    assert (of["new"].version, of["new"].spec().digest) == (4, default_rubric.ENGLISH.digest)
    assert of["deutsch"].spec() == default_rubric.GERMAN
    assert Rubric.default() == of["new"]
    assert Rubric.default("de") == of["deutsch"]
