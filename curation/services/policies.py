"""Routing policies as versioned rows: an edit is a new version, and the active ones share the comparisons by lot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.db import transaction
from django.db.models import Max, Sum
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from curation.models import RoutingPolicy
from curation.routing import POLICIES, GainModel, Selector, selector
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Conflict, Invalid, NotFound
from tiebreak.core.models import Event, record
from tiebreak.core.transitions import move

from .words import told

DEFAULT: Final = "uncertainty"
"""Decides what no active policy has a share of."""
ACTIVE: Final = "active"
"""In place of a policy's name: the active ones, each its share."""
NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


class PolicyParams(BaseModel):
    """What every policy can be told."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    exploration: float = Field(0.05, ge=0, le=1, description="share of the budget drawn at random, to learn from")
    audit: float = Field(0.05, ge=0, le=1, description="share of the budget that checks the judges")
    budget: int | None = Field(None, ge=0, lt=2**31, description="people's judgements that may wait; empty: no limit")

    @model_validator(mode="after")
    def _shares(self) -> PolicyParams:
        if self.exploration + self.audit > 1:
            raise ValueError("exploration and audit together are more than the whole budget")
        return self


class AdaptiveParams(PolicyParams):
    """Of the policy that buys one judgement after another."""

    least: float = Field(0, ge=0, description="expected error that a unit of money must take away, at least")
    max_bundle: int = Field(3, ge=1, le=5, description="judgements bought at once for one comparison")
    max_overlap: int = Field(5, ge=1, le=100, description="people asked about one comparison, at most")


PARAMS: Final[Mapping[str, type[PolicyParams]]] = {
    kind: AdaptiveParams if kind == "adaptive-overlap" else PolicyParams for kind in POLICIES
}


class Arm(NamedTuple):
    """A policy with the share of the comparisons that it decides."""

    name: str
    kind: str
    params: PolicyParams
    share: float
    version: RoutingPolicy | None = None
    """None: a kind with its defaults, no row"""

    @property
    def choose(self) -> Selector:
        return selector(self.kind)

    @property
    def gain_model(self) -> GainModel | None:
        learned = (self.version.learned or {}).get("gain_model") if self.version else None
        return GainModel.from_json(learned) if learned else None


def checked(kind: str, given: Mapping[str, Any]) -> PolicyParams:
    """The parameters of a kind, parsed. Raises Invalid naming the kind or the first field that is wrong."""
    with told():
        selector(kind)
    try:
        return PARAMS[kind].model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "exploration"
        message = first["msg"].removeprefix("Value error, ")
        got = "" if not first["loc"] else f", got {first['input']!r}"
        raise Invalid(f"{field}: {message}{got}.", field=field) from None


def create(project: Project, name: str, kind: str, params: Mapping[str, Any], *, by: Any) -> RoutingPolicy:
    """A new draft: version 1 of a new name, the next one of a name that exists. Locks the project's row."""
    values = checked(kind, params).model_dump(mode="json")
    with transaction.atomic():
        _lock(project)
        number = next_version(project, name)
        policy = RoutingPolicy.objects.create(
            project=project, name=name, version=number, kind=kind, params=values, created_by=by
        )
        record("routing.policy_created", policy, by=by, project=project, policy=str(policy), kind=kind)
    policy.refresh_from_db()
    return policy


def next_version(project: Project, name: str) -> int:
    """The number that a new version of this name would have. Raises Invalid where it cannot be a policy's name."""
    if not NAME.fullmatch(name):
        raise Invalid(f"name: expected lower-case letters, digits and hyphens, got {name[:80]!r}.", field="name")
    if name in POLICIES or name == ACTIVE:
        raise Invalid(f"name: {name!r} is a kind of policy; give yours another name.", field="name")
    last: int | None = RoutingPolicy.objects.filter(project=project, name=name).aggregate(last=Max("version"))["last"]
    return (last or 0) + 1


def activate(policy: RoutingPolicy, share: float, *, by: Any, unsimulated: bool = False) -> RoutingPolicy:
    """Let a version decide a share of the comparisons from now on; an active one gets another share.

    Raises Conflict `never_simulated` where nobody has seen what it would do, unless `unsimulated` says that this is
    meant; Invalid where the shares of all active ones would be more than the whole, and where its gain model does not
    predict. Locks the project's row.
    """
    if not 0 < share <= 1:
        raise Invalid(f"share: expected more than 0 and at most 1, got {share!r}.", field="share")
    if policy.simulation is None and not unsimulated:
        raise Conflict(f"{policy} was never simulated: simulate it first, or say that you mean it.",
                       code="never_simulated")  # fmt: skip
    _refuse_unlearned(policy)
    with transaction.atomic():
        _lock(policy.project)
        others = active(policy.project).exclude(pk=policy.pk).aggregate(sum=Sum("share"))["sum"] or 0.0
        if others + share > 1 + 1e-9:
            raise Invalid(
                f"share: the other active policies decide {others:.0%}; at most {max(0.0, 1 - others):.0%} is left. "
                "Retire one first.",
                field="share",
            )
        if policy.status == RoutingPolicy.Status.ACTIVE:
            RoutingPolicy.objects.filter(pk=policy.pk).update(share=share)
            policy.share = share
        else:
            move(policy, RoutingPolicy.Status.ACTIVE, share=share)
        record("routing.policy_activated", policy, by=by, project=policy.project_id, policy=str(policy), share=share)
    return policy


