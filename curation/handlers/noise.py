"""Noise scores that need training: ensembles out of fold, peers, confident learning and training dynamics.

Resumable: every fold and every review is a piece that is stored under the run's lease as it is done, named by what
went into it. An attempt that takes over computes only what is missing, and equal labels, texts and seeds give equal
scores.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import torch
from django.conf import settings
from django.db import transaction

from annotate.models import Comparison
from curation import noise
from curation.handlers import embedding
from curation.models import Encoder
from curation.noise.confident import confident_joint
from curation.services import loading
from curation.services.noise import Labelled, labelled, store
from curation.services.words import told
from models_rt import encoders
from models_rt.noise.ensemble import (
    MOST,
    estimated_rate,
    held_out,
    joined,
    partition_config,
    splits,
    watched,
)
from models_rt.noise.material import Material
from models_rt.noise.peers import review
from models_rt.rewards.config import TrainConfig, from_mapping
from models_rt.rewards.features import features
from models_rt.rewards.fitting import hard
from models_rt.rewards.training import best_l2, scale_of, validate
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Conflict, Invalid
from tiebreak.core.models import record
from tiebreak.runs import store as files
from tiebreak.runs.ledger import Execution

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

METHODS: Final = tuple(name for name, method in noise.METHODS.items() if method.needs == "training")
BLOCK: Final = 5_000  # comparisons whose texts are in memory at once
SAMPLE: Final = 50_000  # comparisons that the penalty is chosen on
FEWEST: Final = 10  # labels with a side: with fewer, folds teach nothing


@dataclass(frozen=True, slots=True)
class Job:
    """One run: what it may read and write, and where the labels with a side stand among all."""

    execution: Execution
    config: TrainConfig
    labels: Labelled
    sided: npt.NDArray[np.int64]
    material: Material
    groups: Sequence[str]
    key: str

    def spread(self, values: Array) -> Array:
        """Of the labels with a side, [..., sided], over all of them, nan for the others."""
        found = np.full((*values.shape[:-1], len(self.labels.id)), np.nan)
        found[..., self.sided] = values
        return found


def run(execution: Execution) -> Mapping[str, Any]:
    """Params of verbs.NoiseTrainingParams."""
    project = execution.run.project
    if project is None:
        raise Invalid("Noise scores need a project.", field="project")
    labels = labelled(project)
    sided = np.flatnonzero(labels.side != 0)
    if len(sided) < FEWEST:
        raise Invalid(
            f"Models that learn from some labels to doubt others need {FEWEST} with a side; there are {len(sided)}.",
            code="too_few_labels",
        )
    wanted = execution.params["method"]
    methods = METHODS if wanted == "all" else (wanted,)
    job = _prepared(execution, labels, sided)
    l2 = float(_piece(job, "l2", lambda: np.array(_l2(job))))
    margins = _ensemble(job, l2)
    rate = job.config.noise_rate or estimated_rate(margins.mean(axis=0)).value
    actions: dict[str, int] = {}
    for number, method in enumerate(methods):
        found = _scores(job, method, l2, margins, rate)
        proposed = store(
            execution, method, labels, _sliced(labels, found), number * len(labels.id), len(methods) * len(labels.id)
        )
        actions = {name: actions.get(name, 0) + proposed[name] for name in {*actions, *proposed}}
    _forget(job)
    joint = confident_joint(_sigmoid(margins).mean(axis=0))
    record("noise.scored", execution.run, by=execution.run.created_by, project=project, methods=list(methods))
    return {
        "methods": list(methods),
        "scored": len(sided),
        "decisions": dict(sorted(actions.items())),
        "l2": l2,
        "noise_rate": min(MOST, rate),
        "counted_against": joint.against,
        "recurring_completions": job.material.recurring,
    }


def _prepared(execution: Execution, labels: Labelled, sided: npt.NDArray[np.int64]) -> Job:
    config = _config(execution)
    differences, items, groups = _read(execution, labels, sided, config)
    pair = np.sort(items, axis=1)
    units = groups if config.noise_folds == "group" else [f"{a}-{b}" for a, b in pair.tolist()]
    digest = hashlib.sha256(json.dumps(config.as_dict(), sort_keys=True).encode())
    for array in (labels.id[sided], labels.side[sided], differences):
        digest.update(np.ascontiguousarray(array).tobytes())
    material = Material(torch.from_numpy(differences), hard(len(sided)), units, torch.from_numpy(items))
    return Job(execution, config, labels, sided, material, groups, digest.hexdigest()[:16])


def _config(execution: Execution) -> TrainConfig:
    """The given settings over the defaults. The head is linear: each fold has one optimum, in seconds."""
    given = {
        "seed": execution.run.seed,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        **execution.params["config"],
    }
    with told():
        config = from_mapping(given)
    if config.head != "linear":
        raise Invalid(f"config.head: expected linear, got {config.head!r}.", field="config")
    return config


def _read(
    execution: Execution, labels: Labelled, sided: npt.NDArray[np.int64], config: TrainConfig
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], list[str]]:
    """Scaled differences [n, d] toward the label, completions [n, 2] (chosen, rejected) and groups, block by block."""
    read = _reader(execution, config)
    items, groups = np.empty((len(sided), 2), np.int64), list[str]()
    differences, moments = np.empty((0, 0), np.float32), np.zeros((3, 1))
    for start, rows in _blocks(labels.id[sided]):
        execution.progress(start, len(sided), note="reading features")
        part = slice(start, start + len(rows))
        toward = labels.side[sided][part] < 0
        raw = read(rows)
        if not start:
            differences = np.empty((len(sided), raw.shape[1]), np.float32)  # once: at a million they are gigabytes
        moments = moments + np.stack([np.full(raw.shape[1], len(raw)), raw.sum(0, np.float64), _squares(raw)])
        differences[part] = np.where(toward[:, None], raw[::2] - raw[1::2], raw[1::2] - raw[::2])
        items[part] = [row[4:6] if a else row[5:3:-1] for row, a in zip(rows, toward.tolist(), strict=True)]
        groups += [row[0] for row in rows]
    count, total, squares = moments
    deviation = np.sqrt(np.maximum(0.0, squares / count - (total / count) ** 2))
    differences /= scale_of(deviation.astype(np.float32), len(config.surface), config.embed_scale)
    return differences, np.unique(items, return_inverse=True)[1].reshape(-1, 2), groups


def _reader(execution: Execution, config: TrainConfig) -> Callable[[Sequence[tuple[Any, ...]]], Floats]:
    """Of rows as `_blocks` gives them, features [2 * rows, d]: a and b in turn.

    Embeddings of completions are those in the database, which the first run that needs them completes; what embeds
    the conversation reads a cache of files.
    """
    if not config.embed:
        return lambda rows: features(_texts(rows), None, (), config.surface)
    with told():
        runtime = encoders.load(config.encoder, allow_download=config.allow_download)
    if tuple(config.embed) != ("completion",):
        return lambda rows: features(
            _texts(rows),
            runtime,
            config.embed,
            config.surface,
            cache=_cache(),
            batch_size=config.batch_size,
            device=config.device,
        )
    project = cast(Project, execution.run.project)
    encoder = embedding.completions(execution, project, runtime, config.encoder)
    return lambda rows: np.concatenate([_stored(rows, encoder), features(_texts(rows), None, (), config.surface)], 1)


def _texts(rows: Sequence[tuple[Any, ...]]) -> list[tuple[tuple[Any, ...], str]]:
    return [text for row in rows for text in ((tuple(row[1]), row[2]), (tuple(row[1]), row[3]))]


STORED: Final = """
SELECT completion_id, vector FROM curation_completionvector
WHERE encoder_id = %(encoder)s AND completion_id = ANY (%(ids)s)
"""


def _stored(rows: Sequence[tuple[Any, ...]], encoder: Encoder) -> Floats:
    """Vectors [2 * rows, d] of the completions a and b in turn."""
    wanted = np.array([row[4:6] for row in rows], np.int64).reshape(-1)
    distinct, place = np.unique(wanted, return_inverse=True)
    columns = {"id": "int8", "vector": f"halfvec({encoder.dimension})"}
    found = loading.read(STORED, columns, {"encoder": encoder.pk, "ids": distinct.tolist()})
    if len(found) != len(distinct):
        raise Conflict("Completions came while their embeddings were read: start it again.", code="texts_came")
    ordered: Floats = found["vector"][np.argsort(found["id"])].astype(np.float32)
    return ordered[place]


def _squares(raw: npt.NDArray[np.float32]) -> Array:
    found: Array = np.einsum("ij,ij->j", raw, raw, dtype=np.float64)
    return found


def _blocks(ids: npt.NDArray[np.int64]) -> Iterator[tuple[int, list[tuple[Any, ...]]]]:
    """(start, rows of group, prompt, texts a and b, ids of the completions), in the order of the ids."""
    columns = (
        "group",
        "prompt__messages",
        "completion_a__text",
        "completion_b__text",
        "completion_a_id",
        "completion_b_id",
    )
    for start in range(0, len(ids), BLOCK):
        part = Comparison.objects.filter(pk__in=ids[start : start + BLOCK].tolist()).order_by("pk")
        yield start, list(part.values_list(*columns))


def _cache() -> Path:
    path: Path = settings.ENV.data_dir / "features"
    return path


def _piece(job: Job, name: str, compute: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """An array that this run has computed before, or computes and keeps now."""
    name = f"{job.key}-{name}.npy"
    kept = job.execution.run.artifacts.select_related("artifact").filter(name=name).first()
    if kept is not None:
        with files.open_artifact(kept.artifact) as source:
            found: npt.NDArray[Any] = np.load(source, allow_pickle=False)
        return found
    job.execution.check()
    found = compute()
    data = io.BytesIO()
    np.save(data, found, allow_pickle=False)
    artifact = files.put(data.getvalue(), "application/octet-stream")
    with transaction.atomic():
        job.execution.fence()
        job.execution.keep(artifact, name)
    return found


def _forget(job: Job) -> None:
    """The scores are stored: their pieces are of no more use."""
    with transaction.atomic():
        job.execution.fence()
        job.execution.run.artifacts.filter(name__startswith=f"{job.key}-").delete()


def _l2(job: Job) -> float:
    """By the loss on folds of groups held out, over a sample where there are many labels."""
    n, config = len(job.groups), job.config
    some = torch.from_numpy(np.linspace(0, n - 1, min(n, SAMPLE)).astype(np.int64))
    sample = job.material.of(some)
    groups = [job.groups[i] for i in some.tolist()]
    losses, _ = validate(sample.inputs, sample.columns, groups, config)
    return best_l2(losses, config)


def _ensemble(job: Job, l2: float) -> Array:
    """Margins [m, n] toward the labels with a side, fold by fold."""
    rows = []
    for k in range(job.config.partitions):
        config = partition_config(job.config, k)
        parts = []
        for number, (inside, outside) in enumerate(splits(job.material.units, config)):
            job.execution.progress(k * config.inner_folds + number, note="ensemble")
            found = _piece(
                job,
                f"ensemble-{k}-{number}",
                lambda config=config, inside=inside, outside=outside: held_out(  # type: ignore[misc]
                    job.material, config, l2, inside, outside
                ).astype(np.float32),
            )
            parts.append((outside, found))
        rows.append(joined(job.material, parts))
    return np.stack(rows)


def _scores(job: Job, method: str, l2: float, margins: Array, rate: float) -> noise.Scores:
    """One method over all labels; those without a side are unscored."""
    function = noise.resolve(method)
    if method == "ensemble-margin":
        scores: noise.Scores = function(job.spread(margins))
    elif method == "confident-learning":
        scores = function(job.spread(_sigmoid(margins).mean(axis=0)))
    elif method == "peer-review":
        reviewed = _piece(job, "peers", lambda: _reviewed(job, rate))
        scores = function(job.spread(reviewed[:2]), job.spread(reviewed[2]))
    else:
        scores = function(job.spread(_trajectories(job, l2)))
    return scores


def _reviewed(job: Job, rate: float) -> Array:
    """[3, n]: both peers' mean margins, and the share of rounds in which they let a pair teach."""
    found = review(
        job.material, job.config, rate, step=lambda done, total: job.execution.progress(done, total, note="peers")
    )
    return np.concatenate([found.margins, found.kept[None]])


def _trajectories(job: Job, l2: float) -> Array:
    found = np.full((job.config.epochs, len(job.groups)), np.nan)
    for number, (inside, outside) in enumerate(splits(job.material.units, job.config)):
        job.execution.progress(number, job.config.inner_folds, note="dynamics")
        found[:, outside.numpy()] = _piece(
            job,
            f"dynamics-{number}",
            lambda inside=inside, outside=outside, number=number: watched(  # type: ignore[misc]
                job.material, job.config, l2, inside, outside, number
            ).astype(np.float32),
        )
    return found


def _sliced(labels: Labelled, found: noise.Scores) -> Callable[[Labelled], noise.Scores]:
    """The part of the scores that belongs to a block."""

    def score(block: Labelled) -> noise.Scores:
        places = np.searchsorted(labels.id, block.id).tolist()
        details = found.details or [{}] * len(found.score)
        return noise.Scores(found.score[places], [found.text[i] for i in places], [details[i] for i in places])

    return score


def _sigmoid(margins: Array) -> Array:
    return 0.5 * (1 + np.tanh(margins / 2))
