"""Treatments: a noise policy applied to a project's labels, with a preview before and a way back after.

A treatment writes a decision for each label that it changes; the decisions that they replace come back when it is
undone. What a person decided about one label stands until a person decides otherwise: no policy touches it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from django.db import transaction
from django.db.models import Count, F
from django.utils import timezone

from annotate.models import Adjudication, Comparison
from curation import noise
from curation.models import Consensus, NoiseDecision, NoiseScore, NoiseTreatment, RoutingDecision
from curation.models.noise import PERSON
from curation.routing import PERSON as BUYS_PERSON
from curation.stats.votes import FloatArray, IntArray
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Conflict, Invalid
from tiebreak.core.models import record
from tiebreak.core.text import TextError, clean_text
from tiebreak.runs import ledger
from tiebreak.runs.ledger import Execution

from . import loading, routing
from .noise import at, margins_of
from .words import told

BATCH: Final = 2_000
AT_WORK: Final = ("queued", "running")
BY_HAND: Final = (NoiseDecision.Action.KEEP, NoiseDecision.Action.ASK_PEOPLE, NoiseDecision.Action.DROP)
LOOKED: Final = "a person looked at it"
"""Who that was stands with the treatment: a cause goes where names do not."""
QUIET: Final = "no rule of this policy holds for it"
SAVED: Final = {
    "people_agree": "the people who judged it all name its side",
    "dropped_enough": "as many are dropped as may be",
    "asked_enough": "as many people are asked as may be",
}


class Evidence(NamedTuple):
    labels: noise.Labels
    scores: dict[str, FloatArray]


class Change(NamedTuple):
    """What is to be written about one label."""

    comparison: int
    action: str
    method: str
    score: float
    weight: float
    side: int
    saved: str
    """Which limit saved it from its rule."""


def parse(policy: Mapping[str, Any]) -> noise.Policy:
    """Raises Invalid naming rule and field."""
    with told():
        return noise.Policy.from_dict(policy)


def preview(project: Project, policy: noise.Policy) -> tuple[noise.Preview, noise.Labels]:
    """What the policy would do now. Writes nothing."""
    labels, scores = evidence(project, policy)
    counted, _ = noise.preview(policy, labels, scores)
    return counted, labels


def apply(
    project: Project, policy: noise.Policy, *, by: Any, note: str = "", confirmed: bool = False, wake: bool = True
) -> NoiseTreatment:
    """Queue a treatment by the policy. Refuses one that has nothing to go by, and one that loses much unconfirmed."""
    note = _words(note, "note")
    counted, _ = preview(project, policy)
    if not counted.n:
        raise Invalid("There is no label to treat yet: aggregate first.", code="empty")
    if set(counted.unscored) == set(policy.methods):
        raise Invalid(
            f"Nothing is scored by {', '.join(counted.unscored)} yet: score the noise first.", code="unscored"
        )
    if counted.confirm and not confirmed:
        lost = counted.counts["drop"] + counted.counts["flip"]
        raise Conflict(
            f"This policy drops or flips {lost} of {counted.n} labels, or a rule of it holds for every label. "
            "Confirm that you mean it.",
            code="confirm_treatment", field="confirm",
        )  # fmt: skip
    with transaction.atomic():
        _alone(project)
        made = NoiseTreatment.objects.create(project=project, policy=policy.to_dict(), note=note, created_by=by)
        run_ = ledger.start("treat", project=project, params={"treatment": made.pk}, by=by, wake=wake)
        NoiseTreatment.objects.filter(pk=made.pk).update(run=run_)
        record("noise.treatment_started", made, by=by, project=project, policy=made.policy)
    made.refresh_from_db()
    return made


def _words(text: str, field: str) -> str:
    try:
        return clean_text(text.strip(), field=field, max_chars=500)
    except TextError as error:
        raise Invalid(str(error), field=field) from error


def _alone(project: Project) -> None:
    """Treatments take turns. Locks the project."""
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    if NoiseTreatment.objects.filter(project=project, run__status__in=AT_WORK).exists():
        raise Conflict("Another treatment is still at work: wait for it, or cancel its run.", code="treatment_at_work")


def run(execution: Execution) -> Mapping[str, Any]:
    """Params: treatment (id). Goes on where it was stopped: what it has decided already it does not decide again."""
    treatment = NoiseTreatment.objects.select_related("project").get(pk=execution.params["treatment"])
    policy = parse(treatment.policy)
    with transaction.atomic():
        _go_on(execution, treatment)
    labels, scores = evidence(treatment.project, policy)
    changes = _changes(policy, labels, scores, _standing(treatment.project, labels.id))
    execution.progress(0, len(changes), note="following the policy")
    for start in range(0, len(changes), BATCH):
        batch = changes[start : start + BATCH]
        with transaction.atomic():
            _go_on(execution, treatment)
            _write(treatment, batch, run=execution.run)
        execution.progress(start + len(batch), len(changes))
    with transaction.atomic():
        execution.fence()
        counts = _count(treatment)
        record("noise.treated", treatment, by=treatment.created_by, project=treatment.project_id, **counts)
    return {"treatment": treatment.pk, "labels": len(labels.id), "decisions": counts}


def _go_on(execution: Execution, treatment: NoiseTreatment) -> None:
    """Whoever retries a run does not come by `_alone`: it ends here, once undone or overtaken. Locks the project.

    Of two that were retried the later goes on, so that they do not stop each other.
    """
    execution.fence()
    Project.objects.select_for_update(no_key=True).get(pk=treatment.project_id)
    if NoiseTreatment.objects.filter(pk=treatment.pk, undone_at__isnull=False).exists():
        raise Conflict("This treatment is undone: apply its policy anew.", code="treatment_undone")
    later = NoiseTreatment.objects.filter(project=treatment.project_id, pk__gt=treatment.pk)
    if later.filter(run__status__in=AT_WORK).exists():
        raise Conflict("Another treatment is at work: apply this policy anew after it.", code="treatment_at_work")


def _changes(
    policy: noise.Policy, labels: noise.Labels, scores: dict[str, FloatArray], standing: IntArray
) -> list[Change]:
    """What differs from the label as it was given, and from what an earlier treatment made of it."""
    made = noise.decide(policy, labels, scores)
    touched = np.flatnonzero((made.action > 0) | (made.limited > 0) | np.isin(labels.id, standing))
    return [
        Change(
            comparison=int(labels.id[i]),
            action=noise.ACTIONS[made.action[i]],
            method=policy.methods[made.method[i]] if made.method[i] >= 0 else "",
            score=0.0 if np.isnan(made.score[i]) else float(made.score[i]),
            weight=float(made.weight[i]),
            side=int(labels.side[i]),
            saved=SAVED.get(noise.LIMITED[made.limited[i]], ""),
        )
        for i in touched.tolist()
    ]


def _standing(project: Project, ids: IntArray) -> IntArray:
    """Labels that an earlier policy changed."""
    rows = NoiseDecision.objects.filter(comparison__project=project, current=True).exclude(action="keep")
    return np.intersect1d(ids, np.fromiter(rows.values_list("comparison_id", flat=True), dtype=np.int64))


def _write(treatment: NoiseTreatment, changes: Sequence[Change], *, run: Any) -> None:
    """Make the decisions current, and open a seat for a person where one is to be asked. Holds the project's lock."""
    known = NoiseDecision.objects.filter(comparison__in=[c.comparison for c in changes])
    taken = set(known.filter(treatment=treatment).values_list("comparison_id", flat=True))
    taken |= set(known.filter(current=True, method=PERSON).values_list("comparison_id", flat=True))
    left = [change for change in changes if change.comparison not in taken]
    causes = _causes(left)
    asked = {c.comparison: (causes[c.comparison], c.score) for c in left if c.action == "ask_people"}
    before = _ask(treatment, asked, run=run)
    replaced = dict(known.filter(current=True).values_list("comparison_id", "pk"))
    NoiseDecision.objects.filter(pk__in=replaced.values()).update(current=False)
    NoiseDecision.objects.bulk_create(
        NoiseDecision(
            treatment=treatment,
            comparison_id=change.comparison,
            action=change.action,
            method=change.method,
            score=change.score,
            cause=causes[change.comparison],
            details=_details(change, before.get(change.comparison)),
            replaces_id=replaced.get(change.comparison),
        )
        for change in left
    )


