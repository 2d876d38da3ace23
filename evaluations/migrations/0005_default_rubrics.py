"""The default rubrics, made of items; classes with the old one get the new; old ratings keep their scores, labelled.

A rubric of somebody's own keeps its criteria: the description that the model judged becomes the one item of each.
"""

from dataclasses import replace
from textwrap import shorten

from django.db import migrations

from evaluations.models.rubric import store
from evaluations.rating import default_rubric

OLD_DEFAULT = "Self-introduction"
ITS_CRITERIA = {"overall_rating", "clarity_of_speech", "content_quality", "confidence"}
PACE = {"delivery": "pace", "fluency": "direct"}  # what was measured → what is computed


def forwards(apps, schema_editor):
    rubrics, criteria, items, evaluations, submissions, classrooms = (
        apps.get_model("evaluations", name)
        for name in ("Rubric", "Criterion", "Item", "Evaluation", "Submission", "Classroom")
    )
    old = list(rubrics.objects.all())
    taken = {rubric.name for rubric in old}
    for spec in default_rubric.DEFAULTS:
        version = spec.version if spec.version > 1 or spec.name not in taken else 2
        store(replace(spec, version=version), rubrics, criteria, items)
    default = rubrics.objects.get(name=default_rubric.ENGLISH.name, version=default_rubric.ENGLISH.version)
    for rubric in old:
        if not _was_default(rubric):
            _convert(rubric, items)
        if _was_default(rubric) or not rubric.criteria.exists():
            classrooms.objects.filter(rubric=rubric).update(rubric=default)
            rubric.delete()
    for rating in evaluations.objects.all().iterator():
        rating.method = "levels"
        rating.provenance = {"levels": rating.scores, "demo_quality": rating.demo_quality}
        rating.scores = [_as_items(score) for score in rating.scores if score.get("basis") != "computed"]
        rating.save(update_fields=["method", "provenance", "scores"])
        submissions.objects.filter(pk=rating.submission_id).update(evaluation=rating)


def _was_default(rubric):
    """Whether it is the one that came with IntroEval, with the criteria that it came with."""
    return rubric.name == OLD_DEFAULT and {criterion.key for criterion in rubric.criteria.all()} == ITS_CRITERIA


def _convert(rubric, items):
    """One item of what was judged or measured; a criterion with neither goes."""
    for criterion in rubric.criteria.all():
        judged = criterion.basis in ("judged", "both")
        computed = "" if judged else PACE.get(criterion.measure, "")
        if not computed and not judged:
            criterion.delete()
            continue
        statement = shorten(criterion.description, 200, placeholder=" …") or criterion.title
        items.objects.create(criterion=criterion, key=criterion.key, statement=statement, hard=True, computed=computed)
    if not any(criterion.weight for criterion in rubric.criteria.all()):
        rubric.criteria.update(weight=1)  # which is what such weights meant


def _as_items(score):
    """A score by levels in the form of today: one item, of all points, that has the quotes."""
    item = {
        "key": score["key"],
        "title": "",
        "statement": score.get("judged") or "measured",
        "advice": "",
        "about": "",
        "points": 9,
        "hard": True,
        "computed": score.get("judged") is None,
        "answer": None,
        "credit": round((score["score"] - 1) / 9, 3),
        "probability": None,
        "sentences": score.get("evidence", []),
    }
    return {
        "key": score["key"],
        "title": score["title"],
        "weight": score.get("weight", 1),
        "score": score["score"],
        "items": [item],
    }


class Migration(migrations.Migration):

    dependencies = [
        ("evaluations", "0004_items"),
    ]

    operations = [
        migrations.RunPython(forwards, migrations.RunPython.noop),
    ]
