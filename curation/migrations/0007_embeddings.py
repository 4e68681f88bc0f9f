"""Embeddings with their encoders; what tells a consensus that it is behind, and how far the log was followed."""

import django.db.models.deletion
import django.db.models.functions.datetime
import pgvector.django.halfvec
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0002_collecting'),
        ('annotate', '0008_writing_less'),
        ('core', '0003_vector'),
        ('curation', '0006_routing_trust'),
        ('runs', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='ComparisonVector',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('prompt', models.BigIntegerField(help_text='ids of what it was made of: an import may have replaced them since')),
                ('completion_a', models.BigIntegerField()),
                ('completion_b', models.BigIntegerField()),
                ('vector', pgvector.django.halfvec.HalfVectorField()),
            ],
        ),
        migrations.CreateModel(
            name='CompletionVector',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('vector', pgvector.django.halfvec.HalfVectorField()),
            ],
        ),
        migrations.CreateModel(
            name='Encoder',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('spec', models.CharField(help_text='as it is chosen, such as minilm', max_length=300)),
                ('fingerprint', models.CharField(max_length=200, unique=True)),
                ('dimension', models.PositiveIntegerField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name='Followed',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('judgement', models.BigIntegerField(default=0)),
                ('event', models.BigIntegerField(default=0)),
                ('owed', models.JSONField(default=dict, help_text='{project: judgement}: from where to look again, since another held the project')),
                ('reconciled_at', models.DateTimeField(help_text='when all was last compared with all', null=True)),
            ],
            options={
                'verbose_name_plural': 'followed',
            },
        ),
        migrations.CreateModel(
            name='ProjectEncoder',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name='PromptVector',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('vector', pgvector.django.halfvec.HalfVectorField()),
            ],
        ),
        migrations.AddField(
            model_name='consensus',
            name='last_judgement',
            field=models.BigIntegerField(default=0, help_text='the newest of them: tells whether others came since'),
        ),
        migrations.AddField(
            model_name='consensus',
            name='n_readings',
            field=models.PositiveIntegerField(default=0, help_text='current judgements when it was made, unreadable too'),
        ),
        migrations.AddIndex(
            model_name='consensus',
            index=models.Index(condition=models.Q(('provisional', True)), fields=['aggregation', 'updated_at'], name='consensus_news'),
        ),
        migrations.AddField(
            model_name='comparisonvector',
            name='comparison',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='annotate.comparison'),
        ),
        migrations.AddField(
            model_name='completionvector',
            name='completion',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='annotate.completion'),
        ),
        migrations.AddConstraint(
            model_name='encoder',
            constraint=models.CheckConstraint(condition=models.Q(('dimension__gte', 1)), name='encoder_dimension'),
        ),
        migrations.AddField(
            model_name='completionvector',
            name='encoder',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='curation.encoder'),
        ),
        migrations.AddField(
            model_name='comparisonvector',
            name='encoder',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='curation.encoder'),
        ),
        migrations.AddConstraint(
            model_name='followed',
            constraint=models.CheckConstraint(condition=models.Q(('id', 1)), name='followed_one_row'),
        ),
        migrations.AddField(
            model_name='projectencoder',
            name='encoder',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='curation.encoder'),
        ),
        migrations.AddField(
            model_name='projectencoder',
            name='project',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='encoder', to='accounts.project'),
        ),
        migrations.AddField(
            model_name='projectencoder',
            name='run',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='runs.run'),
        ),
        migrations.AddField(
            model_name='promptvector',
            name='encoder',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='curation.encoder'),
        ),
        migrations.AddField(
            model_name='promptvector',
            name='prompt',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='annotate.prompt'),
        ),
        migrations.AddConstraint(
            model_name='completionvector',
            constraint=models.UniqueConstraint(fields=('completion', 'encoder'), name='completion_vector_once'),
        ),
        migrations.AddConstraint(
            model_name='comparisonvector',
            constraint=models.UniqueConstraint(fields=('comparison', 'encoder'), name='comparison_vector_once'),
        ),
        migrations.AddConstraint(
            model_name='promptvector',
            constraint=models.UniqueConstraint(fields=('prompt', 'encoder'), name='prompt_vector_once'),
        ),
    ]
