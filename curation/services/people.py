"""How people work, from the tables as they stand: the counts behind every figure, and the figures.

The same counts come from one statement for a table of all raters, and from a rater's own readings for their page, so
that both say the same. Each rater counts with their last judgements (`measuring.LAST`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple

import numpy as np
from django.db import connection
from django.utils.translation import gettext as _

from annotate.models import Form, Rater
from annotate.services import measuring
from annotate.services.measuring import Reading
from curation.stats import Estimate, wilson
from curation.stats import people as stats
from curation.stats.people import Verdict
from tiebreak.accounts.models import Project

FIFTH: Final = 0.05


class Counts(NamedTuple):
    """What is counted of one rater's judgements."""

    n: int = 0
    seconds: float | None = None
    """Median active time."""
    fifth: float | None = None
    """The time that they fall below once in twenty answers."""
    left: int = 0
    decided: int = 0
    gold: int = 0
    gold_n: int = 0
    others: int = 0
    others_n: int = 0
    same: int = 0
    same_n: int = 0
    longer: float = 0.0
    """Mean over comparisons: chose the longer one, less the share of the others who did."""
    longer_sd: float = 0.0
    longer_n: int = 0
    early: int = 0
    early_n: int = 0
    late: int = 0
    late_n: int = 0
    run: int = 0
    """Length of the longest row of answers for one side of the screen."""
    fast: int = 0
    timed: int = 0
    pasted: int = 0
    texts: int = 0


@dataclass(frozen=True, slots=True)
class Sign:
    """What an interval shows beyond doubt, for a curator to look at."""

    code: str
    words: str
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Figures:
    """One rater's figures with their intervals, and the signs that follow from them."""

    counts: Counts
    left: Estimate
    gold: Estimate
    others: Estimate
    gap: Estimate
    """Agreement with the other people, less that of all other people with each other."""
    same: Estimate
    longer: Estimate
    drift: Estimate
    fast: Estimate
    pasted: Estimate
    luck: float
    """A bound on the chance of the longest row of one side."""
    signs: tuple[Sign, ...]


