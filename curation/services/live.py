"""The live consensus: what people and judges say after a fit changes their comparison's consensus by itself.

A judgement costs its rater nothing for this: `follow`, which beat has a worker call every other second, looks for
judgements past the last one that it saw, and at the audit log for decisions. The consensus of their comparisons is then
worked out from the raters' skills as the last fit left them, and marked provisional, until a new fit of everything,
which is started once enough is new. Nothing hangs on a message: what one round misses the next one finds, and once
every hour all is compared with all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from django.db import connection, transaction
from django.db.models import Count, Max, Min, Q

from annotate.models import Comparison, Judgement, Rater
from curation.models import Aggregation, Consensus, Followed, RaterSkill
from curation.stats import Aggregate, K, Votes, aggregate, posterior_of
from curation.stats.aggregation.contract import signed_strength
from tiebreak.accounts.models import Project
from tiebreak.core.models import Event
from tiebreak.runs import ledger
from tiebreak.runs.models import Run

from . import consensus, loading
from .apart import apart
from .consensus import Floats

AT_ONCE: Final = 20_000  # judgements, or events, of one round
SLACK: Final = 1_000  # ids are given before their rows can be seen: so many are looked at once more
REFIT_COUNT: Final = 50  # comparisons with news from which on, beside REFIT_SHARE, everything is fitted again
REFIT_SHARE: Final = 0.01
REFIT_AFTER: Final = timedelta(hours=1)  # with any news at all
REFIT_PAUSE: Final = timedelta(minutes=1)  # between two fits, and REST times what the last one took
REST: Final = 5
AGAIN_AFTER: Final = timedelta(hours=1)  # a fit that failed is tried again, and all is compared with all
ANEW: Final = frozenset({"dawid-skene", "mace", "bradley-terry", "crowd-bt"})
"""Methods whose fit of one comparison is the product of what its raters' skills say of each vote, so that all votes can
be heard anew. For the others what the fit made of the votes that it knew is the base, and only later ones are heard."""
DECIDED: Final = ("comparison.adjudicated", "comparison.reopened", "comparison.restored")


def follow(now: datetime) -> dict[str, int]:
    """One round: update what judgements and decisions since the last one touched, and start the fits that are due."""
    mark = _mark()
    judgement = min(_newest(Judgement), mark.judgement + AT_ONCE)
    event = min(_newest(Event), mark.event + AT_ONCE)
    owed: dict[str, int] = dict(mark.owed)
    news, updated = _news(mark, judgement, event, owed), 0
    for project, ids in news.items():
        done = apart("following", partial(update, project, ids), project)
        if done is None:
            owed.setdefault(str(project), max(0, mark.judgement - SLACK))
        else:
            owed.pop(str(project), None)
            updated += done
    seen = Followed.objects.filter(
        pk=1, judgement=mark.judgement, event=mark.event
    )  # of two rounds at once, one counts
    seen.update(judgement=judgement, event=event, owed=owed)
    unfitted = _unfitted(news)
    if _hourly(now):
        fitted = Aggregation.objects.filter(current=True).values_list("project_id", flat=True)
        updated += sum(apart("reconciling", partial(reconcile, project), project) or 0 for project in fitted)
        unfitted = _unfitted(None)
    due = [*_due(now), *unfitted]
    fits = sum(bool(apart("fitting", partial(start_fit, project, now), project)) for project in due)
    return {"updated": updated, "fits": fits}


def update(project_id: int, ids: Iterable[int]) -> int | None:
    """Bring comparisons up to date in a transaction of its own; None where somebody else holds the project."""
    with transaction.atomic():
        if not consensus.locked(project_id, wait=False):
            return None
        return refresh(Project.objects.get(pk=project_id), sorted(ids))


def decided(comparison_id: int) -> None:
    """An adjudicator decided, or took a decision back: the consensus follows. A project in other hands waits."""
    project = Comparison.objects.filter(pk=comparison_id).values_list("project_id", flat=True).first()
    if project is not None:
        update(project, [comparison_id])


def refresh(project: Project, ids: Sequence[int], *, settling: bool = True) -> int:
    """Work out the consensus of these comparisons anew from the last fit, and store what differs. Returns how many.

    Call within a transaction that has the project `locked`. Without a fit there is nothing to start from.
    """
    aggregation = Aggregation.objects.filter(project=project, current=True).first()
    if aggregation is None or not ids:
        return 0
    judgements = loading.judgements_of(project, ids)
    votes = judgements.votes(muted=aggregation.details.get("muted", []))
    stored = _stored(votes, aggregation)
    posterior, strength = _worked_out(aggregation, judgements, votes, stored.base)
    rows = consensus.rows_of(
        judgements,
        votes,
        posterior,
        strength,
        people=loading.raters_of(project, Rater.Kind.ANNOTATOR),
        decisions=loading.decisions_of(project, ids),
        difficulty=stored.difficulty,
        base=stored.own,
    )
    gone = Consensus.objects.filter(comparison__in=set(ids) - set(rows.comparison.tolist()))
    changed = consensus.update(aggregation, rows) + gone.exclude(comparison__status="withdrawn").delete()[0]
    if settling:
        consensus.settle(project.pk, ids)
    return changed


class _Stored(NamedTuple):
    """What the fit said of comparisons beside their votes."""

    base: Floats
    """[C, K] probabilities before the votes."""
    own: Floats
    """[C, K] the same; nan where it is the fit's prior."""
    difficulty: Floats
    """[C]"""


