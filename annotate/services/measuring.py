"""What a rater's own judgements say of them: the rows behind every figure about a person, and the simplest figures.

A figure is a share with its interval and its n, or the reason why there is none. Curators see them as they stand.
Annotators see theirs with a delay: an answer that can still be changed is not counted against what others said or what
is known, or changing it would tell whether it was right.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.db import connection

from annotate.models import Form, Rater
from tiebreak.core.intervals import Estimate, wilson

LAST: Final = 2_000  # judgements that figures about one rater are made of: the last ones
FEW: Final = 10  # below it, a share is not told to annotators: it would say what single answers were


class Reading(NamedTuple):
    """One current judgement of a rater. Sides are -1 for a, 1 for b, 0 for a tie, None where there is none."""

    id: int
    comparison: int
    repeat: int
    side: int | None
    both_bad: bool
    order: str | None
    seconds: float | None
    at: datetime
    gold: int | None
    """The known side."""
    others: int | None
    """The side of most other people; None where nobody else answered, or as many for a as for b."""
    others_a: int
    others_b: int
    """How many other people chose a, and b."""
    length_a: int
    length_b: int
    justification: str

    @property
    def left(self) -> bool | None:
        """Whether the response on the left was chosen; None for a tie, or where the order is not known."""
        return None if not self.side or self.order is None else (self.side < 0) == (self.order == "ab")


class Shares(NamedTuple):
    """Of a rater's readings: the share with the left side, right on gold, with most others, and said twice alike."""

    left: Estimate
    gold: Estimate
    others: Estimate
    same: Estimate


# Lengths in bytes: they are read without unpacking a stored text, and a letter of a dense script counts for more.
READINGS: Final = """
WITH mine AS (
  SELECT id, comparison_id, repeat, preference, both_bad, "order", seconds, submitted_at, justification
  FROM annotate_judgement WHERE rater_id = %(rater)s AND current ORDER BY submitted_at DESC, id DESC LIMIT %(most)s
)
SELECT m.id, m.comparison_id, m.repeat, sign(m.preference)::int, m.both_bad, m."order", m.seconds, m.submitted_at,
  sign(c.gold)::int, CASE WHEN o.n > 0 AND (o.a <> o.b OR o.a = 0) THEN sign(o.b - o.a)::int END, o.a, o.b,
  octet_length(a.text), octet_length(b.text), m.justification
FROM mine m
JOIN annotate_comparison c ON c.id = m.comparison_id
JOIN annotate_completion a ON a.id = c.completion_a_id
JOIN annotate_completion b ON b.id = c.completion_b_id
CROSS JOIN LATERAL (
  SELECT count(*) AS n, count(*) FILTER (WHERE j.preference < 0) AS a, count(*) FILTER (WHERE j.preference > 0) AS b
  FROM annotate_judgement j JOIN annotate_rater r ON r.id = j.rater_id
  WHERE j.comparison_id = m.comparison_id AND j.current AND j.repeat = 0 AND j.preference IS NOT NULL
    AND r.kind = 'annotator' AND j.rater_id <> %(rater)s
) o
ORDER BY m.submitted_at, m.id
"""


def readings(rater: Rater, *, most: int = LAST) -> list[Reading]:
    """The rater's last current judgements, the oldest first, each beside what is known and what others said."""
    with connection.cursor() as cursor:
        cursor.execute(READINGS, {"rater": rater.pk, "most": most})
        return [Reading(*row) for row in cursor.fetchall()]


def shares(found: Sequence[Reading]) -> Shares:
    lefts = [reading.left for reading in found if reading.left is not None]
    gold = [r.side == r.gold for r in found if r.gold is not None and r.repeat == 0]
    others = [r.side == r.others for r in found if r.others is not None and r.side is not None and r.repeat == 0]
    same = said_twice(found)
    return Shares(
        left=_share(lefts, "nothing was decided for a side"),
        gold=_share(gold, "no comparison with a known answer yet"),
        others=_share(others, "nobody else has answered the same comparisons with one mind"),
        same=_share(same, "nothing was asked twice yet"),
    )


def own(rater: Rater, form: Form, *, now: datetime) -> Shares | None:
    """A rater's figures as they are told to the rater; None where the project does not tell them."""
    if not form.show_quality:
        return None
    found = readings(rater)
    closed = [reading for reading in found if reading.at < now - timedelta(minutes=form.revise_minutes)]
    told = shares(closed)
    return Shares(shares(found).left, *(_enough(estimate) for estimate in told[1:]))


def said_twice(found: Sequence[Reading]) -> list[bool]:
    """Of each reading that repeats another: whether it names the side that the first one named."""
    first = {reading.comparison: reading.side for reading in found if reading.repeat == 0}
    return [r.side == first[r.comparison] for r in found if r.repeat and r.comparison in first]


def _share(hits: Sequence[bool], reason: str) -> Estimate:
    return wilson(sum(hits), len(hits)) if hits else Estimate(None, reason=reason)


def _enough(estimate: Estimate) -> Estimate:
    if estimate.value is None or estimate.n >= FEW:
        return estimate
    return Estimate(None, n=estimate.n, reason="not enough evidence yet")
