"""Training, evaluating and using reward models: dataset versions in, registered models, figures and margins out."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from django.conf import settings
from django.db import transaction
from django.db.models import F, FloatField, Value
from django.db.models.functions import Abs, Greatest

from annotate.models import Adjudication, Comparison
from curation.exports.files import read_parquet
from curation.models import DatasetVersion, Evaluation, RewardMargin, RewardModel
from curation.services import retrieving, routing
from curation.services.verbs import ready
from curation.services.words import told
from curation.stats import ece
from models_rt import benchmarks
from models_rt.records import Pair, PreferenceRow
from models_rt.rewards import model as saved
from models_rt.rewards.config import TrainConfig, from_mapping
from models_rt.rewards.evaluation import evaluate as measure
from models_rt.rewards.evaluation import margins_of
from models_rt.rewards.training import out_of_fold
from models_rt.rewards.training import train as fit
from tiebreak.core.errors import Conflict, Invalid
from tiebreak.core.models import record
from tiebreak.runs import store
from tiebreak.runs.ledger import Execution

BINS: Final = 10
BATCH: Final = 2_000
CONFIDENT_MARGIN: Final = 0.5  # log-odds against the label from which a disagreement is the model's opinion, not noise


def train(execution: Execution) -> Mapping[str, Any]:
    """Params of verbs.TrainParams. Trains on the train split, measures on the test split, scores the whole project."""
    version = ready(DatasetVersion.objects.select_related("dataset__project").get(pk=execution.params["version"]))
    model = RewardModel.objects.filter(run=execution.run).first()
    rows = list(_rows(version))
    config = _config(version, execution)
    if model is None:
        model = _trained(execution, version, rows, config)
    test = _measured(execution, model, rows, f"{version}/test")
    scored = _score_project(execution, model, version, rows, config)
    return {
        "model": model.name,
        "version": str(version),
        "training": model.training,
        "test": test,
        "margins": scored,
    }


LLAMA_MARGIN: Final = 1 / 3  # per level of strength: Llama 2's small margin (2307.09288, table 27)


def _config(version: DatasetVersion, execution: Execution) -> TrainConfig:
    """The given settings over the defaults; the recipe's target decides what of a label is learned."""
    target = version.recipe.get("target")
    given = {
        "soft_labels": target in ("soft", "tie-aware"),
        "ties": target == "tie-aware",
        "margin": LLAMA_MARGIN if target == "margin" else 0.0,
        "seed": execution.run.seed,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        **execution.params["config"],
    }
    with told():
        return from_mapping(given)


def _rows(version: DatasetVersion) -> Iterator[PreferenceRow]:
    """The version as training reads it, from its own immutable files.

    Ties that the recipe keeps are learned from where its target knows ties; nothing is measured on them.
    """
    knows_ties = version.recipe.get("target") == "tie-aware"
    for file in version.files.select_related("artifact").order_by("undecided", "name"):
        if file.undecided and not (knows_ties and file.split == "train"):
            continue
        with store.on_disk(file.artifact) as path:
            read = _tied if file.undecided else _pair
            yield from (row for row in map(read, read_parquet(path)) if row is not None)


def _pair(row: Mapping[str, Any]) -> PreferenceRow:
    return PreferenceRow(
        id=row["id"],
        prompt=tuple(row["prompt"]),
        chosen=row["chosen"][-1]["content"],
        rejected=row["rejected"][-1]["content"],
        margin=row["margin"],
        weight=1.0,
        split=row["split"],
        group=row["group"],
        probability=row["probability"],
        tie=row.get("tie_probability") or 0.0,
    )


def _tied(row: Mapping[str, Any]) -> PreferenceRow | None:
    """A tie as a pair with a in the place of chosen, which its probability says nothing for; both bad says nothing."""
    if row["undecided"] != "tie":
        return None
    return PreferenceRow(
        id=row["id"],
        prompt=tuple(row["prompt"]),
        chosen=row["completion_a"][-1]["content"],
        rejected=row["completion_b"][-1]["content"],
        margin=None,
        weight=1.0,
        split=row["split"],
        group=row["group"],
        probability=1 - row["probability"],
        tie=row["tie_probability"],
    )


def _cache() -> Path:
    path: Path = settings.ENV.data_dir / "features"
    return path


