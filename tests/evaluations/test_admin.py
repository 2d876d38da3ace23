"""The admin as a teacher sees it: her own classes, and what is hers to change; and rubrics that can be scored."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from evaluations.access import roles
from evaluations.coaching.questions import asking
from evaluations.errors import catalogue
from evaluations.models import Classroom, CoachQuestion, Item, Rerating, Rubric, Submission
from queueing.exceptions import Permanent
from queueing.models import Attempt, Event, Pause, Phase, Task
from queueing.states import PhaseStep
from tests.conftest import Cast
from tests.evaluations.material import fail, hand_in, write_results
from tests.evaluations.views.conftest import disk, signed_in

__all__ = ["disk"]

FOREIGN = ("other_teacher", "outsider", "Group of somebody else")


@pytest.fixture
def teacher(cast: Cast) -> Client:
    roles.ensure_groups()
    cast.teacher.is_staff = True
    cast.teacher.save()
    cast.teacher.groups.add(Group.objects.get(name=roles.TEACHERS))
    return signed_in(cast.teacher)


@pytest.fixture
def operator(db: None) -> Client:
    return signed_in(User.objects.create_superuser("root", password="a-long-passphrase"))


@pytest.fixture
def ours(cast: Cast) -> Submission:
    """Failed once; and another class's submission that failed too."""
    fail(hand_in(cast.outsider, cast.other_classroom, name="theirs.mp4"), Permanent("their secret", code="no_audio"))
    submission = hand_in(cast.ada, cast.classroom, name="ours.mp4")
    fail(submission, Permanent("our reason", code="no_speech"))
    return submission


def page(client: Client, name: str, *arguments: object) -> str:
    response = client.get(reverse(f"admin:{name}", args=arguments))
    assert response.status_code == 200
    return response.content.decode()


def test_a_teacher_changes_prompt_release_and_rubric_of_her_class_and_nothing_else(cast: Cast, teacher: Client) -> None:
    other = cast.classroom.rubric.new_version()
    asked = {
        "name": "8a",
        "teachers": [cast.other_teacher.pk],
        "students": [cast.outsider.pk],
        "max_duration_seconds": 10**6,
        "max_submissions": 10**6,
        "prompt": "Say hello.",
        "release": Classroom.Release.AFTER_REVIEW,
        "rubric": other.pk,
        "coach_priority": 1,
    }
    address = reverse("admin:evaluations_classroom_change", args=[cast.classroom.pk])
    assert teacher.post(address, asked).status_code == 302
    after = Classroom.objects.get(pk=cast.classroom.pk)
    assert (after.prompt, after.release, after.rubric) == ("Say hello.", "after_review", other)
    assert (after.name, after.max_duration_seconds, after.max_submissions) == ("Group of Ms Teacher", 600, 20)
    assert (set(after.teachers.all()), set(after.students.all())) == ({cast.teacher}, {cast.ada, cast.bo})


def test_an_operator_changes_the_people_of_a_class(cast: Cast, operator: Client) -> None:
    text = page(operator, "evaluations_classroom_change", cast.classroom.pk)
    assert 'name="students"' in text
    assert "outsider" in text


@pytest.mark.usefixtures("ours")
def test_no_page_of_a_teacher_names_other_classes_or_their_people(cast: Cast, teacher: Client) -> None:
    shared = Classroom.objects.create(name="Her second group", rubric=Rubric.default())
    shared.teachers.add(cast.teacher)  # with two classes of one's own, lists offer a filter
    hand_in(cast.bo, shared)
    lists = [
        *(f"evaluations_{model}_changelist" for model in ("classroom", "submission", "rubric", "transcript")),
        *(f"queueing_{model}_changelist" for model in ("task", "attempt", "event")),
    ]
    pages = [page(teacher, name) for name in lists]
    pages.append(page(teacher, "evaluations_classroom_change", cast.classroom.pk))
    for text in pages:
        assert not [name for name in (*FOREIGN, "theirs.mp4", "their secret") if name in text]
    assert "Her second group" in pages[1]


def test_a_teacher_reads_the_attempts_and_events_of_her_tasks_and_the_criteria(
    teacher: Client, ours: Submission
) -> None:
    task = ours.evaluation_task
    response = teacher.get(reverse("admin:queueing_task_change", args=[task.pk]))
    shown = {each.opts.model: each.formset.queryset.count() for each in response.context["inline_admin_formsets"]}
    assert shown == {Attempt: task.attempts.count(), Event: task.events.count()}
    assert "our reason" in response.content.decode()
    assert "clarity_of_speech" in page(teacher, "evaluations_rubric_change", Rubric.default().pk)