def _stored(votes: Votes, aggregation: Aggregation) -> _Stored:
    size = len(votes.comparisons)
    own, difficulty = np.full((size, K), np.nan), np.full(size, np.nan)
    place = {pk: i for i, pk in enumerate(votes.comparisons)}
    known = Consensus.objects.filter(comparison__in=list(place)).exclude(base=None, difficulty=None)
    for pk, base, hard in known.values_list("comparison_id", "base", "difficulty"):
        own[place[pk]] = base or np.nan
        difficulty[place[pk]] = np.nan if hard is None else hard
    prior = aggregation.prior or [1 / K] * K
    return _Stored(np.where(np.isnan(own), prior, own), own, difficulty)


def base_of(method: str, fit: Aggregate) -> Floats | None:
    """[C, K] what later votes are added to; None: the fit's prior, or nothing, since votes are counted."""
    return fit.base if method in ANEW or method == "majority" else fit.posterior


def _worked_out(
    aggregation: Aggregation, judgements: loading.Judgements, votes: Votes, base: Floats
) -> tuple[Floats, Floats]:
    """Posterior [C, K] and strength [C] of votes by raters as the last fit knows them."""
    if not votes.n:
        return np.zeros((0, K)), np.zeros(0)
    if aggregation.method == "majority":
        fit = aggregate(votes, "majority")
        return fit.posterior, fit.strength
    heard = votes
    if aggregation.method not in ANEW:
        new = judgements.id > aggregation.details.get("until", 0)
        heard = votes.select(np.isin(_pairs(votes), _pairs(judgements.only(new).votes())))
    posterior = posterior_of(heard, _confusion(aggregation, votes), base)
    return posterior, signed_strength(votes, posterior)


def _pairs(votes: Votes) -> npt.NDArray[np.int64]:
    """Which comparison and rater each vote is of: one row of two ids a vote, as one number."""
    comparisons, raters = (np.array(ids, dtype=np.int64) for ids in (votes.comparisons, votes.raters))
    return comparisons[votes.comparison] << 32 | raters[votes.rater] if votes.n else np.zeros(0, dtype=np.int64)


def _confusion(aggregation: Aggregation, votes: Votes) -> Floats:
    """[R, K, K] of each rater; of one whom the fit did not know, the mean of their kind, or of all."""
    kinds = dict(Rater.objects.filter(pk__in=list(votes.raters)).values_list("pk", "kind"))
    known: dict[int, Floats] = {}
    sums: dict[str, Floats] = {}
    rows = RaterSkill.objects.filter(aggregation=aggregation).values_list("rater_id", "rater__kind", "n", "confusion")
    for pk, kind, n, told in rows:
        known[pk] = np.array(told, dtype=np.float64)
        for group in (kind, "all"):
            sums[group] = sums.get(group, np.zeros((K, K))) + n * known[pk]
    vague = (np.eye(K) + np.full((K, K), 1 / K)) / 2
    means = {group: total / total.sum(axis=1, keepdims=True) for group, total in sums.items() if total.all()}
    fallback = means.get("all", vague)
    return np.array([known.get(int(str(r)), means.get(kinds[int(str(r))], fallback)) for r in votes.raters])


# --- what is new ------------------------------------------------------------------------------------------------------

STALE: Final = """
WITH seen AS MATERIALIZED ({seen}),
said AS (
    SELECT s.project_id, j.comparison_id, count(*) AS n, max(j.id) AS newest,
           bool_or(j.preference IS NOT NULL AND NOT EXISTS (
               SELECT FROM curation_aggregation AS a
               WHERE a.project_id = s.project_id AND a.current AND a.details->'muted' @> to_jsonb(j.rater_id)
           )) AS voted
    FROM seen AS s JOIN annotate_judgement AS j ON j.comparison_id = s.id AND j.current GROUP BY 1, 2
)
SELECT said.project_id, said.comparison_id FROM said LEFT JOIN curation_consensus AS k USING (comparison_id)
WHERE (k.id IS NULL AND said.voted) OR k.n_readings <> said.n OR k.last_judgement <> said.newest
"""
SEEN: Final = """
SELECT DISTINCT c.project_id, c.id FROM annotate_judgement AS j JOIN annotate_comparison AS c ON c.id = j.comparison_id
WHERE j.id > %(after)s AND j.id <= %(most)s AND c.status <> 'withdrawn'
    AND (%(project)s = 0 OR c.project_id = %(project)s)
"""
ALL: Final = "SELECT project_id, id FROM annotate_comparison WHERE project_id = %(project)s AND status <> 'withdrawn'"
LAST: Final = 2**62