# One row a rater. Every count is over their last judgements, by the index of raters; what people said of a
# comparison is summed once, and each takes their own part out of it.
TABLE: Final = """
WITH rater AS (SELECT id, kind FROM annotate_rater WHERE project_id = %(project)s),
mine AS MATERIALIZED (
  SELECT r.id AS rater, r.kind, j.id, j.comparison_id, j.repeat, sign(j.preference)::int AS side, j."order" AS shown,
    j.seconds::float8 AS seconds, j.submitted_at AS at,
    CASE WHEN length(j.justification) >= %(text)s THEN hashtext(lower(j.justification)) END AS text
  FROM rater r CROSS JOIN LATERAL (
    SELECT * FROM annotate_judgement WHERE rater_id = r.id AND current
    ORDER BY submitted_at DESC, id DESC LIMIT %(most)s
  ) j
), sum AS MATERIALIZED (
  SELECT j.comparison_id, count(*) AS n,
    count(*) FILTER (WHERE j.preference < 0) AS a, count(*) FILTER (WHERE j.preference > 0) AS b
  FROM annotate_judgement j JOIN rater r ON r.id = j.rater_id
  WHERE r.kind = 'annotator' AND j.current AND j.repeat = 0 AND j.preference IS NOT NULL
  GROUP BY 1
), compared AS MATERIALIZED (
  SELECT c.id, sign(c.gold)::int AS gold, octet_length(a.text) AS length_a, octet_length(b.text) AS length_b,
    coalesce(s.n, 0) AS n, coalesce(s.a, 0) AS a, coalesce(s.b, 0) AS b
  FROM (SELECT DISTINCT comparison_id FROM mine) m JOIN annotate_comparison c ON c.id = m.comparison_id
  JOIN annotate_completion a ON a.id = c.completion_a_id JOIN annotate_completion b ON b.id = c.completion_b_id
  LEFT JOIN sum s ON s.comparison_id = c.id
), beside AS (
  SELECT m.*, c.gold, c.length_a, c.length_b, c.n - own.n AS n,
    c.a - own.n * (coalesce(m.side, 0) < 0)::int AS a, c.b - own.n * (coalesce(m.side, 0) > 0)::int AS b
  FROM mine m JOIN compared c ON c.id = m.comparison_id
  CROSS JOIN LATERAL (SELECT (m.kind = 'annotator' AND m.repeat = 0 AND m.side IS NOT NULL)::int AS n) own
), judged AS MATERIALIZED (
  SELECT *, CASE WHEN n > 0 AND (a <> b OR a = 0) THEN sign(b - a)::int END AS others,
    CASE WHEN side <> 0 AND shown IS NOT NULL THEN (side < 0) = (shown = 'ab') END AS l,
    CASE WHEN repeat = 0 AND side <> 0 AND length_a <> length_b AND a + b > 0
      THEN ((side < 0) = (length_a > length_b))::int
        - (CASE WHEN length_a > length_b THEN a ELSE b END)::float8 / (a + b) END AS longer,
    least(%(read_most)s, (length_a + length_b) / %(read)s) AS needed,
    first_value(repeat) OVER twice = 0 AS again, first_value(side) OVER twice AS first
  FROM beside WINDOW twice AS (PARTITION BY rater, comparison_id ORDER BY repeat)
), fifths AS MATERIALIZED (
  SELECT rater, percentile_cont(0.05) WITHIN GROUP (ORDER BY seconds) AS fifth FROM mine
  WHERE kind = 'annotator' AND seconds IS NOT NULL GROUP BY 1
), pace AS MATERIALIZED (
  SELECT r.id AS rater, (
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY f.fifth) FROM fifths f WHERE f.rater <> r.id
  ) AS fifth FROM rater r
), known AS (
  SELECT rater, side = coalesce(gold, others) AS hit, row_number() OVER w AS at, count(*) OVER (PARTITION BY rater) AS n
  FROM judged WHERE repeat = 0 AND side IS NOT NULL AND coalesce(gold, others) IS NOT NULL
  WINDOW w AS (PARTITION BY rater ORDER BY at, id)
), drift AS MATERIALIZED (
  SELECT rater, count(*) FILTER (WHERE hit AND at <= n / 2) AS early, max(n / 2) AS early_n,
    count(*) FILTER (WHERE hit AND at > n / 2) AS late, max(n - n / 2) AS late_n FROM known GROUP BY 1
), island AS (
  SELECT rater, l, row_number() OVER (PARTITION BY rater ORDER BY at, id)
    - row_number() OVER (PARTITION BY rater, l ORDER BY at, id) AS island FROM judged WHERE l IS NOT NULL
), run AS MATERIALIZED (
  SELECT rater, max(n) AS run FROM (SELECT rater, count(*) AS n FROM island GROUP BY rater, l, island) x GROUP BY 1
)
SELECT j.rater, count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY j.seconds), max(p.fifth),
  count(*) FILTER (WHERE j.l), count(j.l),
  count(*) FILTER (WHERE j.repeat = 0 AND j.side = j.gold), count(*) FILTER (WHERE j.repeat = 0 AND j.gold IS NOT NULL),
  count(*) FILTER (WHERE j.repeat = 0 AND j.side = j.others),
  count(*) FILTER (WHERE j.repeat = 0 AND j.side IS NOT NULL AND j.others IS NOT NULL),
  count(*) FILTER (WHERE j.repeat > 0 AND j.again AND j.side IS NOT DISTINCT FROM j.first),
  count(*) FILTER (WHERE j.repeat > 0 AND j.again),
  coalesce(avg(j.longer), 0), coalesce(stddev_samp(j.longer), 0), count(j.longer),
  coalesce(max(d.early), 0), coalesce(max(d.early_n), 0), coalesce(max(d.late), 0), coalesce(max(d.late_n), 0),
  coalesce(max(u.run), 0),
  count(*) FILTER (WHERE j.seconds < least(j.needed, coalesce(p.fifth, j.needed))), count(j.seconds),
  count(j.text) - count(DISTINCT j.text), count(j.text)
FROM judged j JOIN pace p ON p.rater = j.rater
LEFT JOIN drift d ON d.rater = j.rater LEFT JOIN run u ON u.rater = j.rater
GROUP BY j.rater
"""


def table(project: Project) -> dict[int, Counts]:
    """The counts of everybody in a project who has judged, by rater (one statement).

    `fifth` is here that of the others: the median of each other person's.
    """
    given = {"project": project.pk, "most": measuring.LAST, "text": stats.TEXT}
    with connection.cursor() as cursor:
        cursor.execute(TABLE, given | {"read": stats.READ, "read_most": stats.READ_MOST})
        return {row[0]: Counts(*row[1:]) for row in cursor.fetchall()}


def count(found: Sequence[Reading], *, fifth: float | None) -> Counts:
    """The same counts of one rater's readings; `fifth` is that of the others.

    `pasted` is counted closer than in the table: a text that nearly repeats another counts as well.
    """
    shares = measuring.shares(found)
    first = [r for r in found if r.repeat == 0]
    longer = np.array([d for d in map(chose_longer, first) if d is not None])
    right = [reading.side == side for reading, side in sides_known(found)]
    half = len(right) // 2
    lefts = np.array([r.left for r in found if r.left is not None], dtype=bool)
    texts = stats.pasted([r.justification for r in found])
    times = [r.seconds for r in found if r.seconds is not None]
    return Counts(
        n=len(found),
        seconds=median(times) if times else None,
        fifth=fifth,
        left=_hits(shares.left),
        decided=shares.left.n,
        gold=_hits(shares.gold),
        gold_n=shares.gold.n,
        others=_hits(shares.others),
        others_n=shares.others.n,
        same=_hits(shares.same),
        same_n=shares.same.n,
        longer=float(longer.mean()) if len(longer) else 0.0,
        longer_sd=float(longer.std(ddof=1)) if len(longer) > 1 else 0.0,
        longer_n=len(longer),
        early=sum(right[:half]),
        early_n=half,
        late=sum(right[half:]),
        late_n=len(right) - half,
        run=stats.longest_run(lefts).length,
        fast=int(fast(found, fifth).sum()),
        timed=len(times),
        pasted=int((texts >= 0).sum()),
        texts=sum(len(r.justification.strip()) >= stats.TEXT for r in found),
    )


