"""What students read of how they are rated, before they record or hand in."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from evaluations.models import Classroom, Rubric
from evaluations.pages import rubric
from evaluations.rating import default_rubric, gates
from evaluations.rating.rubric import RubricSpec
from tests.conftest import Cast
from tests.evaluations.views.conftest import signed_in

GERMAN = {"accept-language": "de"}


def told(client: Client, url: str, **headers: str) -> list[str]:
    """What each <details> "How it is rated" of a page says."""
    html = client.get(url, headers=headers).content.decode()
    found = re.findall(r'(?s)<details class="rubric">(.*?)</details>', html)
    return [" ".join(unescape(re.sub(r"<[^>]+>", " ", each)).split()) for each in found]


@pytest.mark.parametrize("page", ["/", "/classes/{}/record/"])
@pytest.mark.parametrize("spec", default_rubric.DEFAULTS, ids=lambda spec: spec.language)
def test_all_is_told_in_the_language_of_the_reader(cast: Cast, page: str, spec: RubricSpec) -> None:
    headers = {"accept-language": spec.language}
    (words,) = told(signed_in(cast.ada), page.format(cast.classroom.pk), **headers)
    for criterion in spec.criteria:
        assert criterion.title in words
        for item in criterion.items:
            assert re.search(rf"{re.escape(item.statement)} {item.points} (point|Punkt)", words)
    assert f"{gates.MIN_SECONDS:g} se" in words.lower()
    assert f"{gates.MIN_WORDS} w" in words.lower()
    assert ("10:00 min" in words) == (page == "/")  # the recorder says by itself how long it can record


def test_a_weight_is_told_where_it_is_not_one(cast: Cast) -> None:
    (words,) = told(signed_in(cast.ada), "/")
    assert "Content quality (weight 2)" in words
    assert words.count("weight") == 1


def test_a_teachers_own_words_stay_as_they_are_and_as_text(cast: Cast) -> None:
    own = cast.classroom.rubric.new_version()
    item = own.criteria.get(key="confidence").items.get(key="proof")
    item.statement = "tells of <b>Vienna</b>"
    item.save()
    Classroom.objects.filter(pk=cast.classroom.pk).update(rubric=own)
    html = signed_in(cast.ada).get("/", headers=GERMAN).content.decode()
    assert "tells of &lt;b&gt;Vienna&lt;/b&gt;" in html


def test_each_of_several_classes_has_its_own_told_apart_by_name(cast: Cast) -> None:
    cast.other_classroom.students.add(cast.ada)
    longer = cast.classroom.rubric.new_version()
    longer.criteria.get(key="confidence").delete()
    Classroom.objects.filter(pk=cast.other_classroom.pk).update(rubric=longer, max_duration_seconds=95)
    first, second = told(signed_in(cast.ada), "/")
    assert f"({cast.classroom.name})" in first
    assert "10:00 min" in first
    assert "Confidence" in first
    assert f"({cast.other_classroom.name})" in second
    assert "1:35 min" in second
    assert "Confidence" not in second


def test_one_query_is_enough_for_all_classes(cast: Cast, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    other = Rubric.default().new_version()
    Classroom.objects.filter(pk=cast.other_classroom.pk).update(rubric=other)
    classrooms = list(Classroom.objects.all())
    with django_assert_num_queries(1):
        found = rubric.rules(classrooms)
    assert [len(one.criteria) for one in found] == [3, 3]
    assert [len(criterion["items"]) for criterion in found[0].criteria] == [
        len(criterion.items) for criterion in default_rubric.ENGLISH.criteria
    ]


def test_no_rules_are_told_where_there_is_nothing_to_rate(cast: Cast) -> None:
    assert told(signed_in(cast.teacher), "/classes/") == []


@pytest.mark.parametrize(
    ("model", "spoken", "understood"),
    [("tiny.en", "de", False), ("/models/small.en", "de", False), ("tiny.en", "en", True), ("base", "de", True)],
)
def test_a_class_whose_language_is_not_understood_here_is_told_so_beforehand(
    cast: Cast, settings: Settings, model: str, spoken: str, understood: bool
) -> None:
    settings.STT_ENGINE, settings.STT_MODEL = "faster-whisper", model
    Rubric.objects.filter(pk=cast.classroom.rubric_id).update(language=spoken)
    for person, page in (
        (cast.ada, "/"),
        (cast.ada, f"/classes/{cast.classroom.pk}/record/"),
        (cast.teacher, f"/classes/{cast.classroom.pk}/"),
    ):
        html = signed_in(person).get(page).content.decode()
        assert ("understands English only" not in html) == understood, page