@pytest.mark.parametrize("model", ["attempt", "event"])
def test_attempts_and_events_are_narrowed_to_the_teachers_classes(
    model: str, teacher: Client, operator: Client, ours: Submission
) -> None:
    Event.objects.create(node="lab-pc", kind="phase")
    theirs = Task.objects.exclude(submission=ours).get()
    foreign = getattr(theirs, f"{model}s").first()
    assert teacher.get(reverse(f"admin:queueing_{model}_change", args=[foreign.pk])).status_code == 302
    counts = [
        client.get(reverse(f"admin:queueing_{model}_changelist")).context["cl"].result_count
        for client in (teacher, operator)
    ]
    assert counts[0] == getattr(ours.evaluation_task, f"{model}s").count()
    assert counts[0] < counts[1]


def test_a_teacher_acts_on_tasks_of_her_own_classes_only(cast: Cast, teacher: Client, ours: Submission) -> None:
    mine, theirs = ours.evaluation_task, Task.objects.exclude(submission=ours).get()
    address = reverse("admin:queueing_task_act", args=["retry"])
    assert teacher.get(address, {"rows": theirs.pk}).status_code == 404
    assert teacher.post(address, {"rows": theirs.pk}).status_code == 404
    asked = teacher.get(address, {"rows": f"{mine.pk},{theirs.pk}"}).content.decode()
    assert "ours.mp4" in asked
    assert "theirs.mp4" not in asked
    answer = teacher.post(address, {"rows": f"{mine.pk},{theirs.pk}", "reason": "louder now"}, follow=True)
    assert "1 queued" in answer.content.decode()
    assert [Task.objects.get(pk=task.pk).state for task in (mine, theirs)] == ["queued", "failed"]
    assert mine.events.latest("sequence").detail == {"by": f"admin:{cast.teacher.pk}", "reason": "louder now"}


def test_a_teacher_finds_a_task_by_the_name_of_its_student_or_video(teacher: Client, ours: Submission) -> None:
    for asked in ("ada", "ours.mp4"):
        answer = teacher.get(reverse("admin:queueing_task_changelist"), {"q": asked})
        assert [task.pk for task in answer.context["cl"].result_list] == [ours.evaluation_task.pk]
    assert not teacher.get(reverse("admin:queueing_task_changelist"), {"q": "theirs"}).context["cl"].result_count


def test_a_teacher_reads_what_her_students_asked_the_coach_and_changes_nothing(cast: Cast, teacher: Client) -> None:
    asked = {}
    for student, classroom in ((cast.ada, cast.classroom), (cast.outsider, cast.other_classroom)):
        submission = hand_in(student, classroom)
        write_results(submission)
        text = f"Was I, {student.username}, loud enough? " + "And clear? " * 20
        asked[student] = asking.ask(submission=submission, student=student, text=text, language="en")
    CoachQuestion.objects.update(answer="You were <b>loud</b>.", end="answered")
    listed = page(teacher, "evaluations_coachquestion_changelist")
    assert "Was I, ada, loud enough?" in listed
    assert "And clear? " * 20 not in listed
    assert not [name for name in FOREIGN if name in listed]
    address = reverse("admin:evaluations_coachquestion_changelist")
    for query, found in (("ada", 1), ("loud enough", 1), ("were", 1), ("outsider", 0), (str(asked[cast.ada].pk), 1)):
        assert teacher.get(address, {"q": query}).context["cl"].result_count == found
    assert teacher.get(address, {"end__exact": "withheld"}).context["cl"].result_count == 0
    one = page(teacher, "evaluations_coachquestion_change", asked[cast.ada].pk)
    assert "You were &lt;b&gt;loud&lt;/b&gt;." in one
    assert "waiting for an answer" in one
    assert '<input type="submit"' not in one
    theirs = reverse("admin:evaluations_coachquestion_change", args=[asked[cast.outsider].pk])
    assert teacher.get(theirs).status_code == 302
    assert teacher.post(reverse("admin:evaluations_coachquestion_add")).status_code == 403


def test_a_list_of_many_students_costs_as_many_queries_as_one_of_few(cast: Cast, teacher: Client) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            page(teacher, "queueing_task_changelist")
        return len(captured)

    hand_in(cast.ada, cast.classroom)
    count()
    before = count()
    for student in (cast.ada, cast.bo, cast.ada):
        hand_in(student, cast.classroom)
    assert count() == before


