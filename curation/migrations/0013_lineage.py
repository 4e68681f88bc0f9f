"""What a version's judgements were made under and cost, for good; rare rows of a version found by an index."""

import django.db.models.deletion
from django.db import migrations, models

FORWARD = """
CREATE TRIGGER work_immutable BEFORE INSERT OR UPDATE OR DELETE ON curation_versionwork
    FOR EACH ROW EXECUTE FUNCTION curation_refuse_ready();
"""
BACKWARD = "DROP TRIGGER work_immutable ON curation_versionwork;"


class Migration(migrations.Migration):
    dependencies = [
        ("annotate", "0008_writing_less"),
        ("curation", "0012_lines_only"),
    ]

    operations = [
        migrations.CreateModel(
            name="VersionWork",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(help_text="annotator or judge", max_length=16)),
                ("rows", models.PositiveIntegerField()),
                ("judgements", models.PositiveIntegerField()),
                ("seconds", models.FloatField(help_text="active time, of those judgements where it is known")),
                ("timed", models.PositiveIntegerField(help_text="judgements whose active time is known")),
                (
                    "price",
                    models.DecimalField(decimal_places=8, help_text="of the calls that are known", max_digits=20),
                ),
                ("priced", models.PositiveIntegerField(help_text="judgements whose call is known")),
            ],
        ),
        migrations.AddIndex(
            model_name="datasetrow",
            index=models.Index(
                condition=models.Q(("verdict", "chosen"), _negated=True),
                fields=["version", "verdict", "position"],
                name="row_undecided",
            ),
        ),
        migrations.AddIndex(
            model_name="datasetrow",
            index=models.Index(
                condition=models.Q(("lineage__has_key", "changes")), fields=["version", "position"], name="row_changed"
            ),
        ),
        migrations.AddField(
            model_name="versionwork",
            name="form",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="annotate.form"
            ),
        ),
        migrations.AddField(
            model_name="versionwork",
            name="rubric",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="annotate.rubric"
            ),
        ),
        migrations.AddField(
            model_name="versionwork",
            name="version",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="work", to="curation.datasetversion"
            ),
        ),
        migrations.AddConstraint(
            model_name="versionwork",
            constraint=models.UniqueConstraint(
                fields=("version", "kind", "form", "rubric"), name="version_work_once", nulls_distinct=False
            ),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