def _details(change: Change, before: Mapping[str, Any] | None) -> dict[str, Any]:
    details: dict[str, Any] = {"side": change.side}
    if change.weight:
        details["weight"] = change.weight
    if before is not None:
        details["before"] = before
    return details


def _causes(changes: Sequence[Change]) -> dict[int, str]:
    """By comparison, the words of the score that decided, and of the limit that took it back."""
    rows = NoiseScore.objects.filter(
        comparison__in=[c.comparison for c in changes], method__in={c.method for c in changes}
    )
    words = {(pk, method): cause for pk, method, cause in rows.values_list("comparison_id", "method", "cause")}
    found = {}
    for change in changes:
        cause = words.get((change.comparison, change.method), "") or QUIET
        found[change.comparison] = (f"{change.saved}; {cause}" if change.saved else cause)[:500]
    return found


SEAT: Final = ("status", "route", "priority", "overlap", "seats_taken", "returned_because")


def _ask(treatment: NoiseTreatment, reasons: Mapping[int, tuple[str, float]], *, run: Any) -> dict[int, dict[str, Any]]:
    """Open a seat for one more person each; how each comparison stood before, of those that came back."""
    if not reasons:
        return {}
    stood = {row.pop("pk"): row for row in Comparison.objects.filter(pk__in=reasons).values("pk", *SEAT)}
    back = routing.send_back(treatment.project, reasons, policy="noise", run=run, by=treatment.created_by)
    return {pk: stood[pk] for pk in back}


