"""The verbs that a curator can start, from a command, over REST or from a page: one schema and one check for each.

A verb's parameters are parsed strictly here; its run's handler does the work.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from annotate.models import Judge, Rubric
from curation.models import DatasetVersion, RewardModel
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid, NotFound
from tiebreak.runs import ledger
from tiebreak.runs.models import Run

from . import policies, versions

HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


class Params(BaseModel):
    model_config = ConfigDict(extra="forbid")


class JudgeParams(Params):
    judge: str
    limit: int | None = Field(None, ge=1)
    budget: Decimal | None = Field(None, ge=0)
    routed: bool = Field(False, description="only what the router buys of this judge")


class RubricParams(Params):
    judge: str
    name: str = Field("generated", min_length=1, max_length=100)
    examples: int = Field(12, ge=2, le=200, description="comparisons to contrast")
    threshold: float = Field(
        0.6, ge=0, le=1, description="keep a criterion only where a judge using it is right so often"
    )


class AggregateParams(Params):
    method: Literal[
        "auto",
        "majority",
        "weighted-majority",
        "dawid-skene",
        "mace",
        "glad",
        "graded",
        "bradley-terry",
        "crowd-bt",
        "joint",
    ] = Field("auto", description="auto: the one that suits the data, which says why")


class RouteParams(Params):
    policy: str = Field(
        policies.ACTIVE, max_length=100, description="a kind, NAME, NAME@VERSION, or active: those that are switched on"
    )
    budget: int | None = Field(None, ge=0, description="people's judgements that may be asked for")
    exploration: float | None = Field(None, ge=0, le=1, description="instead of the policy's own")
    audit: float | None = Field(None, ge=0, le=1, description="instead of the policy's own")
    seed: int = Field(0, ge=0, lt=2**63)
    simulate: bool = False


class NoiseParams(Params):
    method: Literal["consensus-entropy", "rater-quality", "rules", "conflicts", "reward-model-disagreement", "all"] = (
        "all"
    )


class NoiseTrainingParams(Params):
    method: Literal["ensemble-margin", "peer-review", "confident-learning", "training-dynamics", "all"] = "all"
    config: dict[str, Any] = Field(default_factory=dict, description="of the reward models, as in training")
    seed: int = Field(0, ge=0, lt=2**63)


class EmbedParams(Params):
    encoder: str = Field("minilm", min_length=1, max_length=300, description="minilm, or hf:FOLDER_OR_HUB_ID")


class TrainParams(Params):
    version: str = Field(description="NAME@NUMBER or NAME@TAG")
    name: str | None = Field(None, min_length=1, max_length=100)
    config: dict[str, Any] = Field(default_factory=dict)
    seed: int = Field(0, ge=0, lt=2**63)


class EvaluateParams(Params):
    model: str
    benchmark: str = "pairs"
    path: str | None = None


class ReturnParams(Params):
    model: str
    limit: int = Field(20, ge=1)
    min_probability: float = Field(0.8, ge=0.5, le=1, description="how sure the label must be to be worth asking about")
    neighbours: int = Field(
        0, ge=0, le=64, description="open comparisons that resemble a mistake come first: so many of each, at most"
    )


def _judge(project: Project, params: JudgeParams | RubricParams) -> dict[str, Any]:
    judge = Judge.objects.filter(project=project, name=params.judge, retired_at=None).order_by("-version").first()
    if judge is None:
        known = (
            ", ".join(sorted(set(Judge.objects.filter(project=project).values_list("name", flat=True)))) or "none yet"
        )
        raise NotFound(f"There is no judge {params.judge!r} in {project.slug} (there are: {known}).", code="no_judge")
    if judge.kind == "rubric" and (judge.rubric is None or judge.rubric.status != Rubric.Status.APPROVED):
        raise Invalid(f"The rubric of {judge} is not approved; a curator must approve it first.", field="judge")
    return params.model_dump(mode="json") | {"judge": judge.pk}


def _plain(project: Project, params: Params) -> dict[str, Any]:
    return params.model_dump(mode="json")


def _route(project: Project, params: RouteParams) -> dict[str, Any]:
    policies.arms(project, params.policy, {"exploration": params.exploration, "audit": params.audit})
    return params.model_dump(mode="json")


def _train(project: Project, params: TrainParams) -> dict[str, Any]:
    version = versions.named(params.version, project)
    if params.name and RewardModel.objects.filter(name=params.name).exists():
        raise Invalid(f"name: there is a reward model {params.name!r} already.", field="name")
    return params.model_dump(mode="json") | {"version": version.pk}


def _model(project: Project, params: EvaluateParams | ReturnParams) -> dict[str, Any]:
    return params.model_dump(mode="json") | {"model": model_named(params.model, project).pk}


VERBS: Final[Mapping[str, tuple[type[Params], Callable[[Project, Any], dict[str, Any]]]]] = {
    "judge": (JudgeParams, _judge),
    "rubrics": (RubricParams, _judge),
    "aggregate": (AggregateParams, _plain),
    "route": (RouteParams, _route),
    "noise": (NoiseParams, _plain),
    "noise-training": (NoiseTrainingParams, _plain),
    "embed": (EmbedParams, _plain),
    "train": (TrainParams, _train),
    "evaluate": (EvaluateParams, _model),
    "return": (ReturnParams, _model),
}


def ready(version: DatasetVersion) -> DatasetVersion:
    """The version, or why nobody can read it."""
    if version.status != DatasetVersion.Status.READY:
        told = (
            f"{version} was never built: run {version.run_id} tells why."
            if version.status == DatasetVersion.Status.FAILED
            else f"{version} is {version.status}: it can be read once it is ready."
        )
        raise NotFound(told, code=f"version_{version.status}")
    return version


def model_named(name: str, project: Project | None = None) -> RewardModel:
    models = RewardModel.objects.all() if project is None else RewardModel.objects.filter(project=project)
    model = models.filter(name=name).first()
    if model is None:
        known = ", ".join(models.values_list("name", flat=True)[:20]) or "none yet"
        raise NotFound(f"There is no reward model {name!r} (there are: {known}).", code="no_model")
    return model


def prepare(verb: str, project: Project, given: Mapping[str, Any]) -> dict[str, Any]:
    """Check a verb's parameters. Raises Invalid naming the first field that is wrong and what was expected."""
    if verb not in VERBS:
        raise Invalid(f"kind: expected one of {', '.join(VERBS)}, got {verb!r}.", field="kind")
    schema, resolve = VERBS[verb]
    try:
        params = schema.model_validate({key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise Invalid(f"{field}: {first['msg']}, got {first['input']!r}.", field=field) from None
    return resolve(project, params)


def start(verb: str, project: Project, given: Mapping[str, Any], *, by: Any) -> Run:
    """Queue a verb for the workers, for somebody who may curate but is no operator of the machine."""
    if verb == "evaluate" and given.get("path"):
        raise Invalid("path: only a command reads files of the machine; run evaluate_reward_model there.", field="path")
    if verb in ("train", "noise-training"):
        _refuse_machine(given.get("config"), "config.")
    if verb == "embed":
        _refuse_machine(given, "")
    params = prepare(verb, project, given)
    return ledger.start(verb, project=project, params=params, by=by, seed=int(params.get("seed") or 0))


def _refuse_machine(config: Any, at: str) -> None:
    """Folders of the machine and downloads past the egress guard are for whoever runs commands there."""
    config = config if isinstance(config, Mapping) else {}
    kind, _, source = str(config.get("encoder", "")).partition(":")
    field = at.rstrip(".") or "encoder"
    if kind == "hf" and not HUB_ID.fullmatch(source):
        raise Invalid(f"{at}encoder: expected a hub id as in hf:owner/name, got {source[:100]!r}.", field=field)
    if config.get("allow_download"):
        raise Invalid(f"{at}allow_download: only a command downloads models.", field=field)


def run_here(verb: str, project: Project, given: Mapping[str, Any], *, by: Any = None, say: Any = None) -> Run:
    """Do a verb now, in this process: what a command does."""
    params = prepare(verb, project, given)
    return ledger.run_here(verb, project=project, params=params, by=by, seed=int(params.get("seed") or 0), say=say)
