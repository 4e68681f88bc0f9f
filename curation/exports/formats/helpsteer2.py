"""HelpSteer2's layout: each response by itself, with five attributes from 0 to 4, as people rated it on the form.

Ratings go from 1 to the form's largest; they are stretched to 0 to 4, averaged over raters and rounded, halves up. An
aspect that the form does not ask for is null. A row that nobody rated cannot be told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from curation.exports.formats import FormatOptions, Rating
from curation.exports.formats.sides import sides
from curation.exports.formats.transcripts import plain_text
from curation.exports.schema import Native

ATTRIBUTES: Final = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
TOP: Final = 4


def convert_rated(row: Native, ratings: Sequence[Rating], options: FormatOptions) -> list[dict[str, Any]]:
    """Two records, a's first: columns prompt, response, and the attributes."""
    prompt = plain_text(row["prompt"])
    means = [{name: _mean(ratings, name, key) for name in ATTRIBUTES} for key in "ab"]
    if all(mean is None for side in means for mean in side.values()):
        raise ValueError("ratings", f"a rating of {', '.join(ATTRIBUTES)}", f"none of row {row['id']}")
    texts = [{"prompt": prompt, "response": plain_text(side.messages)} for side in sides(row)]
    return [text | mean for text, mean in zip(texts, means, strict=True)]


def _mean(ratings: Sequence[Rating], aspect: str, side: str) -> int | None:
    said = [
        (rating.aspects[aspect][side] - 1) * TOP / (rating.most - 1)
        for rating in ratings
        if side in rating.aspects.get(aspect, {})
    ]
    return math.floor(sum(said) / len(said) + 0.5) if said else None


def schema(options: FormatOptions) -> pa.Schema:
    """Two texts and five small numbers."""
    texts = [pa.field(name, pa.string(), nullable=False) for name in ("prompt", "response")]
    return pa.schema([*texts, *(pa.field(name, pa.int32()) for name in ATTRIBUTES)])