def _count(treatment: NoiseTreatment) -> dict[str, int]:
    rows = treatment.decisions.order_by().values_list("action").annotate(Count("pk"))
    counts = {str(action): n for action, n in rows}
    NoiseTreatment.objects.filter(pk=treatment.pk).update(counts=counts)
    return counts


# One label, by hand


def decide_one(comparison: Comparison, action: str, *, by: Any, because: str = "") -> NoiseTreatment:
    """What a person decides about one label, at once. No policy changes it; undoing brings back what stood before."""
    if action not in BY_HAND:
        raise Invalid(f"action: expected one of {', '.join(BY_HAND)}, got {action!r}.", field="action")
    if comparison.status == Comparison.Status.WITHDRAWN:
        raise Conflict("This comparison is withdrawn.", code="comparison_withdrawn")
    if Adjudication.objects.filter(comparison=comparison, current=True).exists():
        raise Conflict("An adjudicator has decided this comparison: undo that first.", code="comparison_decided")
    against = RoutingDecision.objects.filter(comparison=comparison, current=True, overridden_by__isnull=False)
    if action == "ask_people" and against.exclude(buys=BUYS_PERSON).exists():
        raise Conflict("Somebody decided by hand that nobody else is asked: lift that first.", code="overridden")
    because = _words(because, "because")
    cause = because or LOOKED
    with transaction.atomic():
        _alone(comparison.project)
        treatment = NoiseTreatment.objects.create(
            project=comparison.project, policy={"person": action}, counts={action: 1}, note=because, created_by=by
        )
        worst = comparison.noise_scores.order_by("-score").first()
        asked = {comparison.pk: (cause, worst.score if worst else 0.0)} if action == "ask_people" else {}
        before = _ask(treatment, asked, run=None)
        current = NoiseDecision.objects.filter(comparison=comparison, current=True).first()
        NoiseDecision.objects.filter(comparison=comparison, current=True).update(current=False)
        NoiseDecision.objects.create(
            treatment=treatment,
            comparison=comparison,
            action=action,
            method=PERSON,
            score=worst.score if worst else 0.0,
            cause=cause,
            details={"side": _side(comparison), "by": worst.method if worst else ""}
            | ({"before": before[comparison.pk]} if comparison.pk in before else {}),
            replaces=current,
        )
        record("noise.decided", comparison, by=by, project=comparison.project, action=action, because=cause)
    return treatment


