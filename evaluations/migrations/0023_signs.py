"""Items have signs, and the default rubrics a version with them. A class that has one of the versions before gets it,
unless something was rated by that one: what a class is rated by changes only where a teacher says so.
"""

from dataclasses import replace

from django.db import migrations, models

from evaluations.models.rubric import ITEM_FIELDS, next_version, store
from evaluations.rating import default_rubric

FIELDS = [field for field in ITEM_FIELDS if field != "sign"]


def forwards(apps, schema_editor):
    rubrics, criteria, items, classrooms = (
        apps.get_model("evaluations", name) for name in ("Rubric", "Criterion", "Item", "Classroom")
    )
    for spec in default_rubric.DEFAULTS:
        before = [one for one in rubrics.objects.filter(name=spec.name) if _content(one.criteria.all()) == _of(spec)]
        unused = [one for one in before if one.version >= spec.version and not one.ratings.exists()]
        new = unused[0] if unused else store(replace(spec, version=next_version(spec, rubrics)), rubrics, criteria, items)
        for item in spec.items():
            items.objects.filter(criterion__rubric=new, key=item.key).update(sign=item.sign)
        for classroom in classrooms.objects.filter(rubric__in=before).exclude(rubric=new):
            if not classroom.submissions.filter(ratings__rubric=classroom.rubric_id).exists():
                classrooms.objects.filter(pk=classroom.pk).update(rubric=new)


def _content(criteria):
    return [
        (one.key, one.title, [[getattr(item, field) for field in FIELDS] for item in one.items.all()])
        for one in criteria
    ]


def _of(spec):
    return [(one.key, one.title, [[getattr(item, field) for field in FIELDS] for item in one.items]) for one in spec.criteria]


class Migration(migrations.Migration):
    dependencies = [("evaluations", "0022_minors")]
    operations = [
        migrations.AddField(
            model_name="item",
            name="sign",
            field=models.CharField(
                blank=True,
                choices=[
                    ("past", "tells of the past"),
                    ("reason", "joins a reason"),
                    ("ending", "is one of the last three"),
                ],
                db_default="",
                help_text="What a sentence that shows it has, in English and German; without such a sentence it is false.",
                max_length=20,
            ),
        ),
        migrations.RunPython(forwards, migrations.RunPython.noop),
    ]