def _trained(
    execution: Execution, version: DatasetVersion, rows: Sequence[PreferenceRow], config: TrainConfig
) -> RewardModel:
    def say(stage: str, done: int, total: int) -> None:
        execution.progress(done, total, note=stage)

    with told():
        result = fit(rows, config, progress=say, cache=_cache())
    with tempfile.TemporaryDirectory() as folder:
        result.model.save(Path(folder))
        weights = store.put((Path(folder) / saved.WEIGHTS).read_bytes(), "application/octet-stream")
        described = store.put((Path(folder) / saved.CONFIG).read_bytes(), "application/json")
    project = version.dataset.project
    name = execution.params["name"] or f"{version.dataset.name}-{version.number}-run{execution.run.pk}"
    with transaction.atomic():
        execution.fence()
        if RewardModel.objects.filter(name=name).exists():
            raise Conflict(f"There is a reward model {name!r} already.", code="model_exists")
        model = RewardModel.objects.create(
            project=project,
            name=name,
            version=version,
            config=config.as_dict(),
            seed=config.seed,
            weights=weights,
            model_config=described,
            training={
                "rows": result.model.facts["rows"],
                "skipped_rows": result.model.facts["skipped_rows"],
                "groups": result.model.facts["groups"],
                "truncated": result.model.facts["truncated"],
                "loss": result.loss,
                "l2": result.l2,
                "validation": result.validation,
                "notes": list(result.notes),
            },
            run=execution.run,
            created_by=execution.run.created_by,
        )
        record("model.trained", model, by=execution.run.created_by, project=project, version=str(version))
    execution.keep(weights, saved.WEIGHTS)
    execution.keep(described, saved.CONFIG)
    return model


def _measured(
    execution: Execution, model: RewardModel, rows: Sequence[PreferenceRow], benchmark: str
) -> dict[str, Any]:
    """Figures on the rows of the split `test`, stored once for the same data, with the reliability diagram's bins."""
    runtime = loaded(model.name)
    found = measure(runtime, rows, bins=BINS, seed=model.seed)
    metrics = found.as_dict() | {"bins": _bins(margins_of(runtime, [row for row in rows if row.split == "test"]))}
    with transaction.atomic():
        execution.fence()
        Evaluation.objects.update_or_create(
            reward_model=model,
            benchmark=benchmark[:64],
            data_sha256=found.data_sha256,
            defaults={"metrics": metrics, "run": execution.run},
        )
    return metrics


