import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('evaluations', '0003_measure_words'),
    ]

    operations = [
        migrations.CreateModel(
            name='Item',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.SlugField(max_length=40)),
                ('statement', models.CharField(help_text='Follows “The student …”: “names a concrete job or field for the future”.', max_length=200)),
                ('points', models.PositiveSmallIntegerField(default=1, validators=[django.core.validators.MinValueValidator(1)])),
                ('hard', models.BooleanField(default=False, help_text='Above 8 of 10 needs one of these.')),
                ('whole', models.BooleanField(default=False, help_text='Of the whole talk: no single sentence shows it.')),
                ('computed', models.CharField(blank=True, choices=[('opens', 'opens'), ('pace', 'pace'), ('phrases', 'phrases'), ('finished', 'finished'), ('name', 'name'), ('direct', 'direct'), ('no_apology', 'no_apology')], help_text='Computed from the words instead of asked of the model.', max_length=20)),
                ('title', models.CharField(blank=True, help_text='As feedback names it: “a concrete plan”.', max_length=100)),
                ('about', models.CharField(blank=True, choices=[('name', 'name'), ('hobbies', 'hobbies'), ('career_goals', 'career goals'), ('strengths', 'strengths'), ('experience', 'experience')], help_text='The field of the form that belongs to it.', max_length=20)),
                ('yes', models.CharField(blank=True, max_length=200, verbose_name='an example that shows it')),
                ('no', models.CharField(blank=True, max_length=200, verbose_name='one that does not')),
                ('advice', models.CharField(blank=True, help_text='To a student who did not show it.', max_length=200)),
                ('position', models.PositiveSmallIntegerField(default=0)),
            ],
            options={
                'ordering': ('position', 'pk'),
            },
        ),
        migrations.AlterModelOptions(
            name='evaluation',
            options={'ordering': ('created_at', 'pk')},
        ),
        migrations.AlterModelOptions(
            name='rubric',
            options={'ordering': ('name', 'version')},
        ),
        migrations.AddField(
            model_name='evaluation',
            name='flags',
            field=models.JSONField(default=list, help_text='For the teacher: off_topic, spoken_instructions, uncertain, doubtful.'),
        ),
        migrations.AddField(
            model_name='evaluation',
            name='method',
            field=models.CharField(choices=[('items', 'yes/no items'), ('levels', 'levels, the method before'), ('none', 'not rated: no model that can judge')], default='items', max_length=10),
        ),
        migrations.AddField(
            model_name='evaluation',
            name='provenance',
            field=models.JSONField(default=dict, help_text="What it came from: rubric, prompts, model's digest, options, transcript, raw answers."),
        ),
        migrations.AddField(
            model_name='evaluation',
            name='rubric',
            field=models.ForeignKey(help_text='Empty before items.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='ratings', to='evaluations.rubric'),
        ),
        migrations.AddField(
            model_name='rubric',
            name='examples',
            field=models.JSONField(blank=True, default=list, help_text='Worked examples for the model: [{sentences: [text], answers: {item: [numbers of sentences]}}]. One that lacks an item is left out.'),
        ),
        migrations.AddField(
            model_name='rubric',
            name='language',
            field=models.CharField(choices=[('en', 'English'), ('de', 'German')], default='en', help_text='Of its words.', max_length=10),
        ),
        migrations.AddField(
            model_name='rubric',
            name='version',
            field=models.PositiveSmallIntegerField(default=1),
        ),
        migrations.AddField(
            model_name='submission',
            name='evaluation',
            field=models.OneToOneField(blank=True, help_text='Of its ratings, the one that counts.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='current_of', to='evaluations.evaluation'),
        ),
        migrations.AlterField(
            model_name='evaluation',
            name='overall',
            field=models.FloatField(help_text='1–10, the weighted mean of the criteria; empty: not rated.', null=True),
        ),
        migrations.AlterField(
            model_name='evaluation',
            name='scores',
            field=models.JSONField(default=list, help_text='[{key, title, weight, score, items: [{key, statement, points, answer, credit, probability, sentences: [{sentence, quote, start, end}], …}]}]'),
        ),
        migrations.AlterField(
            model_name='evaluation',
            name='speech',
            field=models.JSONField(default=dict, help_text='Measured speaking facts: pace, pauses, fillers.'),
        ),
        migrations.AlterField(
            model_name='evaluation',
            name='submission',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='ratings', to='evaluations.submission'),
        ),
        migrations.AlterField(
            model_name='rubric',
            name='name',
            field=models.CharField(max_length=100),
        ),
        migrations.AddConstraint(
            model_name='rubric',
            constraint=models.UniqueConstraint(fields=('name', 'version'), name='one_rubric_per_version'),
        ),
        migrations.AddField(
            model_name='item',
            name='criterion',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='items', to='evaluations.criterion'),
        ),
        migrations.AddConstraint(
            model_name='item',
            constraint=models.UniqueConstraint(fields=('criterion', 'key'), name='one_item_per_key'),
        ),
    ]
