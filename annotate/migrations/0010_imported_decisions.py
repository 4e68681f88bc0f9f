import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("annotate", "0009_prompt_version"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="adjudication",
            name="rater",
            field=models.ForeignKey(
                help_text="whose it is where imported",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="annotate.rater",
            ),
        ),
        migrations.AddField(
            model_name="rater",
            name="former",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=60),
                blank=True,
                db_default=[],
                default=list,
                help_text="of a member who took back what they said: how their pseudonyms are called since",
                size=None,
            ),
        ),
        migrations.AlterField(
            model_name="adjudication",
            name="by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AlterField(
            model_name="judgement",
            name="checks",
            field=models.JSONField(
                db_default={},
                default=dict,
                help_text="{criterion id, or its words where imported: a, b, both, neither}",
            ),
        ),
        migrations.AddConstraint(
            model_name="adjudication",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("by", None), ("rater__isnull", False)),
                    models.Q(("by__isnull", False), ("rater", None)),
                    _connector="OR",
                ),
                name="adjudication_by_one",
            ),
        ),
    ]
