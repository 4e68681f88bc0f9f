"""Versions that can be looked into: lines as they are hashed, lineage, contributions, tags, notes, withdrawals."""

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_collecting"),
        ("annotate", "0008_writing_less"),
        ("curation", "0009_routing_price"),
        ("runs", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="EvaluationSet",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    models.CharField(
                        max_length=64,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[a-z0-9][a-z0-9-]*\\Z", "lower-case letters, digits and hyphens, such as chat-2026"
                            )
                        ],
                    ),
                ),
                ("texts", models.PositiveIntegerField()),
                ("sha256", models.CharField(max_length=64)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Tombstone",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("external_id", models.CharField(max_length=200)),
                ("split", models.CharField(max_length=16)),
                (
                    "verdict",
                    models.CharField(
                        choices=[
                            ("chosen", "one side is preferred: a pair"),
                            ("tie", "neither side is: kept by the recipe, never told as a pair"),
                            ("both_bad", "neither is any good: kept by the recipe, never told as a pair"),
                        ],
                        max_length=8,
                    ),
                ),
                ("sha256", models.CharField(help_text="of the row as it was", max_length=64)),
                (
                    "became",
                    models.CharField(
                        blank=True, default="", help_text="hash of what is left; empty: nothing is", max_length=64
                    ),
                ),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "ordering": ["version", "position", "id"],
            },
        ),
        migrations.CreateModel(
            name="VersionContribution",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("rows", models.PositiveIntegerField()),
                ("judgements", models.PositiveIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="VersionNote",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("text", models.TextField()),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="VersionTag",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    models.CharField(
                        max_length=40,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^(?!latest$)[a-z][a-z0-9-]*$", "lower-case letters, digits and hyphens; a letter first"
                            )
                        ],
                    ),
                ),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Withdrawal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[("rater", "all that one rater said"), ("comparison", "one comparison with its texts")],
                        max_length=16,
                    ),
                ),
                ("reason", models.TextField()),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.AddField(
            model_name="datasetrow",
            name="line",
            field=models.TextField(
                default="", help_text="the native row as JSON, byte by byte what its hash is of, without the line's end"
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="datasetrow",
            name="lineage",
            field=models.JSONField(
                default=dict,
                help_text="ids at the time of the build: judgements, adjudication, noise, routing; and `changes`",
            ),
        ),
        migrations.AddField(
            model_name="datasetrow",
            name="n_annotators",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="datasetrow",
            name="n_judges",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="datasetrow",
            name="probability",
            field=models.FloatField(default=0.5),
        ),
        migrations.AddField(
            model_name="datasetrow",
            name="side",
            field=models.CharField(
                blank=True, default="", help_text="a or b; empty where none is chosen", max_length=1
            ),
        ),
        migrations.AddField(
            model_name="datasetrow",
            name="verdict",
            field=models.CharField(
                choices=[
                    ("chosen", "one side is preferred: a pair"),
                    ("tie", "neither side is: kept by the recipe, never told as a pair"),
                    ("both_bad", "neither is any good: kept by the recipe, never told as a pair"),
                ],
                default="chosen",
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="datasetversion",
            name="chain_sha256",
            field=models.CharField(
                blank=True,
                default="",
                help_text="of the rows' own hashes in order: still provable once rows go",
                max_length=64,
            ),
        ),
        migrations.AddField(
            model_name="datasetversion",
            name="changed",
            field=models.JSONField(default=dict, help_text="{rule: rows that it altered}"),
        ),
        migrations.AddField(
            model_name="versionfile",
            name="former",
            field=models.JSONField(
                default=list, help_text="[{sha256, rows, withdrawal, at}]: what it was before withdrawals"
            ),
        ),
        migrations.AddField(
            model_name="versionfile",
            name="undecided",
            field=models.BooleanField(default=False, help_text="holds the rows without a chosen side, and no other"),
        ),
        migrations.AlterField(
            model_name="datasetversion",
            name="counts",
            field=models.JSONField(default=dict, help_text="{split: rows with a chosen side}"),
        ),
        migrations.AlterField(
            model_name="datasetversion",
            name="dropped",
            field=models.JSONField(default=dict, help_text="{rule: comparisons left out}"),
        ),
        migrations.AddField(
            model_name="evaluationset",
            name="artifact",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="runs.artifact"),
        ),
        migrations.AddField(
            model_name="evaluationset",
            name="by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="evaluationset",
            name="project",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="evaluation_sets", to="accounts.project"
            ),
        ),
        migrations.AddField(
            model_name="tombstone",
            name="version",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="tombstones", to="curation.datasetversion"
            ),
        ),
        migrations.AddField(
            model_name="versioncontribution",
            name="rater",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="contributions", to="annotate.rater"
            ),
        ),
        migrations.AddField(
            model_name="versioncontribution",
            name="version",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="contributions", to="curation.datasetversion"
            ),
        ),
        migrations.AddField(
            model_name="versionnote",
            name="by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="versionnote",
            name="version",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="notes", to="curation.datasetversion"
            ),
        ),
        migrations.AddField(
            model_name="versiontag",
            name="by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="versiontag",
            name="dataset",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="tags", to="curation.dataset"
            ),
        ),
        migrations.AddField(
            model_name="versiontag",
            name="version",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="tags", to="curation.datasetversion"
            ),
        ),
        migrations.AddField(
            model_name="withdrawal",
            name="by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="withdrawal",
            name="comparison",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="withdrawals",
                to="annotate.comparison",
            ),
        ),
        migrations.AddField(
            model_name="withdrawal",
            name="project",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="withdrawals", to="accounts.project"
            ),
        ),
        migrations.AddField(
            model_name="withdrawal",
            name="rater",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.CASCADE, related_name="withdrawals", to="annotate.rater"
            ),
        ),
        migrations.AddField(
            model_name="withdrawal",
            name="run",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to="runs.run"
            ),
        ),
        migrations.AddField(
            model_name="tombstone",
            name="withdrawal",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="tombstones", to="curation.withdrawal"
            ),
        ),
        migrations.AddConstraint(
            model_name="evaluationset",
            constraint=models.UniqueConstraint(fields=("project", "name"), name="evaluation_set_once"),
        ),
        migrations.AddConstraint(
            model_name="versioncontribution",
            constraint=models.UniqueConstraint(fields=("version", "rater"), name="contribution_once"),
        ),
        migrations.AddConstraint(
            model_name="versiontag",
            constraint=models.UniqueConstraint(fields=("dataset", "name"), name="tag_once"),
        ),
        migrations.AddConstraint(
            model_name="versiontag",
            constraint=models.CheckConstraint(
                condition=models.Q(("name__regex", "^[a-z][a-z0-9-]*$"), models.Q(("name", "latest"), _negated=True)),
                name="tag_name",
            ),
        ),
        migrations.AddConstraint(
            model_name="withdrawal",
            constraint=models.UniqueConstraint(fields=("rater",), name="withdrawal_rater_once"),
        ),
        migrations.AddConstraint(
            model_name="withdrawal",
            constraint=models.UniqueConstraint(fields=("comparison",), name="withdrawal_comparison_once"),
        ),
        migrations.AddConstraint(
            model_name="withdrawal",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("comparison__isnull", True), ("kind", "rater"), ("rater__isnull", False)),
                    models.Q(("comparison__isnull", False), ("kind", "comparison"), ("rater__isnull", True)),
                    _connector="OR",
                ),
                name="withdrawal_of_one_thing",
            ),
        ),
        migrations.AddConstraint(
            model_name="tombstone",
            constraint=models.UniqueConstraint(fields=("version", "position", "withdrawal"), name="tombstone_once"),
        ),
    ]