def able(policy: RoutingPolicy) -> bool:
    """Whether it can decide: this release knows its kind, and what it has learned, where it must learn, predicts."""
    if policy.kind not in POLICIES:
        return False
    model = (policy.learned or {}).get("gain_model")
    return "gain_model" not in POLICIES[policy.kind].needs or (model is not None and not model["reason"])


def _refuse_unlearned(policy: RoutingPolicy) -> None:
    with told():
        selector(policy.kind)
    if able(policy):
        return
    model = (policy.learned or {}).get("gain_model")
    why = model["reason"] if model else "it has not been fitted: simulate the policy"
    raise Invalid(f"{policy} has no gain model that predicts: {why}.", code="not_learned")


def retire(policy: RoutingPolicy, *, by: Any) -> RoutingPolicy:
    """Let a version decide nothing more. What it decided stays; its share falls to the default."""
    with transaction.atomic():
        move(policy, RoutingPolicy.Status.RETIRED, share=0.0)
        record("routing.policy_retired", policy, by=by, project=policy.project_id, policy=str(policy))
    return policy


def active(project: Project) -> Any:
    """The versions that decide now."""
    return RoutingPolicy.objects.filter(project=project, status=RoutingPolicy.Status.ACTIVE).order_by("pk")


def since(project: Project) -> datetime | None:
    """When the arms last changed; None: they never did."""
    changes = Event.objects.filter(project=project, verb__in=["routing.policy_activated", "routing.policy_retired"])
    return changes.order_by("-pk").values_list("created_at", flat=True).first()


def named(project: Project, text: str) -> RoutingPolicy:
    """NAME@VERSION or NAME (the newest). Raises NotFound with the known ones."""
    name, _, number = text.partition("@")
    if number and not re.fullmatch("[0-9]{1,9}", number):
        raise Invalid(f"policy: expected NAME@VERSION, got {text!r}.", field="policy")
    rows = RoutingPolicy.objects.filter(project=project)
    found = rows.filter(name=name, version=int(number)) if number else rows.filter(name=name)
    policy = found.order_by("-version").first()
    if policy is None:
        known = [*POLICIES, *rows.order_by("name").values_list("name", flat=True).distinct()]
        raise Invalid(f"policy: expected one of {', '.join(known)}, got {text!r}.", field="policy")
    return policy


def one(project: Project, pk: int) -> RoutingPolicy:
    """Raises NotFound."""
    policy = RoutingPolicy.objects.filter(project=project, pk=pk).first()
    if policy is None:
        raise NotFound("There is no such routing policy in this project.", code="no_policy")
    return policy


def arms(project: Project, wanted: str, given: Mapping[str, Any]) -> list[Arm]:
    """Who decides: one policy everything, or the active ones their shares and the default what is left.

    ``given`` overrides parameters, where not None. What was retired or deleted meanwhile, or is not `able`, decides
    nothing: its share is the default's.
    """
    changes = {key: value for key, value in given.items() if value is not None}
    if wanted != ACTIVE:
        return [_arm(project, wanted, changes)]
    rows = [arm_of(row, row.share, changes) for row in active(project) if able(row)]
    left = 1 - sum(arm.share for arm in rows)
    return [*rows, Arm(DEFAULT, DEFAULT, checked(DEFAULT, changes), left)] if left > 1e-9 else rows


def arm_of(policy: RoutingPolicy, share: float = 1.0, changes: Mapping[str, Any] | None = None) -> Arm:
    """A version at work. What a later release of the code no longer knows of its parameters is refused by name."""
    return Arm(str(policy), policy.kind, checked(policy.kind, policy.params | dict(changes or {})), share, policy)


def _arm(project: Project, wanted: str, changes: Mapping[str, Any]) -> Arm:
    if wanted in POLICIES:
        return Arm(wanted, wanted, checked(wanted, changes), 1.0)
    return arm_of(named(project, wanted), 1.0, changes)


def _lock(project: Project) -> None:
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)
