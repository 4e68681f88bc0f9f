from django.db import migrations, models


class Migration(migrations.Migration):
    """Room for every seat at the highest price of a judgement; PostgreSQL rewrites no row for it."""

    dependencies = [("curation", "0008_routing_gain")]

    operations = [
        migrations.AlterField(
            model_name="routingdecision",
            name="price",
            field=models.DecimalField(decimal_places=8, help_text="expected, of all of them", max_digits=20, null=True),
        ),
    ]