@pytest.mark.parametrize(
    ("model", "verb"),
    [("phase", "pause"), ("phase", "resume"), ("phase", "drain"), ("phase", "switch"), ("pause", "lift")],
)
def test_the_machines_are_not_the_teachers_to_stop(model: str, verb: str, teacher: Client) -> None:
    Phase(node="lab-pc").enter(PhaseStep.IDLE)
    pause = Pause.objects.start(Pause.What.STT, by="root", reason="repair")
    given = {"rows": {"phase": "lab-pc", "pause": pause.pk}[model], "reason": "x", "what": "stt", "phase": "stt"}
    assert teacher.post(reverse(f"admin:queueing_{model}_act", args=[verb]), given).status_code == 403
    assert list(Pause.objects.active()) == [pause]


@pytest.mark.parametrize("model", ["phase", "pause", "batch", "worker"])
def test_the_machinery_is_for_operators(model: str, teacher: Client) -> None:
    assert teacher.get(reverse(f"admin:queueing_{model}_changelist")).status_code == 403


def test_what_an_operator_gave_the_teachers_besides_survives_the_next_migration(cast: Cast) -> None:
    roles.ensure_groups()
    group, extra = Group.objects.get(name=roles.TEACHERS), Permission.objects.get(codename="add_rubric")
    group.permissions.add(extra)
    roles.ensure_groups()
    assert set(group.permissions.values_list("codename", flat=True)) == {*roles.PERMISSIONS, "add_rubric"}


def test_a_rubric_is_copied_as_a_new_version_and_changed_while_nothing_is_rated_by_it(
    cast: Cast, operator: Client
) -> None:
    used = cast.classroom.rubric
    write_results(hand_in(cast.ada, cast.classroom))
    run = {"action": "make_new_version", "_selected_action": [used.pk]}
    operator.post(reverse("admin:evaluations_rubric_changelist"), run)
    copy = Rubric.objects.get(name=used.name, version=used.version + 1)
    assert copy.spec().criteria == used.spec().criteria

    for rubric, may in ((used, False), (copy, True)):
        pages = [reverse("admin:evaluations_rubric_change", args=[rubric.pk])]
        pages += [reverse("admin:evaluations_criterion_change", args=[row.pk]) for row in rubric.criteria.all()]
        for page in pages:
            assert ('name="_save"' in operator.get(page).content.decode()) == may, page
        changed = {"name": "Renamed", "version": 9, "language": "en"}
        refused = operator.post(pages[0], changed | {"criteria-TOTAL_FORMS": 0, "criteria-INITIAL_FORMS": 0})
        assert (refused.status_code == 302) == may
    assert Rubric.objects.filter(name="Renamed").values_list("pk", flat=True)[0] == copy.pk


def test_nothing_is_added_to_a_rubric_that_something_was_rated_by(cast: Cast, operator: Client) -> None:
    used = cast.classroom.rubric
    write_results(hand_in(cast.ada, cast.classroom))
    page = reverse("admin:evaluations_criterion_add")
    assert operator.get(page).status_code == 200
    filled = {"key": "extra", "title": "Extra", "weight": "1", "position": "9", "items-TOTAL_FORMS": 0}
    for rubric, may in ((used, False), (used.new_version(), True)):
        answer = operator.post(page, filled | {"rubric": rubric.pk, "items-INITIAL_FORMS": 0})
        assert (answer.status_code == 302) == may
        assert rubric.criteria.filter(key="extra").exists() == may


@pytest.mark.parametrize("spoil", ["no items", "no hard one"])
def test_a_class_can_not_have_a_rubric_that_nothing_can_be_rated_by(cast: Cast, operator: Client, spoil: str) -> None:
    rubric = cast.classroom.rubric.new_version()
    items = Item.objects.filter(criterion__rubric=rubric)
    items.delete() if spoil == "no items" else items.update(hard=False)
    page = reverse("admin:evaluations_classroom_change", args=[cast.classroom.pk])
    fields = {"name": "N", "prompt": "P", "rubric": rubric.pk, "release": "at_once", "max_duration_seconds": 60}
    answer = operator.post(page, fields | {"max_submissions": 3})
    assert answer.status_code == 200
    assert ("no items" if spoil == "no items" else "without a hard item") in answer.content.decode()
    cast.classroom.refresh_from_db()
    assert cast.classroom.rubric != rubric


def test_an_error_has_the_same_words_as_on_the_students_page(ours: Submission, operator: Client) -> None:
    task = ours.evaluation_task
    words = f"{catalogue.explain('no_speech').title} (no_speech)"
    assert words in page(operator, "queueing_task_changelist")
    assert words in page(operator, "queueing_attempt_changelist")
    # Of the task, and of the attempt below it.
    assert page(operator, "queueing_task_change", task.pk).count(words) == 2


# To find what somebody asks about


