from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ("evaluations", "0005_default_rubrics"),
    ]

    operations = [
        migrations.RemoveField(
            model_name='criterion',
            name='basis',
        ),
        migrations.RemoveField(
            model_name='criterion',
            name='description',
        ),
        migrations.RemoveField(
            model_name='criterion',
            name='measure',
        ),
        migrations.RemoveField(
            model_name='evaluation',
            name='demo_quality',
        ),
    ]
