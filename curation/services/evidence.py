"""What a router knows of the comparisons that it may still decide, read in blocks: a million of them stay arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from django.db import connection
from django.db.models import BooleanField, Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet

from annotate.models import Comparison
from curation.models import Consensus, RewardMargin, RoutingDecision
from curation.routing import FEATURES, Feature, Features, Item, extract
from curation.routing.features import Read
from tiebreak.accounts.models import Project

from . import alike, panels
from .panels import Panel

BLOCK: Final = 10_000
LOGIT_A_LEVEL: Final = 1.5  # a judge that gives no probability: each level of its verdict counts so much log-odds
# A judge's readings in both orders are one opinion; sides say whether they, and the judges, contradict each other.
OPINIONS: Final = """
SELECT comparison_id, avg(p), avg(changed::int), count(*),
  count(*) FILTER (WHERE side < 0), count(*) FILTER (WHERE side = 0), count(*) FILTER (WHERE side > 0)
FROM (
  SELECT comparison_id, rater_id, sign(sum(preference)) AS side, count(DISTINCT sign(preference)) > 1 AS changed,
    avg(coalesce(probability_b, 1 / (1 + exp(-%(level)s * preference::float8)))) AS p
  FROM annotate_judgement
  WHERE comparison_id = ANY(%(ids)s) AND rater_id = ANY(%(raters)s) AND current AND preference IS NOT NULL
  GROUP BY 1, 2
) AS opinion GROUP BY 1
"""


class Opinion(NamedTuple):
    """What judges say of one comparison."""

    probability: float
    """Of b being better, the mean of the judges."""
    inconsistency: float
    """Share of the judges that changed with the order."""
    disagreement: float | None
    """Share of pairs of judges on different sides; None: fewer than two."""


class Known(NamedTuple):
    """What stands decided of a comparison now; `route` is empty where nothing does."""

    route: str
    policy: str
    version: int | None
    audit: bool
    explored: bool
    buys: str
    n: int
    held: bool
    """No judge may settle it, and no person was bought."""


UNDECIDED: Final = Known("", "", None, False, False, "", 1, False)
HELD: Final = "held back: "


class Judges(NamedTuple):
    """Raters whose verdicts may settle a comparison, and those whose verdicts may only order the work."""

    admitted: Sequence[int]
    unproven: Sequence[int]
    panel: Panel | None = None
    """The admitted ones weighed by gold, where there is enough of it."""


class Pool(NamedTuple):
    """N comparisons that a router may decide, in the order of their ids."""

    features: Features
    ids: npt.NDArray[np.int64]
    overlap: npt.NDArray[np.int64]
    seats: npt.NDArray[np.int64]
    """[N] taken by people"""
    routed: npt.NDArray[np.bool_]
    """[N] people are asked now"""
    trusted: npt.NDArray[np.bool_]
    """[N] an admitted judge has read it"""
    known: list[Known]

    def part(self, rows: npt.NDArray[np.int64]) -> Features:
        """Some of the comparisons, as a policy is given them."""
        features = self.features
        ids = tuple(self.ids[rows].tolist())
        return features._replace(ids=ids, table=features.table[rows], settled=features.settled[rows])


def open_to_routing(project: Project) -> QuerySet[Comparison]:
    """Comparisons that a router may decide: open, not sent back, and not decided otherwise by a person."""
    overridden = RoutingDecision.objects.filter(comparison=OuterRef("pk"), current=True, overridden_by__isnull=False)
    waiting = Comparison.objects.filter(project=project, status=Comparison.Status.OPEN, returned_because="")
    return waiting.filter(~Exists(overridden))


def pool(
    project: Project,
    judges: Judges,
    *,
    begun: bool = False,
    since: datetime | None = None,
    tell: Callable[[int], Any] = lambda done: None,
) -> Pool:
    """Everything that a router may decide now. ``begun``: also what people have begun to answer.

    Texts are read block by block and not kept: a comparison stays as its features, some 300 bytes. What was decided
    before ``since`` is nobody's: it is decided anew, so that arms are compared on what fell to them by lot. ``tell``
    hears how many have been read.
    """
    blocks = []
    known, done = alike.verified(project), 0
    for block in _blocks(open_to_routing(project) if begun else open_to_routing(project).filter(seats_taken=0)):
        blocks.append(_block(project, block, judges, known, since))
        done += len(block)
        tell(done)
    return _joined(blocks)


COLUMNS: Final = (
    "pk", "overlap", "seats_taken", "route", "prompt__messages", "completion_a__text", "completion_b__text",
    "metadata__language", "metadata__domain", "updated_at",
)  # fmt: skip
# What depends on more than the texts; all else is read once, and kept with the decision.
LIVE: Final = frozenset({
    "judge_probability", "judge_doubt", "judge_for_longer", "judge_inconsistency", "judge_disagreement", "margin",
    "margin_size", "margin_deviation", "embedding_similarity", "novelty", "difficulty", "trust",
})  # fmt: skip
Row = tuple[Any, ...]


def _blocks(rows: QuerySet[Comparison]) -> Iterator[list[Row]]:
    """Rows of COLUMNS by the order of ids. Each block is a query of its own: no cursor stays open for minutes."""
    last = 0
    while block := list(rows.filter(pk__gt=last).order_by("pk").values_list(*COLUMNS)[:BLOCK]):
        yield block
        last = block[-1][0]


def _block(
    project: Project, rows: Sequence[Row], judges: Judges, verified: alike.Verified | None, since: datetime | None
) -> Pool:
    ids = [row[0] for row in rows]
    admitted = opinions(ids, judges.admitted)
    if judges.panel and admitted:
        weighed = panels.believed(project, judges.panel, list(admitted))
        admitted = {pk: said._replace(probability=weighed.get(pk, said.probability)) for pk, said in admitted.items()}
    unproven = opinions([pk for pk in ids if pk not in admitted], judges.unproven)
    found = Found(unproven | admitted, margins(ids), _difficulties(ids), alike.alike(project, verified, ids))
    known, told = _known(ids, since)
    return Pool(
        features=_features(rows, found, told),
        ids=np.array(ids, dtype=np.int64),
        overlap=np.array([row[1] for row in rows], dtype=np.int64),
        seats=np.array([row[2] for row in rows], dtype=np.int64),
        routed=np.array([row[3] == Comparison.Route.HUMAN for row in rows], dtype=np.bool_),
        trusted=np.array([pk in admitted for pk in ids], dtype=np.bool_),
        known=[known.get(pk, UNDECIDED) for pk in ids],
    )


def _joined(blocks: Sequence[Pool]) -> Pool:
    if not blocks:
        none = np.zeros(0, dtype=np.int64)
        return Pool(extract(()), none, none, none, none.astype(bool), none.astype(bool), [])
    features = [block.features for block in blocks]
    whole = Features(
        ids=tuple(pk for part in features for pk in part.ids),
        names=features[0].names,
        table=np.concatenate([part.table for part in features]),
        settled=np.concatenate([part.settled for part in features]),
    )
    return Pool(
        whole,
        ids=np.concatenate([block.ids for block in blocks]),
        overlap=np.concatenate([block.overlap for block in blocks]),
        seats=np.concatenate([block.seats for block in blocks]),
        routed=np.concatenate([block.routed for block in blocks]),
        trusted=np.concatenate([block.trusted for block in blocks]),
        known=[one for block in blocks for one in block.known],
    )


class Found(NamedTuple):
    """What was found of the comparisons of a block, by id."""

    opinions: Mapping[int, Opinion]
    margins: Mapping[int, tuple[float, float | None]]
    difficulties: Mapping[int, float]
    near: Mapping[int, alike.Alike]


def item(row: Row, found: Found) -> Item:
    """A comparison as pure code sees it, from a row of COLUMNS."""
    pk, overlap, seats, _, messages, a, b, language, domain, _ = row
    opinion = found.opinions.get(pk)
    margin, deviation = found.margins.get(pk, (None, None))
    similarity, novelty, trust = found.near.get(pk, (None, None, None))
    return Item(
        id=pk,
        prompt="\n".join(m["content"] for m in messages),
        completion_a=a,
        completion_b=b,
        turns=len(messages),
        judge_probability=opinion.probability if opinion else None,
        judge_inconsistency=opinion.inconsistency if opinion else None,
        judge_disagreement=opinion.disagreement if opinion else None,
        margin=margin,
        margin_deviation=deviation,
        difficulty=found.difficulties.get(pk),
        embedding_similarity=similarity,
        novelty=novelty,
        trust=trust,
        language=language if isinstance(language, str) else None,
        domain=domain if isinstance(domain, str) else None,
        settled=seats >= overlap,
    )


def opinions(ids: Sequence[int], raters: Sequence[int]) -> dict[int, Opinion]:
    """What these judges say of these comparisons; those that none of them could read are absent."""
    if not (ids and raters):
        return {}
    with connection.cursor() as cursor:
        cursor.execute(OPINIONS, {"ids": list(ids), "raters": list(raters), "level": LOGIT_A_LEVEL})
        return {pk: Opinion(min(1.0, max(0.0, p)), float(c), _apart(n, s)) for pk, p, c, n, *s in cursor.fetchall()}


def _apart(n: int, sides: Sequence[int]) -> float | None:
    """Share of pairs of judges on different sides."""
    return 1 - sum(k * (k - 1) for k in sides) / (n * (n - 1)) if n > 1 else None


def margins(ids: Sequence[int]) -> dict[int, tuple[float, float | None]]:
    """The reward margin of the latest model that was not trained on it, and the deviation among such models."""
    rows = RewardMargin.objects.filter(comparison__in=ids, held_out=True).order_by("reward_model_id")
    found: dict[int, list[float]] = {}
    for pk, margin in rows.values_list("comparison_id", "margin"):
        found.setdefault(pk, []).append(margin)
    return {pk: (said[-1], float(np.std(said)) if len(said) > 1 else None) for pk, said in found.items()}


def _difficulties(ids: Sequence[int]) -> dict[int, float]:
    rows = Consensus.objects.filter(comparison__in=ids, difficulty__isnull=False)
    return dict(rows.values_list("comparison_id", F("difficulty")))


Told = Mapping[int, tuple[Any, Mapping[str, float]]]
"""By comparison, when it was last decided and what was known of it."""


def _known(ids: Sequence[int], since: datetime | None) -> tuple[dict[int, Known], Told]:
    """What was last decided, and by what. Few decisions differ, so equal ones are one object."""
    held = ExpressionWrapper(Q(reason__startswith=HELD), output_field=BooleanField())
    current = RoutingDecision.objects.filter(comparison__in=ids, current=True).annotate(held=held)
    rows = current.values_list(
        "comparison_id", "created_at", "features", "route", "policy", "policy_version_id", "audit", "explored", "buys",
        "n", "held",
    )  # fmt: skip
    same: dict[Known, Known] = {}
    known, told = {}, {}
    for pk, at, features, *said in rows:
        one = Known(*said) if since is None or at >= since else Known(*said)._replace(policy="")
        known[pk] = same.setdefault(one, one)
        told[pk] = at, features
    return known, told


def _features(rows: Sequence[Row], found: Found, told: Told) -> Features:
    """Of a block. Where texts are as they were when it was decided, only what is live is worked out anew."""
    items = [item(row, found) for row in rows]
    again = [i for i, row in enumerate(rows) if row[0] in told and _still(row, *told[row[0]])]
    fresh = sorted(set(range(len(rows))) - set(again))
    new = extract(items[i] for i in fresh)
    table = np.full((len(rows), len(new.names)), np.nan)
    table[fresh] = new.table
    for i in again:
        table[i] = [_value(feature, items[i], told[rows[i][0]][1]) for feature in FEATURES]
    settled = np.array([one.settled for one in items], dtype=np.bool_)
    return Features(tuple(row[0] for row in rows), new.names, table, settled)


def _still(row: Row, at: Any, features: Mapping[str, float]) -> bool:
    """What was told of the texts then holds now, and is all that is told of any text."""
    return bool(row[-1] <= at) and features.keys() >= ALWAYS


def _value(feature: Feature, item: Item, told: Mapping[str, float]) -> float:
    if feature.name not in LIVE:
        return told.get(feature.name, np.nan)
    value = feature.compute(Read(item, [], [], [], True))
    return np.nan if value is None else float(value)


def _always() -> frozenset[str]:
    """What is told of every text."""
    plain = extract([Item(0, "Who?", "Ada.", "Bo.")])
    return frozenset(name for name, value in zip(plain.names, plain.table[0], strict=True) if value == value) - LIVE


ALWAYS: Final = _always() - frozenset({"constraints", "imperative", "creative", "complexity", "domain", "safety"})
"""But for what is told of English alone."""
