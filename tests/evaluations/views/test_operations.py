"""Summary and mind map on a result page: the request for them without a script, what is shown, and the files."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from django.test import Client

from evaluations.models import Classroom, Form, MindMap, Submission
from queueing.exceptions import Permanent
from queueing.models import Task, Worker
from tests.conftest import Cast
from tests.evaluations.material import HOSTILE, finish, hand_in, write_long_results, write_operations
from tests.evaluations.views.conftest import signed_in


@pytest.fixture
def told(cast: Cast) -> Submission:
    submission = hand_in(cast.ada, cast.classroom)
    write_long_results(submission, scores={"Clarity": 6.0})
    finish(submission)
    return submission


def part_of(client: Client, submission: Submission) -> str:
    return client.get(f"/submissions/{submission.pk}/operations/").content.decode()


def test_without_a_script_it_is_asked_for_and_a_second_time_skipped(told: Submission, cast: Cast) -> None:
    client = signed_in(cast.ada)
    said = [client.post(f"/submissions/{told.pk}/mind-map", follow=True).content.decode() for _ in range(2)]
    assert "It is being made." in said[0]
    assert "It is being made already: nothing new was begun." in said[1]
    assert Task.objects.filter(submission=told, pipeline="mind_map").count() == 1


def test_with_htmx_the_part_comes_back_and_asks_again_until_it_is_made(told: Submission, cast: Cast) -> None:
    client = signed_in(cast.ada)
    assert "every 3s" not in part_of(client, told)
    part = client.post(f"/submissions/{told.pk}/summary", headers={"HX-Request": "true"}).content.decode()
    assert "every 3s" in part
    assert 'id="summary-button"' in part
    assert "The summary is being written" in part
    task = told.tasks.get(pipeline="summary")
    worker = Worker.objects.create(node="lab-pc", pid=1)
    Task.objects.take([task.pk], worker=worker, lease_seconds=60)[0].fail(Permanent(code="too_short_to_rate"), took=1)
    part = part_of(client, told)
    assert "every 3s" not in part
    assert "It did not work: Too little is said in it to rate it." in part


def test_where_nothing_was_heard_nothing_is_offered_nor_begun(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    client = signed_in(cast.ada)
    assert "mind-map-button" not in client.get(f"/submissions/{submission.pk}/").content.decode()
    said = client.post(f"/submissions/{submission.pk}/mind-map", follow=True).content.decode()
    assert "There is no transcript yet" in said
    assert submission.tasks.count() == 1


def test_the_map_is_a_drawing_and_the_same_list_and_each_leaf_can_be_heard(told: Submission, cast: Cast) -> None:
    write_operations(told)
    part = part_of(signed_in(cast.ada), told)
    drawn = part[part.index("<svg") : part.index("</svg>")]
    listed = part[part.index('class="map-list"') :]
    for words in ("climb on rocks", "Free time", "Plans"):
        assert words in drawn
        assert words in listed
    assert re.findall(r'data-seek="([\d.]+)"', drawn) == re.findall(r'data-seek="([\d.]+)"', listed) == ["2.70", "7.00"]
    assert "1 part was not found in the recording, and left out." in part
    client = signed_in(cast.ada)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "de"
    german = part_of(client, told)
    assert "Freizeit" in german
    assert 'data-seek="2.70"' in german


def test_a_map_without_leaves_says_why(told: Submission, cast: Cast) -> None:
    write_operations(told)
    MindMap.objects.filter(submission=told).update(branches=[], dropped=4)
    part = part_of(signed_in(cast.ada), told)
    assert "Nothing that the model wrote is said in the recording" in part
    assert "<svg" not in part
    assert signed_in(cast.ada).get(f"/submissions/{told.pk}/mind-map.svg").status_code == 404


def test_a_class_in_short_counts_what_was_said_and_names_nobody(told: Submission, cast: Cast) -> None:
    other = hand_in(cast.bo, cast.classroom)
    write_long_results(other, scores={})
    page = signed_in(cast.teacher).get(f"/classes/{cast.classroom.pk}/in-short/").content.decode()
    assert "From the forms of 2 students, without names" in page
    assert page.count("climbing\N{NO-BREAK SPACE}·\N{NO-BREAK SPACE}2") == 2  # drawn and listed
    assert "data-seek" not in page
    assert not re.search(r"\b(ada|bo)\b", page[page.index("<h1") :], re.IGNORECASE)
    empty = Classroom.objects.create(name="Empty", rubric=cast.classroom.rubric)
    empty.teachers.add(cast.teacher)
    assert (
        "No form says anything yet." in signed_in(cast.teacher).get(f"/classes/{empty.pk}/in-short/").content.decode()
    )


@pytest.mark.parametrize("kind", ["svg", "md", "opml"])
def test_the_map_is_a_file_once_there_is_one(told: Submission, cast: Cast, kind: str) -> None:
    client = signed_in(cast.ada)
    assert client.get(f"/submissions/{told.pk}/mind-map.{kind}").status_code == 404
    write_operations(told, text=HOSTILE, quote=HOSTILE)
    Form.objects.filter(submission=told).update(name=HOSTILE[:100])
    answer = client.get(f"/submissions/{told.pk}/mind-map.{kind}")
    assert answer["Content-Disposition"] == f'attachment; filename="mind-map.{kind}"'
    if kind != "md":
        root = ElementTree.fromstring(answer.content)  # noqa: S314 - our own
        assert not [each for each in root.iter() if each.tag.endswith("script")]
