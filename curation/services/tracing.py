"""What a version's rows rest on, counted once while it is built: under which form and rubric it was said, at what cost.

Afterwards a million rows need not be read to learn which versions hold what was said under some guidelines.
"""

from __future__ import annotations

from typing import Final

from django.db import connection, transaction

from curation.models import DatasetVersion, VersionWork

_KEEP: Final = """
    INSERT INTO curation_versionwork
        (version_id, kind, form_id, rubric_id, rows, judgements, seconds, timed, price, priced)
    SELECT said.version_id, rater.kind, judgement.form_id, coalesce(judgement.rubric_id, judge.rubric_id),
           count(DISTINCT said.position), count(*), coalesce(sum(judgement.seconds), 0), count(judgement.seconds),
           coalesce(sum(call.price), 0), count(call.price)
    FROM (SELECT version_id, position, jsonb_array_elements(lineage->'judgements')::bigint AS id
          FROM curation_datasetrow WHERE version_id = %(version)s) AS said
    JOIN annotate_judgement AS judgement ON judgement.id = said.id
    JOIN annotate_rater AS rater ON rater.id = judgement.rater_id
    LEFT JOIN annotate_judge AS judge ON judge.id = rater.judge_id
    LEFT JOIN annotate_judgecall AS call ON call.judgement_id = judgement.id
    GROUP BY 1, 2, 3, 4
"""


def keep(version: DatasetVersion) -> None:
    """Count what the rows of a version that is building rest on, by their lineage. Asked again it counts anew."""
    with transaction.atomic(), connection.cursor() as cursor:
        VersionWork.objects.filter(version=version).delete()
        cursor.execute(_KEEP, {"version": version.pk})
