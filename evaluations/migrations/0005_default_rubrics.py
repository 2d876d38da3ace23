"""The default rubrics, made of items; classes with the old one get the new; old ratings keep their scores, labelled.

A rubric of a teacher's own keeps its criteria: the description that the model judged becomes the one item of each.
"""

from django.db import migrations

from evaluations.models.rubric import store
from evaluations.rating import default_rubric

OLD_DEFAULT = "Self-introduction"
PACE = {"delivery": "pace", "fluency": "direct"}  # what was measured → what is computed


def forwards(apps, schema_editor):
    rubrics, criteria, items, evaluations, submissions, classrooms = (
        apps.get_model("evaluations", name)
        for name in ("Rubric", "Criterion", "Item", "Evaluation", "Submission", "Classroom")
    )
    kept_own = [rubric for rubric in rubrics.objects.all() if rubric.name != OLD_DEFAULT]
    for spec in default_rubric.DEFAULTS:
        store(spec, rubrics, criteria, items)
    default = rubrics.objects.get(name=default_rubric.ENGLISH.name, version=default_rubric.ENGLISH.version)
    old = rubrics.objects.filter(name=OLD_DEFAULT, version=1).first()
    if old:
        classrooms.objects.filter(rubric=old).update(rubric=default)
        old.delete()
    for rubric in kept_own:
        for criterion in rubric.criteria.all():
            _convert(criterion, items)
        if not rubric.criteria.exists():
            classrooms.objects.filter(rubric=rubric).update(rubric=default)
            rubric.delete()
    evaluations.objects.update(method="levels")
    for rating in evaluations.objects.all().iterator():
        rating.provenance = {"levels": rating.scores}
        rating.scores = [_as_items(score) for score in rating.scores if score.get("basis") != "computed"]
        rating.save(update_fields=["provenance", "scores"])
        submissions.objects.filter(pk=rating.submission_id).update(evaluation=rating)


def _convert(criterion, items):
    """One item of what was judged or measured; a criterion with neither goes."""
    computed = "" if criterion.basis in ("judged", "both") else PACE.get(criterion.measure, "")
    if not computed and criterion.basis not in ("judged", "both"):
        criterion.delete()
        return
    statement = criterion.description[:200] or criterion.title
    items.objects.create(criterion=criterion, key=criterion.key, statement=statement, hard=True, computed=computed)


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
