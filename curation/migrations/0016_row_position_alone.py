"""Rows of a version are found by (version, position) alone: beside the index of the foreign key, a planner that knew
nothing of a new version took that one, and read all of the version for each block of a stream.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("curation", "0015_insert_once")]

    operations = [
        migrations.AlterField(
            model_name="datasetrow",
            name="version",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="rows",
                to="curation.datasetversion",
            ),
        ),
    ]
