from django.db import migrations


def a_rater_for_each_adjudicator(apps, schema_editor):
    """Who only decided is followed into versions, and takes back what they said, as a rater, too."""
    adjudications, raters = apps.get_model("annotate", "Adjudication"), apps.get_model("annotate", "Rater")
    found = adjudications.objects.order_by("pk").values_list("comparison__project", "by", "by__username")
    for project, user, username in sorted({row for row in found if row[1] is not None}):
        if not raters.objects.filter(project=project, user=user).exists():
            taken = raters.objects.filter(project=project, kind="annotator", name=username).exists()
            name = f"{username}#{user}" if taken else username
            raters.objects.create(project_id=project, user_id=user, kind="annotator", name=name)


class Migration(migrations.Migration):
    dependencies = [("annotate", "0010_imported_decisions")]

    operations = [migrations.RunPython(a_rater_for_each_adjudicator, migrations.RunPython.noop)]
