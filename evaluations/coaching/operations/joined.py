"""A class in short: what its students said in their forms, joined by the words they have in common, without names.

Each form was read from its transcript by a model, and holds only what was said. Joining is arithmetic: it needs no
model that has room for thirty talks, and can invent nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from evaluations.models import Classroom, Form, Topic
from evaluations.rating.claims import clauses, languages

TOPICS: Final = {
    "career_goals": Topic.PLANS,
    "hobbies": Topic.HOBBIES,
    "strengths": Topic.STRENGTHS,
    "experience": Topic.EXPERIENCE,
}
"""Field of the form → what it is about, in the order of the page."""

Answers = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class SaidForm:
    """One student's newest form."""

    student: int
    language: str  # of the transcript, a code
    answers: Answers  # by field: text, a list of texts, or None


@dataclass(slots=True)
class SharedAnswer:
    """What several students said in some way, or one did."""

    key: frozenset[str]  # the stems of its words
    students: set[int] = field(default_factory=set)
    wordings: Counter[str] = field(default_factory=Counter)

    @property
    def text(self) -> str:
        """The wording that was chosen most often, the shortest of equals."""
        return min(self.wordings, key=lambda one: (-self.wordings[one], len(one), one))

    @property
    def count(self) -> int:
        return len(self.students)

    @property
    def words(self) -> str:
        """With the count, if it is of several; no line ends before it."""
        return f"{self.text}\N{NO-BREAK SPACE}·\N{NO-BREAK SPACE}{self.count}" if self.count > 1 else self.text


@dataclass(frozen=True, slots=True)
class ClassInShort:
    students: int  # whose forms these are
    topics: tuple[tuple[Topic, tuple[SharedAnswer, ...]], ...]  # those with answers; the most frequent answer first


def of_class(classroom: Classroom) -> ClassInShort:
    """Of the newest form of each student; simulated forms say nothing of anybody."""
    rows = Form.objects.filter(submission__classroom=classroom, simulated=False).select_related("submission")
    newest = {form.submission.student_id: form for form in rows.order_by("submission__created_at", "submission")}
    heard = Form.objects.filter(pk__in=[form.pk for form in newest.values()])
    spoken = dict(heard.values_list("submission", "submission__transcript__language"))
    return joined(
        SaidForm(student, spoken[form.submission_id] or "", form.answers()) for student, form in newest.items()
    )


def joined(forms: Iterable[SaidForm]) -> ClassInShort:
    """An answer is counted with a shorter one all of whose words it has: "play chess in a club" is "chess"."""
    found = list(forms)
    topics = [(topic, _shared(found, name)) for name, topic in TOPICS.items()]
    students = {form.student for form in found}
    return ClassInShort(len(students), tuple((topic, answers) for topic, answers in topics if answers))


def _shared(forms: Iterable[SaidForm], name: str) -> tuple[SharedAnswer, ...]:
    said = [
        (form.student, text, key)
        for form in forms
        for text in _texts(form.answers[name])
        if (key := _key(text, form.language))
    ]
    groups: list[SharedAnswer] = []
    for student, text, key in sorted(said, key=lambda one: (len(one[2]), one[1])):
        group = next((each for each in groups if each.key <= key), None)
        if group is None:
            groups.append(group := SharedAnswer(key))
        group.students.add(student)
        group.wordings[text] += 1
    return tuple(sorted(groups, key=lambda one: (-one.count, one.text.casefold())))


def _key(text: str, code: str) -> frozenset[str]:
    language = languages.language(code)
    words = clauses.read(text, language)
    content = frozenset(word.stem for word in words if word.text not in language.empty)
    return content or frozenset(word.stem for word in words)


def _texts(answer: object) -> Iterator[str]:
    for each in answer if isinstance(answer, list) else [answer]:
        if each:
            yield str(each).strip().rstrip(".")