def _side(comparison: Comparison) -> int:
    consensus = Consensus.objects.filter(comparison=comparison).first()
    return {"a": -1, "b": 1}.get(consensus.side, 0) if consensus else 0


# The way back


def undo(treatment: NoiseTreatment, *, by: Any) -> NoiseTreatment:
    """Its decisions stop being current, those that they replaced come back, and seats that nobody took close again.

    What a later treatment decided stands. Locks the project.
    """
    with transaction.atomic():
        _alone(treatment.project)
        if not NoiseTreatment.objects.filter(pk=treatment.pk, undone_at=None).update(
            undone_at=timezone.now(), undone_by=by
        ):
            raise Conflict("This treatment is undone already.", code="treatment_undone")
        mine = treatment.decisions.filter(current=True)
        earlier = {pk for pk in mine.values_list("replaces", flat=True) if pk}
        undone = mine.update(current=False)
        back = _bring_back(earlier)
        closed = _withdraw(treatment)
        record(
            "noise.treatment_undone", treatment, by=by, project=treatment.project_id,
            undone=undone, back=back, withdrawn=closed,
        )  # fmt: skip
    treatment.refresh_from_db()
    return treatment


def _bring_back(earlier: set[int]) -> int:
    """Make current what was replaced, or what that had replaced where its treatment is undone too."""
    back = 0
    while earlier:
        rows = list(
            NoiseDecision.objects.filter(pk__in=earlier).values_list("pk", "replaces_id", "treatment__undone_at")
        )
        back += NoiseDecision.objects.filter(pk__in=[pk for pk, _, undone in rows if undone is None]).update(
            current=True
        )
        earlier = {before for _, before, undone in rows if undone is not None and before}
    return back


def _withdraw(treatment: NoiseTreatment) -> int:
    """Close the seats that were opened and that nobody has taken; the comparisons stand as they stood before.

    What a person has decided by hand meanwhile stays as it is.
    """
    asked = treatment.decisions.filter(action="ask_people", details__has_key="before")
    before = {pk: details["before"] for pk, details in asked.values_list("comparison_id", "details")}
    rows = Comparison.objects.select_for_update(no_key=True).filter(pk__in=before).order_by("id")
    locked = list(rows.values_list("pk", flat=True))
    by_hand = RoutingDecision.objects.filter(comparison__in=locked, current=True, overridden_by__isnull=False)
    kept = set(by_hand.values_list("comparison_id", flat=True))
    closed = [pk for pk in locked if pk not in kept and _close(pk, before[pk])]
    _unroute(closed)
    return len(closed)


def _close(pk: int, before: Mapping[str, Any]) -> bool:
    """One UPDATE pinned to the seat still being free: who claims it at this moment keeps it."""
    free = Comparison.objects.filter(pk=pk, status=Comparison.Status.OPEN, seats_taken=before["seats_taken"])
    stood = {name: before[name] for name in SEAT if name != "seats_taken"}
    return bool(free.filter(overlap=F("seats_taken") + 1).update(**stood))


def _unroute(comparisons: Sequence[int]) -> None:
    """The routing decisions before ours are current again."""
    ours = RoutingDecision.objects.filter(comparison__in=comparisons, current=True, policy="noise")
    pks = dict(ours.values_list("comparison_id", "pk"))
    ours.update(current=False)
    earlier = RoutingDecision.objects.filter(comparison__in=pks).exclude(pk__in=pks.values())
    last = dict(earlier.order_by("pk").values_list("comparison_id", "pk"))
    RoutingDecision.objects.filter(pk__in=last.values()).update(current=True)