def touched(project: Project, *, after: int) -> list[int]:
    """Comparisons with judgements past that id, or shortly before it, which their consensus does not know of."""
    return _stale(SEEN, after=max(0, after - SLACK), most=LAST, project=project.pk).get(project.pk, [])


def _stale(seen: str, **params: int) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    with connection.cursor() as cursor:
        cursor.execute(STALE.format(seen=seen), params)
        for project, comparison in cursor.fetchall():
            found.setdefault(project, []).append(comparison)
    return found


def _news(mark: Followed, judgement: int, event: int, owed: Mapping[str, int]) -> dict[int, set[int]]:
    """Comparisons by project: those with new judgements, those decided, and what other rounds had to leave."""
    found = _stale(SEEN, after=max(0, mark.judgement - SLACK), most=judgement, project=0)
    news = {project: set(ids) for project, ids in found.items()}
    events = Event.objects.filter(id__gt=max(0, mark.event - SLACK), id__lte=event, verb__in=DECIDED)
    for project, target in events.values_list("project_id", "target_id"):
        if project is not None:
            news.setdefault(project, set()).add(int(target))
    for pk, after in ((int(key), after) for key, after in owed.items()):
        news.setdefault(pk, set()).update(_stale(SEEN, after=after, most=LAST, project=pk).get(pk, ()))
    return news


def _mark() -> Followed:
    """How far it was followed; in the beginning, to here: what was there before is for a fit."""
    start = {"judgement": _newest(Judgement), "event": _newest(Event)}
    return Followed.objects.get_or_create(pk=1, defaults=start)[0]


def _newest(model: type[Judgement] | type[Event]) -> int:
    return int(model._default_manager.order_by("-id").values_list("id", flat=True).first() or 0)


def _hourly(now: datetime) -> bool:
    """Whether it is time, and ours, to compare all with all: nothing is lost, whatever was missed and why."""
    due = Q(reconciled_at=None) | Q(reconciled_at__lt=now - AGAIN_AFTER)
    return bool(Followed.objects.filter(due, pk=1).update(reconciled_at=now))


def reconcile(project_id: int) -> int:
    """Update every comparison of the project whose judgements are not those that its consensus was made from."""
    ids = _stale(ALL, project=project_id).get(project_id, [])
    return sum(update(project_id, ids[start : start + AT_ONCE]) or 0 for start in range(0, len(ids), AT_ONCE))


# --- when everything is fitted again ----------------------------------------------------------------------------------


def _due(now: datetime) -> list[int]:
    """Projects of which enough is new since their last fit."""
    fitted = Aggregation.objects.filter(current=True, rows__provisional=True)
    news = fitted.annotate(n=Count("rows"), since=Min("rows__updated_at")).select_related("run")
    return [row.project_id for row in news if _enough(row, row.n, row.since, now)]


def _enough(fitted: Aggregation, n: int, since: datetime, now: datetime) -> bool:
    run = fitted.run
    took = run.finished_at - run.started_at if run and run.finished_at and run.started_at else timedelta(0)
    if now - fitted.created_at < max(REFIT_PAUSE, REST * took):
        return False
    return n >= max(REFIT_COUNT, math.ceil(REFIT_SHARE * fitted.n_comparisons)) or now - since > REFIT_AFTER


def _unfitted(among: Iterable[int] | None) -> list[int]:
    """Of these projects, or of all, those with judgements enough that were never fitted. A run is waited for."""
    waiting = Project.objects.exclude(pk__in=Aggregation.objects.filter(current=True).values("project"))
    busy = Run.objects.filter(status__in=("queued", "running"), project__isnull=False)
    waiting = waiting.exclude(pk__in=busy.values("project"))
    if among is not None:
        waiting = waiting.filter(pk__in=list(among))
    return [pk for pk in waiting.values_list("pk", flat=True) if _judged(pk)]


def _judged(project_id: int) -> bool:
    said = Judgement.objects.current().filter(comparison__project=project_id, preference__isnull=False)
    return said.order_by()[:REFIT_COUNT].count() == REFIT_COUNT


def start_fit(project_id: int, now: datetime) -> bool:
    """Queue a fit of the project by the method that was asked for last, unless one is under way or failed lately."""
    with transaction.atomic():
        if not consensus.locked(project_id, wait=False):
            return False
        runs = Run.objects.filter(project=project_id, kind="aggregate")
        if runs.filter(status__in=("queued", "running")).exists():
            return False
        last = runs.aggregate(ended=Max("finished_at", filter=~Q(status="succeeded")))["ended"]
        if last is not None and now - last < AGAIN_AFTER:
            return False
        project = Project.objects.get(pk=project_id)
        ledger.start("aggregate", project=project, params={"method": asked(project)})
    return True


def asked(project: Project) -> str:
    """The method that was asked for last."""
    details: dict[str, Any] | None = (
        Aggregation.objects.filter(project=project, current=True).values_list("details", flat=True).first()
    )
    return str((details or {}).get("asked", "auto"))
