"""Every row as the line that its hash is of: its fields in the schema's order, which JSONB does not keep."""

import json

from django.db import connection, migrations

BATCH = 2_000


def fill(apps, schema_editor):
    from curation.exports.files import ndjson_line
    from curation.exports.schema import normalise

    rows = apps.get_model("curation", "DatasetRow").objects
    versions = apps.get_model("curation", "DatasetVersion").objects
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL tiebreak.erase = 'on'")
    after = 0
    while batch := list(rows.filter(pk__gt=after).order_by("pk")[:BATCH]):
        for row in batch:
            content = json.loads(row.row) if isinstance(row.row, str) else row.row
            row.line = ndjson_line(normalise(content)).decode().rstrip("\n")
            row.side, row.probability = content["chosen_side"], content["probability"]
            row.n_annotators, row.n_judges = content["n_annotators"], content["n_judges"]
        rows.bulk_update(batch, ["line", "side", "probability", "n_annotators", "n_judges"])
        after = batch[-1].pk
    for version in versions.filter(status="ready"):
        from curation.exports.files import chain

        version.chain_sha256 = chain(rows.filter(version=version).order_by("position").values_list("sha256", flat=True))
        version.save(update_fields=["chain_sha256"])
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL tiebreak.erase = 'off'")


class Migration(migrations.Migration):
    dependencies = [("curation", "0010_versions")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
