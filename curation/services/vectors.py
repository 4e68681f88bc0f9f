"""Vectors that rows are compared by, in a recipe or on a cluster: those of the project's encoder, of texts as they are
now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from django.db.models import F, JSONField, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce

from annotate.models import Comparison
from curation.exports.recipe import Recipe
from curation.models import ComparisonVector, DatasetVersion, Encoder, PromptVector
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid
from tiebreak.runs.store import whole_file

from . import loading
from .retrieving import encoder_of

Vectors = dict[int, npt.NDArray[np.float16]]
CHUNK: Final = 4096  # rows read, and written as a row group, at once
OF: Final[Mapping[str, str]] = {
    "row": """curation_comparisonvector AS v ON v.comparison_id = c.id
        AND (v.prompt, v.completion_a, v.completion_b) = (c.prompt_id, c.completion_a_id, c.completion_b_id)""",
    "prompt": "curation_promptvector AS v ON v.prompt_id = c.prompt_id",
}
"""What a vector can be of, and how it is joined to a comparison."""
_FOUND: Final = """
SELECT r.position, v.vector::halfvec({d}) FROM curation_datasetrow AS r
JOIN annotate_comparison AS c ON c.id = r.comparison_id JOIN {of} AND v.encoder_id = %(encoder)s
WHERE r.version_id = %(version)s AND r.position BETWEEN %(first)s AND %(last)s
"""


def vectors_of(project: Project, recipe: Recipe, comparisons: Sequence[int]) -> Vectors:
    """The vectors of these comparisons, or of their prompts; nothing where the recipe compares no rows by embedding.

    A comparison whose texts have changed since it was embedded has none. Raises Invalid where nothing was embedded.
    """
    rule = recipe.near_duplicates
    if rule is None or rule.by != "embedding":
        return {}
    encoder = _encoder(project, "near_duplicates.by")
    rows: Any
    if rule.of == "row":
        rows = ComparisonVector.objects.filter(
            encoder=encoder,
            comparison__in=comparisons,
            prompt=F("comparison__prompt_id"),
            completion_a=F("comparison__completion_a_id"),
            completion_b=F("comparison__completion_b_id"),
        ).values_list("comparison_id", "vector")
        return {pk: np.asarray(vector, dtype=np.float16) for pk, vector in rows}
    prompts = dict(Comparison.objects.filter(pk__in=comparisons).values_list("pk", "prompt_id"))
    rows = PromptVector.objects.filter(encoder=encoder, prompt__in=set(prompts.values()))
    known = {pk: np.asarray(vector, dtype=np.float16) for pk, vector in rows.values_list("prompt_id", "vector")}
    return {pk: known[prompt] for pk, prompt in prompts.items() if prompt in known}


def write(version: DatasetVersion, path: Path, *, of: str = "row") -> dict[str, Any]:
    """The vectors of a version's rows, or of their prompts, as a Parquet file, in the order of the version.

    Columns: id, and vector, halves; null where a comparison was not embedded, or its texts have changed since. Memory
    is flat, and the file appears under its name only when complete. Raises Invalid where nothing was embedded,
    Unavailable where the file cannot be written.
    """
    encoder = _encoder(version.dataset.project, "version")
    schema = pa.schema({"id": pa.string(), "vector": pa.list_(pa.float16(), encoder.dimension)})
    rows = missing = 0
    with whole_file(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for table in _tables(version, encoder, of, schema):
            writer.write_table(table)
            rows, missing = rows + len(table), missing + table["vector"].null_count
    told = {"version": str(version), "of": of, "encoder": encoder.spec, "dimension": encoder.dimension, "rows": rows}
    return told | {"without_vector": missing, "sha256": file.digest.hexdigest(), "file": str(path)}


def _tables(version: DatasetVersion, encoder: Encoder, of: str, schema: pa.Schema) -> Iterator[pa.Table]:
    """Some thousand rows at a time; nothing is open in the database between them."""
    named = Coalesce(
        F("comparison__external_id"), KeyTextTransform("id", Cast("line", JSONField())), output_field=TextField()
    )
    waiting = version.rows.order_by("position").values_list("position", named)
    query = _FOUND.format(d=encoder.dimension, of=OF[of])
    columns = {"position": "int4", "vector": f"halfvec({encoder.dimension})"}
    last = -1
    while some := list(waiting.filter(position__gt=last)[:CHUNK]):
        positions, ids = zip(*some, strict=True)
        last = positions[-1]
        given = {"version": version.pk, "encoder": encoder.pk, "first": positions[0], "last": last}
        found = loading.read(query, columns, given)
        vectors = np.zeros((len(ids), encoder.dimension), dtype=np.float16)
        known = np.isin(found["position"], positions)  # a row may have gone between the two queries
        at = np.searchsorted(positions, found["position"][known])
        vectors[at] = found["vector"][known]
        without = np.ones(len(ids), dtype=bool)
        without[at] = False
        cells = pa.FixedSizeListArray.from_arrays(vectors.reshape(-1), encoder.dimension, mask=pa.array(without))
        yield pa.table([pa.array(ids, pa.string()), cells], schema=schema)


def _encoder(project: Project, field: str) -> Encoder:
    encoder = encoder_of(project)
    if encoder is None:
        raise Invalid(
            f"{field}: expected comparisons that were embedded (run embed first), got a project without.",
            field=field,
            code="not_embedded",
        )
    return encoder
