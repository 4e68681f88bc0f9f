"""Reward models beside the length baseline, and one model with its worst errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import F, Q
from django.db.models.functions import Abs

from curation.models import Evaluation, RewardMargin, RewardModel
from curation.stats import Estimate, wilson
from tiebreak.accounts.models import Project

from .projects import estimate

WORST: Final = 20
CONFIDENT: Final = 0.8  # probability of the consensus above which an error is worth a person's time


@dataclass(frozen=True, slots=True)
class Point:
    """A bin of predictions: what was predicted, how often it was so, and Wilson's interval of that share."""

    predicted: float
    observed: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Measured:
    """An evaluation, read from its metrics."""

    evaluation: Evaluation
    accuracy: Estimate
    baseline: Estimate
    """Prefers by length alone."""
    gain: Estimate
    """Over the baseline, comparison by comparison."""
    ece: float | None
    points: Sequence[Point]
    """Of the reliability diagram; empty bins left out."""

    @property
    def beats_length(self) -> bool | None:
        """Whether the interval of its gain lies above 0; None where the gain was not measured."""
        return None if self.gain.low is None else self.gain.low > 0


@dataclass(frozen=True, slots=True)
class ModelLine:
    model: RewardModel
    measured: Measured | None
    """On its own version's test split where it was evaluated there, else its newest evaluation."""


@dataclass(frozen=True, slots=True)
class ModelPage:
    model: RewardModel
    training: Sequence[tuple[str, Any]]
    evaluations: Sequence[Measured]
    reliability: Measured | None
    """The newest evaluation that has a reliability diagram."""
    worst: Sequence[RewardMargin]


def models(project: Project) -> list[ModelLine]:
    """Two queries."""
    found = (
        RewardModel.objects.filter(project=project).select_related("version__dataset").prefetch_related("evaluations")
    )
    return [ModelLine(model, _headline(model)) for model in found.defer("version__card", "version__statistics")]


def _headline(model: RewardModel) -> Measured | None:
    newest = sorted(model.evaluations.all(), key=lambda e: -e.pk)
    own = [e for e in newest if e.benchmark.startswith(str(model.version))]
    return measured((own or newest)[0]) if newest else None


def model(project: Project, name: str) -> RewardModel | None:
    """One query."""
    found = RewardModel.objects.select_related("version__dataset", "run", "created_by", "weights")
    return found.filter(project=project, name=name).first()


def model_page(model: RewardModel) -> ModelPage:
    """Two queries."""
    evaluations = [measured(e) for e in model.evaluations.select_related("run")]
    return ModelPage(
        model=model,
        training=[(key.replace("_", " "), value) for key, value in model.training.items() if not _is_nested(value)],
        evaluations=evaluations,
        reliability=next((e for e in evaluations if e.points), None),
        worst=list(_worst(model)),
    )


def _worst(model: RewardModel) -> Any:
    """Comparisons whose label is sure and whose margin points the other way, the largest margins first."""
    sure_a, sure_b = Q(comparison__consensus__p_a__gte=CONFIDENT), Q(comparison__consensus__p_b__gte=CONFIDENT)
    wrong = (sure_a & Q(margin__gt=0)) | (sure_b & Q(margin__lt=0))
    found = RewardMargin.objects.filter(wrong, reward_model=model).select_related("comparison__consensus")
    return found.order_by(Abs(F("margin")).desc(), "pk")[:WORST]


def measured(evaluation: Evaluation) -> Measured:
    metrics = evaluation.metrics
    return Measured(
        evaluation=evaluation,
        accuracy=estimate(metrics.get("accuracy")),
        baseline=estimate(metrics.get("length_baseline")),
        gain=estimate(metrics.get("gain_over_length")),
        ece=metrics.get("ece"),
        points=[_point(b) for b in metrics.get("bins") or [] if b.get("n")],
    )


def _point(of: Mapping[str, Any]) -> Point:
    share = wilson(min(of["n"], round(of["frequency"] * of["n"])), of["n"])
    return Point(of["mean"], of["frequency"], share.low, share.high, of["n"])


def _is_nested(value: Any) -> bool:
    return isinstance(value, (dict, list))
