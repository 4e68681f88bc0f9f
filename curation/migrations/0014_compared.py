"""The index by which a comparison's row is found holds what tells two versions apart: they are compared by it alone."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("curation", "0013_lineage")]

    operations = [
        migrations.RemoveConstraint(model_name="datasetrow", name="row_comparison_once"),
        migrations.AddConstraint(
            model_name="datasetrow",
            constraint=models.UniqueConstraint(
                fields=("version", "comparison"),
                include=("sha256", "split", "verdict", "side"),
                name="row_comparison_once",
            ),
        ),
    ]
