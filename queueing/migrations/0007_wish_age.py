from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('queueing', '0006_attempts_by_stage'),
    ]

    operations = [
        migrations.AddField(
            model_name='phase',
            name='wanted_at',
            field=models.DateTimeField(blank=True, help_text='When that was asked for.', null=True),
        ),
        migrations.AlterField(
            model_name='phase',
            name='wanted_until',
            field=models.DateTimeField(blank=True, help_text='Up to then it is not left by itself, as long as it has work.', null=True),
        ),
    ]
