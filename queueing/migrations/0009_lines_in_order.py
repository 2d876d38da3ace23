from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('evaluations', '0013_calibration_margin'),
        ('queueing', '0008_large_tables'),
    ]

    operations = [
        migrations.CreateModel(
            name='Overflow',
            fields=[
                ('pipeline', models.CharField(max_length=30, primary_key=True, serialize=False)),
                ('refused', models.PositiveBigIntegerField(default=0)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name='task',
            name='one_live_task_per_pipeline',
        ),
        migrations.AddField(
            model_name='task',
            name='subject',
            field=models.CharField(blank=True, db_default='', default='', help_text='What of the submission it is about; empty: all.', max_length=40),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(condition=models.Q(('state__in', ('queued', 'running'))), fields=['owner_key', 'pipeline'], name='live_by_owner'),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.UniqueConstraint(condition=models.Q(('state__in', ('queued', 'running'))), fields=('submission', 'pipeline', 'subject'), name='one_live_task_per_subject'),
        ),
    ]