def figures(rater: Rater, everybody: Mapping[int, Counts], kinds: Mapping[int, str], form: Form) -> Figures:
    """One rater's figures, beside those of the other people of the project (`kinds` tells who is one)."""
    counts, person = everybody.get(rater.pk, Counts()), rater.kind == Rater.Kind.ANNOTATOR
    others = [c for pk, c in everybody.items() if pk != rater.pk and kinds.get(pk) == Rater.Kind.ANNOTATOR]
    right, tried = sum(c.others for c in others), sum(c.others_n for c in others)
    found = Figures(
        counts=counts,
        left=_share(counts.left, counts.decided, "nothing was decided for a side"),
        gold=_share(counts.gold, counts.gold_n, "no gold"),
        others=_share(counts.others, counts.others_n, "nobody else answered the same comparisons with one mind"),
        gap=stats.difference(counts.others, counts.others_n, right, tried),
        same=_share(counts.same, counts.same_n, "nothing was asked twice"),
        longer=stats.mean_difference(counts.longer, counts.longer_sd, counts.longer_n),
        drift=stats.halves(counts.early, counts.early_n, counts.late, counts.late_n),
        fast=_share(counts.fast, counts.timed, "no times"),
        pasted=_share(counts.pasted, counts.texts, "no justifications"),
        luck=stats.luck_of_a_run(counts.run, counts.decided),
        signs=(),
    )
    return Figures(**{f: getattr(found, f) for f in _FIELDS}, signs=tuple(_signs(found, form, person=person)))


_FIELDS: Final = tuple(name for name in Figures.__slots__ if name != "signs")


def sides_known(found: Sequence[Reading]) -> list[tuple[Reading, int]]:
    """In their order, the readings whose right side is known (by gold, else by most other people), with that side."""
    sides = [(r, r.gold if r.gold is not None else r.others) for r in found if r.repeat == 0 and r.side is not None]
    return [(reading, right) for reading, right in sides if right is not None]


def chose_longer(reading: Reading) -> float | None:
    """1 where the longer response was chosen, else 0, less the share of the other people who chose it."""
    votes = reading.others_a + reading.others_b
    if not reading.side or reading.length_a == reading.length_b or not votes:
        return None
    a_longer = reading.length_a > reading.length_b
    return float((reading.side < 0) == a_longer) - (reading.others_a if a_longer else reading.others_b) / votes


def fast(found: Sequence[Reading], fifth: float | None) -> stats.BoolArray:
    """Which of the readings took less time than reading takes."""
    seconds = np.array([np.nan if r.seconds is None else r.seconds for r in found])
    return stats.too_fast(seconds, np.array([r.length_a + r.length_b for r in found]), fifth)


def _signs(found: Figures, form: Form, *, person: bool) -> list[Sign]:
    """What is beyond doubt. A judge has habits too, but no haste and no drift of its own."""
    line = form.pause_below if form.pause_below is not None else form.pass_mark
    side = stats.verdict(found.left, stats.LEFT)
    length = stats.verdict(found.longer, stats.LENGTH)
    drift = stats.verdict(found.drift, stats.DRIFT)
    rules: list[tuple[bool, str, str, Estimate]] = [
        (_below(found.gold, line), "gold", _("gold surely below %(line)s") % {"line": f"{line:.0%}"}, found.gold),
        (stats.verdict(found.gap, stats.GAP) == Verdict.LOW, "gap", _("agrees less than others do"), found.gap),
        (side == Verdict.HIGH, "left", _("favours the left"), found.left),
        (side == Verdict.LOW, "left", _("favours the right"), found.left),
        (length == Verdict.HIGH, "length", _("favours the longer one"), found.longer),
        (length == Verdict.LOW, "length", _("favours the shorter one"), found.longer),
        (stats.verdict(found.same, stats.SAME) == Verdict.LOW, "same", _("inconsistent on repeats"), found.same),
        (person and found.luck < stats.LUCK, "run", _("always the same side"), Estimate(float(found.counts.run))),
        (person and stats.verdict(found.fast, stats.FAST) == Verdict.HIGH, "fast", _("too fast to read"), found.fast),
        (
            person and stats.verdict(found.pasted, stats.PASTED) == Verdict.HIGH,
            "pasted",
            _("pasted justifications"),
            found.pasted,
        ),
        (person and drift == Verdict.LOW, "drift", _("agreement falls"), found.drift),
        (person and drift == Verdict.HIGH, "drift", _("agreement rises"), found.drift),
    ]
    return [Sign(code, words, estimate) for seen, code, words, estimate in rules if seen]


def _below(estimate: Estimate, line: float) -> bool:
    return stats.verdict(estimate, (line, 1.0)) == Verdict.LOW


def _share(hits: int, n: int, reason: str) -> Estimate:
    return wilson(hits, n) if n else Estimate(None, reason=reason)


def _hits(estimate: Estimate) -> int:
    return round((estimate.value or 0.0) * estimate.n)