@pytest.mark.parametrize("words", ["Ada Love", "lovelace", "Ms Teacher", "ours.mp4", "ada"])
def test_lists_are_searched_by_shown_name_class_and_file(words: str, cast: Cast, teacher: Client) -> None:
    User.objects.filter(pk=cast.ada.pk).update(first_name="Ada", last_name="Lovelace")
    submission = hand_in(cast.ada, cast.classroom, name="ours.mp4")
    write_results(submission)
    for name in ("submission", "transcript", "form", "evaluation"):
        found = teacher.get(reverse(f"admin:evaluations_{name}_changelist"), {"q": words})
        assert found.context["cl"].result_count == 1, name
        none = teacher.get(reverse(f"admin:evaluations_{name}_changelist"), {"q": "Grace"})
        assert none.context["cl"].result_count == 0, name
    found = teacher.get(reverse("admin:queueing_task_changelist"), {"q": words})
    assert found.context["cl"].result_count == 1


def test_results_and_tasks_are_filtered_by_class(cast: Cast, operator: Client) -> None:
    for student, classroom in ((cast.ada, cast.classroom), (cast.outsider, cast.other_classroom)):
        write_results(hand_in(student, classroom))
    for name in ("evaluations_transcript", "evaluations_form", "evaluations_evaluation", "queueing_task"):
        wanted = {"submission__classroom__id__exact": cast.other_classroom.pk}
        found = operator.get(reverse(f"admin:{name}_changelist"), wanted)
        assert [each.submission.student for each in found.context["cl"].result_list] == [cast.outsider], name
        assert "Group of Ms Teacher" in found.content.decode()


def test_rows_lead_to_the_result_page(teacher: Client, ours: Submission) -> None:
    rated = write_results(ours)
    link = f'href="{reverse("submission", args=[ours.pk])}"'
    for name in ("evaluations_submission", "evaluations_form", "evaluations_evaluation", "queueing_task"):
        assert link in page(teacher, f"{name}_changelist"), name
    assert link in page(teacher, "queueing_task_change", ours.evaluation_task.pk)
    assert link in page(teacher, "evaluations_evaluation_change", rated.pk)


def test_errors_are_filtered_and_explained_in_words(teacher: Client, ours: Submission) -> None:
    listed = page(teacher, "queueing_task_changelist")
    assert "?error_code=no_speech" in listed
    assert catalogue.explain("no_audio").title not in listed  # another class's
    found = teacher.get(reverse("admin:queueing_task_changelist"), {"error_code": "no_speech"})
    assert found.context["cl"].result_count == 1
    found = teacher.get(reverse("admin:queueing_task_changelist"), {"error_code": "no_audio"})
    assert found.context["cl"].result_count == 0
    assert catalogue.explain("no_speech").what[:30] in page(teacher, "queueing_task_change", ours.evaluation_task.pk)


def test_all_failed_ones_of_a_class_are_tried_again_after_a_question(
    cast: Cast, teacher: Client, ours: Submission
) -> None:
    done = hand_in(cast.bo, cast.classroom)
    chosen = {"action": "retry_failed", "_selected_action": [cast.classroom.pk]}
    asked = teacher.post(reverse("admin:evaluations_classroom_changelist"), chosen, follow=True)
    assert "1 will be queued" in asked.content.decode()
    assert "ours.mp4" in asked.content.decode()
    assert str(done.pk) not in asked.content.decode()
    assert ours.evaluation_task.state == "failed"
    given = {"rows": asked.context["rows"], "reason": "a new microphone"}
    answer = teacher.post(asked.context["action"], given, follow=True)
    assert "1 queued" in answer.content.decode()
    assert ours.evaluation_task.state == "queued"
    nothing = teacher.post(reverse("admin:evaluations_classroom_changelist"), chosen, follow=True)
    assert "Nothing has failed there." in nothing.content.decode()


def test_claims_without_evidence_are_read_as_words(teacher: Client, ours: Submission) -> None:
    write_results(ours)
    ours.form.unsupported = [{"field": "career_goals", "value": "pilot"}, {"field": "hobbies", "value": ["a", "b"]}]
    ours.form.save()
    for text in (page(teacher, "evaluations_form_changelist"), page(teacher, "evaluations_form_change", ours.form.pk)):
        assert "career goals: pilot; hobbies: a, b" in text
        assert "{&#x27;" not in text


# Rubrics: copied and changed by teachers, as long as nobody else depends on them.


