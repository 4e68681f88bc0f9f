"""An embedding run: every prompt and completion of a project that the encoder has no vector of yet, then comparisons.

Resumable: what is stored is not computed again, whoever computed it. Texts go to the encoder in batches of similar
length, and each batch is stored under the run's lease.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

import numpy as np
import torch
from django.db import connection, transaction
from django.db.models import Exists, Model, OuterRef, QuerySet
from django.utils import timezone
from pgvector import HalfVector

from annotate.models import Comparison, Completion, Prompt
from curation.models import ComparisonVector, CompletionVector, Encoder, ProjectEncoder, PromptVector
from curation.services.words import told
from models_rt import encoders
from models_rt.encoders.rendering import plain
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid
from tiebreak.core.models import record
from tiebreak.runs.ledger import Execution

BATCH: Final = 1_024  # texts between two looks at the lease
COMPARISONS: Final = 20_000  # comparisons of one statement
INDEX_FROM: Final = 10_000  # below, reading all is as fast, and exact
WIDEST: Final = 4_000  # dimensions of half precision that HNSW takes; wider vectors are all read, whatever their number


class Texts(NamedTuple):
    """One kind of text: where it stands, and where its vectors go."""

    what: str
    rows: QuerySet[Any]
    model: type[Model]
    key: str


def run(execution: Execution) -> Mapping[str, Any]:
    """Params of verbs.EmbedParams."""
    project = execution.run.project
    if project is None:
        raise Invalid("Embedding needs a project.", field="project")
    with told():
        runtime = encoders.load(execution.params["encoder"])
    encoder = _known(runtime, execution.params["encoder"])
    made = {kind.what: _embed(execution, encoder, runtime, kind) for kind in _kinds(project, encoder)}
    made["comparisons"] = _combine(execution, encoder, project)
    _index(encoder)
    with transaction.atomic():
        execution.fence()
        ProjectEncoder.objects.update_or_create(
            project=project, defaults={"encoder": encoder, "run": execution.run, "updated_at": timezone.now()}
        )
        record("comparisons.embedded", execution.run, by=execution.run.created_by, project=project, **made)
    return {"encoder": encoder.spec, "dimension": encoder.dimension, **made}


def completions(execution: Execution, project: Project, runtime: encoders.Encoder, spec: str) -> Encoder:
    """Vectors for all completions of the project that have none, as trainers need them. Returns whose they are."""
    encoder = _known(runtime, spec)
    _embed(execution, encoder, runtime, _kinds(project, encoder)[1])
    return encoder


def _known(runtime: encoders.Encoder, spec: str) -> Encoder:
    defaults = {"spec": spec, "dimension": runtime.dimension}
    return Encoder.objects.get_or_create(fingerprint=runtime.fingerprint, defaults=defaults)[0]


def _kinds(project: Project, encoder: Encoder) -> tuple[Texts, Texts]:
    def without(rows: QuerySet[Any], model: type[Model], key: str) -> QuerySet[Any]:
        return rows.filter(~Exists(model._default_manager.filter(**{key: OuterRef("pk")}, encoder=encoder)))

    prompts = Prompt.objects.filter(project=project)
    completions = Completion.objects.filter(prompt__project=project)
    return (
        Texts("prompts", without(prompts, PromptVector, "prompt"), PromptVector, "prompt"),
        Texts("completions", without(completions, CompletionVector, "completion"), CompletionVector, "completion"),
    )


def _embed(execution: Execution, encoder: Encoder, runtime: encoders.Encoder, kind: Texts) -> int:
    """Vectors for all texts of a kind that have none. Returns how many were made."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    done, total = 0, kind.rows.count()
    execution.progress(done, total, note=f"embedding {kind.what}")
    for batch in _batches(kind.rows):
        distinct = list(dict.fromkeys(text for _, text in batch))
        place = {text: i for i, text in enumerate(distinct)}
        vectors = runtime.encode(distinct, device=device).astype(np.float16)
        rows = [
            kind.model(**{f"{kind.key}_id": pk, "encoder": encoder, "vector": HalfVector(vectors[place[text]])})
            for pk, text in batch
        ]
        with transaction.atomic():
            execution.fence()
            kind.model._default_manager.bulk_create(rows, batch_size=BATCH, ignore_conflicts=True)
        done += len(batch)
        execution.progress(done, total, note=f"embedding {kind.what}")
    return done


def _batches(rows: QuerySet[Any]) -> Iterator[Sequence[tuple[int, str]]]:
    """(id, text), by id. Each batch is read for itself: no cursor is open while a model computes."""
    last = 0
    while batch := list(rows.filter(pk__gt=last).order_by("pk")[:BATCH]):
        yield [(row.pk, _text(row)) for row in batch]
        last = batch[-1].pk


def _text(row: Prompt | Completion) -> str:
    return row.text if isinstance(row, Completion) else plain(cast(Any, row.messages))


COMBINE: Final = """
INSERT INTO curation_comparisonvector (comparison_id, encoder_id, prompt, completion_a, completion_b, vector)
SELECT c.id, %(encoder)s, c.prompt_id, c.completion_a_id, c.completion_b_id,
       l2_normalize(p.vector + p.vector + a.vector + b.vector)
FROM annotate_comparison AS c
JOIN curation_promptvector AS p ON p.prompt_id = c.prompt_id AND p.encoder_id = %(encoder)s
JOIN curation_completionvector AS a ON a.completion_id = c.completion_a_id AND a.encoder_id = %(encoder)s
JOIN curation_completionvector AS b ON b.completion_id = c.completion_b_id AND b.encoder_id = %(encoder)s
WHERE c.id = ANY (%(ids)s)
ON CONFLICT (comparison_id, encoder_id) DO UPDATE SET
    prompt = excluded.prompt, completion_a = excluded.completion_a, completion_b = excluded.completion_b,
    vector = excluded.vector
"""


def _combine(execution: Execution, encoder: Encoder, project: Project) -> int:
    """A vector for each comparison that has none, or one of texts that an import has replaced."""
    same = {name: OuterRef(f"{name}_id") for name in ("prompt", "completion_a", "completion_b")}
    made = ComparisonVector.objects.filter(comparison=OuterRef("pk"), encoder=encoder, **same)
    waiting = Comparison.objects.filter(~Exists(made), project=project).order_by("pk")
    done, last = 0, 0
    while ids := list(waiting.filter(pk__gt=last).values_list("pk", flat=True)[:COMPARISONS]):
        with transaction.atomic(), connection.cursor() as cursor:
            execution.fence()
            cursor.execute(COMBINE, {"encoder": encoder.pk, "ids": ids})
            done += cursor.rowcount
        last = ids[-1]
        execution.progress(done, note="comparisons")
    return done


def _index(encoder: Encoder) -> None:
    """An HNSW index for this encoder's vectors, once they are many; they have no common dimension without it."""
    if encoder.dimension > WIDEST:
        return
    if ComparisonVector.objects.filter(encoder=encoder)[: INDEX_FROM + 1].count() <= INDEX_FROM:
        return
    name = f"comparison_vector_{encoder.pk}"
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE INDEX IF NOT EXISTS {name} ON curation_comparisonvector "
            f"USING hnsw ((vector::halfvec({encoder.dimension})) halfvec_cosine_ops) WHERE encoder_id = {encoder.pk}"
        )
