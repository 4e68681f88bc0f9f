from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotate", "0008_writing_less")]

    operations = [
        migrations.AddField(
            model_name="judgecall",
            name="prompt_version",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="the template; empty: none, or not kept then",
                max_length=60,
            ),
        ),
    ]
