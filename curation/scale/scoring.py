"""Curation of partitions: consensus, noise scores and routing features of every row, written as Parquet beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.noise import consensus_entropy
from curation.routing import Item, extract
from curation.scale.engine import Engine
from curation.scale.fitting import dawid_skene
from curation.scale.partitions import Part, read
from curation.stats.aggregation.contract import signed_strength
from curation.stats.votes import FloatArray, Votes

TEXTS = ("id", "prompt", "chosen", "rejected", "chosen_side")


def curate(parts: Sequence[Part], out: Path | str, engine: Engine, **limits: Any) -> Mapping[str, Any]:
    """Fit, score and describe every row of the partitions; one file ``part-N.parquet`` each in the folder ``out``.

    Columns: id, p_a, p_tie, p_b, preference, noise (consensus entropy), noise_because, and one a routing feature. The
    folder must be there for every worker. Returns figures of the fit.
    """
    fit = dawid_skene(parts, engine, **limits)
    Path(out).mkdir(parents=True, exist_ok=True)
    files = [str(Path(out) / f"part-{number:05d}.parquet") for number in range(len(parts))]
    written = engine.bring(engine.each(_curated, parts, fit.votes, fit.posterior, files))
    return {
        "rows": sum(written),
        "partitions": len(parts),
        "raters": len(fit.raters),
        "iterations": fit.n_iter,
        "converged": fit.converged,
        "log_likelihood": fit.log_likelihood,
    }


def _curated(part: Part, votes: Votes, posterior: FloatArray, file: str) -> int:
    noise = consensus_entropy(posterior)
    told = extract(map(_item, read(part, TEXTS).to_pylist()))
    columns: dict[str, Any] = {
        "id": list(votes.comparisons),
        **{f"p_{side}": posterior[:, k] for k, side in enumerate(("a", "tie", "b"))},
        "preference": np.clip(signed_strength(votes, posterior), -3, 3),
        "noise": noise.score,
        "noise_because": noise.text,
        **{f"feature_{name}": told.table[:, i] for i, name in enumerate(told.names)},
    }
    pq.write_table(pa.table(columns), file, compression="zstd")
    return len(posterior)


def _item(row: Mapping[str, Any]) -> Item:
    sides = {"a": row["chosen"], "b": row["rejected"]}
    if row["chosen_side"] == "b":
        sides = {"a": row["rejected"], "b": row["chosen"]}
    return Item(
        id=row["id"],
        prompt="\n".join(message["content"] for message in row["prompt"]),
        completion_a=sides["a"][-1]["content"],
        completion_b=sides["b"][-1]["content"],
        turns=len(row["prompt"]),
    )