def changes(client: Client, rubric: Rubric) -> bool:
    """Whether its page can be saved; tried on its criteria, too."""
    criterion = rubric.criteria.first()
    assert criterion
    pages = [
        client.get(reverse("admin:evaluations_rubric_change", args=[rubric.pk])),
        client.get(reverse("admin:evaluations_criterion_change", args=[criterion.pk])),
    ]
    (may, *others) = {answer.context["has_change_permission"] for answer in pages}
    assert not others
    return bool(may)


def test_a_teacher_copies_a_rubric_and_changes_an_item_of_the_copy(cast: Cast, teacher: Client) -> None:
    original = cast.classroom.rubric
    copied = teacher.post(
        reverse("admin:evaluations_rubric_changelist"),
        {"action": "make_new_version", "_selected_action": [original.pk]},
        follow=True,
    )
    assert "Made Self-introduction, version 4." in copied.content.decode()
    copy = Rubric.objects.get(name=original.name, version=4)
    criterion = copy.criteria.first()
    assert criterion
    address = reverse("admin:evaluations_criterion_change", args=[criterion.pk])
    form = teacher.get(address).context["adminform"].form
    items = teacher.get(address).context["inline_admin_formsets"][0].formset
    given = {f"{part.prefix}-{name}": part[name].value() for part in items for name in part.fields}
    given |= {f"items-{name}": items.management_form[name].value() for name in items.management_form.fields}
    given |= {name: form[name].value() for name in form.fields}
    given = {name: value for name, value in given.items() if value is not None and value is not False}
    given |= {"items-0-statement": "greets the listeners", "items-1-DELETE": "on"}
    before = list(criterion.items.values_list("key", flat=True))
    assert teacher.post(address, given).status_code == 302
    assert criterion.items.first().statement == "greets the listeners"  # type: ignore[union-attr]
    assert list(criterion.items.values_list("key", flat=True)) == [before[0], *before[2:]]


def test_a_teacher_changes_only_rubrics_that_nobody_else_depends_on(cast: Cast, teacher: Client) -> None:
    own = cast.classroom.rubric.new_version()
    assert changes(teacher, own)
    Classroom.objects.filter(pk=cast.classroom.pk).update(rubric=own)
    assert changes(teacher, own)
    assert not changes(teacher, Rubric.default())  # IntroEval's own, and another class's
    Classroom.objects.filter(pk=cast.other_classroom.pk).update(rubric=own)
    assert not changes(teacher, own)
    Classroom.objects.filter(pk=cast.other_classroom.pk).update(rubric=Rubric.default())
    rating = write_results(hand_in(cast.ada, cast.classroom), rubric=own)
    assert not changes(teacher, own)
    rating.delete()
    Rerating.objects.create(classroom=cast.classroom, rubric=own)
    assert not changes(teacher, own)


def test_an_operator_changes_what_others_use_but_nothing_that_was_rated_by(cast: Cast, operator: Client) -> None:
    assert changes(operator, Rubric.default())
    write_results(hand_in(cast.ada, cast.classroom))
    assert not changes(operator, Rubric.default())


def test_a_criterion_is_moved_into_no_rubric_that_may_not_be_changed(cast: Cast, teacher: Client) -> None:
    own = cast.classroom.rubric.new_version()
    criterion = own.criteria.first()
    assert criterion
    for address in ("evaluations_criterion_add", "evaluations_criterion_change"):
        keys = [] if address.endswith("add") else [criterion.pk]
        offered = teacher.get(reverse(f"admin:{address}", args=keys)).context["adminform"].form.fields["rubric"]
        assert set(offered.queryset) == {own}
    given = {"rubric": Rubric.default().pk, "key": "mine", "title": "Mine", "weight": 1, "position": 0}
    none = {f"items-{name}": 0 for name in ("TOTAL_FORMS", "INITIAL_FORMS")}
    answer = teacher.post(reverse("admin:evaluations_criterion_add"), {**given, **none})
    assert answer.status_code == 200
    assert "rubric" in answer.context["adminform"].form.errors


def test_a_teacher_deletes_no_rubric(cast: Cast, teacher: Client) -> None:
    own = cast.classroom.rubric.new_version()
    assert teacher.post(reverse("admin:evaluations_rubric_delete", args=[own.pk]), {"post": "yes"}).status_code == 403
    assert Rubric.objects.filter(pk=own.pk).exists()


def test_a_rubrics_page_leads_to_where_it_is_tried_on_ones_own_classes(cast: Cast, teacher: Client) -> None:
    own = cast.classroom.rubric.new_version()
    html = page(teacher, "evaluations_rubric_change", own.pk)
    assert f'href="{reverse("reratings", args=[cast.classroom.pk])}?rubric={own.pk}"' in html
    assert f"Try it on {cast.classroom}" in html
    assert str(cast.other_classroom) not in html
