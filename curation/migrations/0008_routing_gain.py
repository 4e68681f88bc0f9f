from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("curation", "0007_embeddings")]

    operations = [
        migrations.AddIndex(
            model_name="routingdecision",
            index=models.Index(condition=models.Q(("current", True)), fields=["-gain"], name="routing_gain"),
        ),
    ]
