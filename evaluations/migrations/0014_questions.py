

import django.db.models.deletion
import django.db.models.functions.datetime
import django.db.models.functions.text
import django.db.models.lookups
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('evaluations', '0013_calibration_margin'),
        ('queueing', '0009_lines_in_order'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='classroom',
            name='coach_priority',
            field=models.SmallIntegerField(db_default=0, default=0, help_text='Questions of classes with a higher one are answered first.'),
        ),
        migrations.AddField(
            model_name='classroom',
            name='has_coach',
            field=models.BooleanField(db_default=True, default=True, help_text='Students may ask a language model about their own videos. Teachers can read what is asked and answered; students are told so.', verbose_name='coach'),
        ),
        migrations.CreateModel(
            name='CoachQuestion',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('text', models.TextField(max_length=2000)),
                ('language', models.CharField(help_text='Of the answer: that of the page, as a code.', max_length=10)),
                ('answer', models.TextField(blank=True, help_text='So far, as it may be shown.')),
                ('end', models.CharField(blank=True, choices=[('answered', 'answered'), ('cut', 'cut at its greatest length'), ('declined', 'declined before a model was asked'), ('withheld', "the model's answer is not shown")], help_text='Empty: it has not ended well.', max_length=10)),
                ('why', models.CharField(blank=True, help_text='What was wrong, if declined or withheld.', max_length=20)),
                ('restarts', models.PositiveSmallIntegerField(default=0, help_text='How often the answer began again.')),
                ('model', models.CharField(blank=True, help_text='Empty: none was asked.', max_length=100)),
                ('simulated', models.BooleanField(default=False)),
                ('prompt_version', models.PositiveSmallIntegerField(default=0)),
                ('prompt_tokens', models.PositiveIntegerField(default=0)),
                ('output_tokens', models.PositiveIntegerField(default=0)),
                ('asked_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('begun_at', models.DateTimeField(help_text='When a worker first took it.', null=True)),
                ('first_text_at', models.DateTimeField(null=True)),
                ('student', models.ForeignKey(help_text='Who asked.', on_delete=django.db.models.deletion.CASCADE, related_name='questions', to=settings.AUTH_USER_MODEL)),
                ('submission', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='questions', to='evaluations.submission')),
                ('task', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='question', to='queueing.task')),
            ],
            options={
                'ordering': ('asked_at', 'pk'),
                'constraints': [models.CheckConstraint(condition=models.Q(django.db.models.lookups.GreaterThan(django.db.models.functions.text.Length('text'), 0), django.db.models.lookups.LessThanOrEqual(django.db.models.functions.text.Length('text'), 2000)), name='question_of_a_bounded_length')],
            },
        ),
    ]
