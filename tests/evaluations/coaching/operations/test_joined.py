"""A class in short: what students have in common is counted, once for each of them, and nobody is named."""

from __future__ import annotations

from evaluations.coaching.operations.joined import ClassInShort, SaidForm, joined, of_class
from evaluations.models import Form, Topic
from tests.conftest import Cast
from tests.evaluations.material import hand_in, write_long_results


def said(student: int, *, language: str = "en", **answers: object) -> SaidForm:
    fields: dict[str, object] = {"hobbies": [], "career_goals": None, "strengths": [], "experience": None}
    return SaidForm(student, language, {**fields, **answers})


def counts(found: ClassInShort, wanted: Topic) -> list[tuple[str, int]]:
    return [(answer.text, answer.count) for topic, answers in found.topics if topic == wanted for answer in answers]


def test_hobbies_in_common_are_counted_by_students_however_they_are_put() -> None:
    found = joined(
        [
            said(1, hobbies=["playing chess in a club", "football"]),
            said(2, hobbies=["chess", "chess tournaments"]),
            said(3, hobbies=["Football", "reading"], career_goals="be a nurse"),
            said(4, hobbies=["to read", "play football"], career_goals="a nurse."),
        ]
    )
    assert found.students == 4
    assert [topic for topic, _ in found.topics] == [Topic.PLANS, Topic.HOBBIES]
    hobbies = counts(found, Topic.HOBBIES)
    assert [count for _, count in hobbies] == [3, 2, 2]
    assert "football" in hobbies[0][0].casefold()
    assert ("chess", 2) in hobbies
    words = {
        answer.count: answer.words for topic, answers in found.topics if topic == Topic.PLANS for answer in answers
    }
    assert words == {2: "a nurse\N{NO-BREAK SPACE}·\N{NO-BREAK SPACE}2"}
    assert [count for _, count in counts(found, Topic.PLANS)] == [2]


def test_a_class_in_several_languages_is_joined_by_the_words_of_each() -> None:
    found = joined([said(1, language="de", hobbies=["Schach spielen"]), said(2, language="de", hobbies=["Schach"])])
    assert counts(found, Topic.HOBBIES) == [("Schach", 2)]
    assert joined([]) == ClassInShort(0, ())


def test_of_a_student_the_newest_form_counts_and_a_simulated_one_never(cast: Cast) -> None:
    for number in range(2):
        submission = hand_in(cast.ada, cast.classroom)
        write_long_results(submission, scores={})
        Form.objects.filter(submission=submission).update(hobbies=[f"hobby{number}"])
    pretended = hand_in(cast.bo, cast.classroom)
    write_long_results(pretended, scores={})
    Form.objects.filter(submission=pretended).update(simulated=True)
    found = of_class(cast.classroom)
    assert (found.students, counts(found, Topic.HOBBIES)) == (1, [("hobby1", 1)])
    assert of_class(cast.other_classroom).students == 0