def _bins(margins: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[dict[str, Any]]:
    """Reliability bins over both orientations of every pair: a model that always says "chosen" gains nothing."""
    both = np.concatenate([margins, -margins])
    probability = 1 / (1 + np.exp(-both))
    right = np.concatenate([np.ones(len(margins)), np.zeros(len(margins))])
    told_ = ece(probability, right, bins=BINS)
    return [
        {"low": float(low), "high": float(high), "n": int(n), "mean": float(mean), "frequency": float(share)}
        for low, high, n, mean, share in zip(
            told_.low_edge, told_.high_edge, told_.n, told_.mean_probability, told_.frequency, strict=True
        )
        if n
    ]


def _score_project(
    execution: Execution,
    model: RewardModel,
    version: DatasetVersion,
    rows: Sequence[PreferenceRow],
    config: TrainConfig,
) -> int:
    """A margin for every comparison of the project, each by a model that was not trained on its group.

    The training rows are scored out of fold: by models fitted on the other folds of groups, with the chosen L2.
    """
    runtime = loaded(model.name)
    sides = dict(version.rows.values_list("comparison__external_id", "side"))
    keys = dict(Comparison.objects.filter(project=model.project).values_list("external_id", "pk"))
    margins: dict[int, float] = {}
    learned = [row for row in rows if row.split == "train"]
    held_out = out_of_fold(learned, replace(config, l2=(float(model.training["l2"]),)), cache=_cache())
    for row, margin in zip(learned, held_out.tolist(), strict=True):
        if not math.isnan(margin):
            margins[keys[row.id]] = margin if sides[row.id] == "b" else -margin
    in_training = {keys[row.id] for row in learned}
    others = Comparison.objects.filter(project=model.project).exclude(pk__in=in_training).exclude(status="withdrawn")
    waiting = others.select_related("prompt", "completion_a", "completion_b").order_by("id")
    done, batch = len(margins), list[Comparison]()
    total = done + waiting.count()
    for comparison in waiting.iterator(chunk_size=BATCH):
        batch.append(comparison)
        if len(batch) == BATCH:
            margins |= _scores(runtime, batch)
            batch = []
            execution.progress(len(margins), total, note="scoring")
    margins |= _scores(runtime, batch)
    with transaction.atomic():
        execution.fence()
        RewardMargin.objects.filter(reward_model=model).delete()
        RewardMargin.objects.bulk_create(
            (RewardMargin(reward_model=model, comparison_id=pk, margin=m, held_out=True) for pk, m in margins.items()),
            batch_size=5_000,
        )
    execution.progress(len(margins), total, note="scored")
    return len(margins)


def _scores(runtime: saved.RewardModel, batch: Sequence[Comparison]) -> dict[int, float]:
    pairs = [Pair(str(c.pk), tuple(c.prompt.messages), c.completion_a.text, c.completion_b.text) for c in batch]
    return {c.pk: float(m) for c, m in zip(batch, runtime.score(pairs), strict=True)} if batch else {}


@lru_cache(maxsize=2)
def loaded(name: str) -> saved.RewardModel:
    """A registered model, from the store's files. The weights are content-addressed, so what is loaded is what was
    measured.
    """
    model = RewardModel.objects.select_related("weights", "model_config").filter(name=name).first()
    if model is None:
        raise Invalid(f"reward_model: there is no reward model {name!r}.", field="reward_model")
    with tempfile.TemporaryDirectory() as folder:
        for artifact, file in ((model.weights, saved.WEIGHTS), (model.model_config, saved.CONFIG)):
            with store.open_artifact(artifact) as source, (Path(folder) / file).open("wb") as target:
                shutil.copyfileobj(source, target)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return saved.load(Path(folder), device=device, cache=_cache())


def evaluate(execution: Execution) -> Mapping[str, Any]:
    """Params of verbs.EvaluateParams: a benchmark's file, or without a path the version's own test split."""
    model = RewardModel.objects.select_related("version__dataset__project").get(pk=execution.params["model"])
    path = execution.params["path"]
    if path is None:
        rows, name = list(_rows(ready(model.version))), f"{model.version}/test"
    else:
        with told():
            rows = [replace(row, split="test") for row in benchmarks.read(execution.params["benchmark"], Path(path))]
        name = f"{execution.params['benchmark']}: {Path(path).name}"
    metrics = _measured(execution, model, rows, name)
    return {"model": model.name, "benchmark": name, **metrics}


def score(execution: Execution) -> Mapping[str, Any]:
    """Params: model (id), rows [{prompt, completion}]. The result's `rewards` are in their order."""
    model = RewardModel.objects.get(pk=execution.params["model"])
    items = [(tuple(row["prompt"]), row["completion"]) for row in execution.params["rows"]]
    rewards = loaded(model.name).rewards(items)
    return {"model": model.name, "rewards": [round(float(r), 6) for r in rewards]}


def send_back(execution: Execution) -> Mapping[str, Any]:
    """Params of verbs.ReturnParams: confident labels that the model confidently contradicts go to people again, once:
    where they stand by the label, the model does not ask another time.
    """
    model = RewardModel.objects.select_related("project").get(pk=execution.params["model"])
    least = execution.params["min_probability"]
    comparisons = Comparison.objects.filter(project=model.project)
    asked = comparisons.filter(returned_because__startswith=f"{model.name} prefers ")
    answered = asked.exclude(pk__in=comparisons.open())
    against = (
        RewardMargin.objects.filter(reward_model=model, held_out=True, comparison__consensus__n_annotators__gte=1)
        .annotate(
            sure=Greatest(F("comparison__consensus__p_a"), F("comparison__consensus__p_b"), output_field=FloatField()),
            lean=F("comparison__consensus__p_b") - F("comparison__consensus__p_a"),
            size=Abs("margin"),
            against=F("margin") * (F("comparison__consensus__p_a") - F("comparison__consensus__p_b")),
        )
        .filter(sure__gte=least, size__gte=CONFIDENT_MARGIN, against__gt=Value(0.0))
        .exclude(comparison__status=Comparison.Status.WITHDRAWN)
        .exclude(comparison__in=answered)
        .exclude(comparison__in=Adjudication.objects.filter(current=True).values("comparison"))
        .order_by("-size", "comparison_id")
    )
    considered = against.count()
    reasons: dict[int, tuple[str, float]] = {}
    for row in against:
        label, side = ("a", "b") if row.lean < 0 else ("b", "a")
        opinion = 1 / (1 + float(np.exp(-row.size)))
        # Bayes' rule for two independent witnesses, as in curation.noise: the probability that the label is wrong.
        right, wrong = row.sure * (1 - opinion), (1 - row.sure) * opinion
        reasons[row.comparison_id] = (
            f"{model.name} prefers {side} ({opinion:.0%}), the raters {label} ({row.sure:.0%})",
            wrong / (right + wrong),
        )
    with transaction.atomic():
        execution.fence()
        ids = routing.send_back(
            model.project,
            dict(list(reasons.items())[: execution.params["limit"]]),
            policy="reward-model-disagreement",
            run=execution.run,
            by=execution.run.created_by,
        )
        brought = _bring_alike(execution, model, execution.params.get("neighbours", 0))
    told_ = {"model": model.name, "considered": considered, "returned": len(ids), "comparisons": sorted(ids)}
    return told_ | ({"brought_forward": brought} if execution.params.get("neighbours") else {})


def _bring_alike(execution: Execution, model: RewardModel, k: int) -> int:
    """Open comparisons that resemble what the model gets wrong go to people, first; what measures it brings none."""
    if not k:
        return 0
    measures = set(model.version.rows.filter(split="test").values_list("comparison_id", flat=True))
    alike = retrieving.error_driven(model, k_max=k, evaluation=measures)
    alike = alike[: execution.params["limit"]]
    names = dict(Comparison.objects.filter(pk__in=[why for _, why, _ in alike]).values_list("pk", "external_id"))
    reasons = {
        pk: f"like {names[why][:100]} (similarity {similarity:.2f}), which {model.name} gets wrong"
        for pk, why, similarity in alike
    }
    return len(retrieving.bring_forward(model.project, reasons, run=execution.run, by=execution.run.created_by))
