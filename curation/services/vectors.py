"""Vectors that a recipe compares rows by: those of the project's encoder, of texts as they are now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db.models import F

from annotate.models import Comparison
from curation.exports.recipe import Recipe
from curation.models import ComparisonVector, PromptVector
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid

from .retrieving import encoder_of

Vectors = dict[int, npt.NDArray[np.float16]]


def vectors_of(project: Project, recipe: Recipe, comparisons: Sequence[int]) -> Vectors:
    """The vectors of these comparisons, or of their prompts; nothing where the recipe compares no rows by embedding.

    A comparison whose texts have changed since it was embedded has none. Raises Invalid where nothing was embedded.
    """
    rule = recipe.near_duplicates
    if rule is None or rule.by != "embedding":
        return {}
    encoder = encoder_of(project)
    if encoder is None:
        raise Invalid(
            "near_duplicates.by: expected comparisons that were embedded (run embed first), got a project without.",
            field="near_duplicates.by",
            code="not_embedded",
        )
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
