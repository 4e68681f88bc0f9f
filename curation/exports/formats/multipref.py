"""A layout in the manner of MultiPref: both completions, and every single judgement in words."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from curation.exports.formats import FormatOptions
from curation.exports.formats.sides import sides
from curation.exports.formats.transcripts import plain_text
from curation.exports.schema import Native, VoteRow

TEXTS: Final = ("comparison_id", "prompt_id", "text", "completion_a", "completion_b", "model_a", "model_b")
_SAID: Final = ("evaluator", "kind", "overall_pref")


def convert(row: Native, options: FormatOptions) -> list[dict[str, Any]]:
    """Columns of texts, then annotations: who, of which kind, and what they prefer; "both-bad" where that was all."""
    a, b = sides(row)
    told = (row["id"], row["group"], plain_text(row["prompt"]), plain_text(a.messages), plain_text(b.messages))
    models = (a.generator or "unknown", b.generator or "unknown")
    said = [{"evaluator": v["rater"], "kind": v["kind"], "overall_pref": _words(v)} for v in row["votes"]]
    return [dict(zip(TEXTS, told + models, strict=True)) | {"annotations": said}]


def _words(vote: VoteRow) -> str:
    preference = vote["preference"]
    if preference is None:
        return "both-bad" if vote["both_bad"] else "unparsed"
    if preference == 0:
        return "Tie"
    side, how = "A" if preference < 0 else "B", "clearly" if abs(preference) >= 2 else "slightly"
    return f"{side}-is-{how}-better"


def schema(options: FormatOptions) -> pa.Schema:
    """Texts, and a list of judgements."""
    said = pa.list_(pa.struct([pa.field(name, pa.string(), nullable=False) for name in _SAID]))
    texts = [pa.field(name, pa.string(), nullable=False) for name in TEXTS]
    return pa.schema([*texts, pa.field("annotations", said, nullable=False)])