# What a policy goes by

LABELS: Final = """
SELECT k.comparison_id AS id,
       (CASE WHEN k.p_a > greatest(k.p_tie, k.p_b) THEN -1
             WHEN k.p_b > greatest(k.p_tie, k.p_a) THEN 1 ELSE 0 END)::int2 AS side
FROM curation_consensus AS k JOIN annotate_comparison AS c ON c.id = k.comparison_id
WHERE c.project_id = %(project)s AND c.status <> 'withdrawn'
  AND NOT EXISTS (SELECT FROM annotate_adjudication AS d WHERE d.comparison_id = k.comparison_id AND d.current)
  AND NOT EXISTS (SELECT FROM curation_noisedecision AS d
                  WHERE d.comparison_id = k.comparison_id AND d.current AND d.method = %(person)s)
"""
PEOPLE: Final = """
SELECT j.comparison_id AS id, count(DISTINCT j.rater_id)::int4 AS people,
       min(coalesce(sign(j.preference), 0))::int2 AS low, max(coalesce(sign(j.preference), 0))::int2 AS high
FROM annotate_judgement AS j JOIN annotate_rater AS r ON r.id = j.rater_id
WHERE r.project_id = %(project)s AND r.kind = 'annotator' AND j.current
GROUP BY j.comparison_id
"""
SCORES: Final = """
SELECT s.comparison_id AS id, s.score FROM curation_noisescore AS s
JOIN annotate_comparison AS c ON c.id = s.comparison_id
WHERE c.project_id = %(project)s AND s.method = %(method)s
"""


def evidence(project: Project, policy: noise.Policy) -> Evidence:
    """Every label that the policy may touch, in the order of their ids, with the scores that it asks about."""
    params: dict[str, Any] = {"project": project.pk, "person": PERSON}
    rows = loading.read(LABELS, {"id": "int8", "side": "int2"}, params)
    rows = rows[np.argsort(rows["id"])]
    ids, side = rows["id"].astype(np.int64), rows["side"].astype(np.int64)
    said = loading.read(PEOPLE, {"id": "int8", "people": "int4", "low": "int2", "high": "int2"}, params)
    people = at(ids, said["id"], said["people"].astype(np.float64), 0.0)
    low, high = (at(ids, said["id"], said[name].astype(np.float64), np.nan) for name in ("low", "high"))
    flips = any(rule.action == "flip" for rule in policy.rules)
    labels = noise.Labels(
        id=ids,
        side=side,
        people=people.astype(np.int64),
        unanimous=(low == high) & (low == side) & (side != 0),
        margin=_margins(project, ids, side) if flips else np.full(len(ids), np.nan),
    )
    return Evidence(labels, {method: _scores(project, method, ids) for method in policy.methods})


def _scores(project: Project, method: str, ids: IntArray) -> FloatArray:
    rows = loading.read(SCORES, {"id": "int8", "score": "float8"}, {"project": project.pk, "method": method})
    return at(ids, rows["id"], rows["score"].astype(np.float64), np.nan)


FOLDS: Final = """
SELECT s.comparison_id AS id, (s.details->>'mean')::float8 AS margin FROM curation_noisescore AS s
JOIN annotate_comparison AS c ON c.id = s.comparison_id
WHERE c.project_id = %(project)s AND s.method = 'ensemble-margin' AND jsonb_typeof(s.details->'mean') = 'number'
"""


def _margins(project: Project, ids: IntArray, side: IntArray) -> FloatArray:
    """[n] towards the label: the mean of the ensemble's folds, or else of the latest model that did not train on it."""
    rows = loading.read(FOLDS, {"id": "int8", "margin": "float8"}, {"project": project.pk})
    folds = at(ids, rows["id"], rows["margin"].astype(np.float64), np.nan)
    towards: FloatArray = np.where(np.isnan(folds), side * margins_of(project, ids), folds)
    return towards
