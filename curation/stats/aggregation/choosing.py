"""Which way of aggregating suits the votes at hand, and why, in a sentence that a curator can check."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from curation.stats.intervals import Estimate, wilson
from curation.stats.votes import TIE, A, BoolArray, Pairs, Votes, checked_pairs

RECURS: Final = 4.0
"""Comparisons in which the rarer of a comparison's two items stands, from which on items tell more than raters do."""
PEOPLE: Final = 2.0
"""Votes of people for a comparison, from which on judges cannot bend the scores of items to their own taste."""
ONE_SIDED: Final = (0.35, 0.65)
"""Share of decided votes for the side shown first, outside of which habit is the greatest error."""


class Facts(NamedTuple):
    """The shape of the votes."""

    comparisons: int
    """Those with a vote."""
    votes: int
    of_judges: int
    """Votes by judges."""
    raters: int
    """Those with a vote."""
    judges: int
    per_comparison: float
    """Votes for a comparison with any."""
    repeated: float
    """Share of the comparisons with two votes or more."""
    recurrence: float | None
    """In how many comparisons the rarer of the two items stands, over comparisons; None: items are not known."""
    levels: int
    """Strengths in use, beside ties."""
    first: Estimate
    """Share of decided votes that went to the side shown first, where that is known."""


class Choice(NamedTuple):
    method: str
    """A name of `methods.METHODS`."""
    reason: str
    facts: Facts


def choose(votes: Votes, *, pairs: Pairs | None = None, is_judge: BoolArray | None = None) -> Choice:
    """The method for votes of this shape.

    The rules come from what each method says of votes that it has not seen: people's on UKP, of which comparisons and
    votes were left out until items recurred m times with k votes each, 30 % of the raters answering by lot or none
    (mean log-loss of a held-out vote / share of decided ones on the likelier side; two draws each; the
    procedure is that of test_choosing.py):

    | k | m | by lot | majority | dawid-skene | joint | crowd-bt |
    |---|---|---|---|---|---|---|
    | 1 | 1 | none | 1.059 / .692 | 1.020 / .692 | 1.031 / .692 | 1.011 / .692 |
    | 1 | 4 | none | 1.075 / .677 | 1.028 / .677 | 1.037 / .677 | 1.011 / .712 |
    | 1 | 4 | 30 % | 1.118 / .647 | 1.050 / .647 | 1.052 / .647 | 1.039 / .685 |
    | 1 | 30 | 30 % | 1.142 / .629 | 1.061 / .629 | 1.060 / .629 | .957 / .745 |
    | 2 | 2 | none | 1.026 / .696 | 1.132 / .672 | .967 / .695 | .990 / .724 |
    | 2 | 4 | none | 1.017 / .704 | 1.103 / .693 | .959 / .708 | .973 / .734 |
    | 3 | 2 | none | .974 / .721 | 1.097 / .709 | .948 / .726 | .974 / .734 |
    | 3 | 4 | none | .950 / .737 | 1.072 / .715 | .931 / .741 | .942 / .753 |
    | 3 | 4 | 30 % | .984 / .703 | 1.110 / .689 | .962 / .709 | .970 / .731 |
    | 3 | 30 | none | .937 / .731 | 1.009 / .723 | .919 / .734 | .878 / .768 |

    - Items recur in RECURS comparisons or more: ``crowd-bt``. Below, the likelier side is still found more often, but
      with less of a sense of how sure that is. A star, where all are compared with one, is no recurrence: nothing else
      is said of its points, so the rarer item counts.
    - Unless habit rules: where the side shown first takes almost two of three, ``bradley-terry`` tells votes for it
      from votes against it (simulated: with half of the raters always saying left .829 are right against
      .796; with 30 % of them .867 against .864, which is why the bar is high).
    - Where judges took part it needs PEOPLE votes of people for a comparison too: several judges then count as one
      rater in it. Simulated judges with a taste of their own, items recurring 8 times, right of 100: with two people
      for each comparison ``crowd-bt`` 92, ``joint`` 91; with one 48 and 82.
    - Otherwise ``joint``: it contains Dawid and Skene's model, says better what held-out people will say on each set
      tried, and judges cannot outvote people by number.

    ``graded`` is for who wants strengths on a scale; for the side it was no better than ``joint`` on simulated grades.
    """
    facts = facts_of(votes, pairs=pairs, is_judge=is_judge)
    people = facts.votes - facts.of_judges
    recurs = facts.recurrence is not None and facts.recurrence >= RECURS
    if not facts.votes:
        return Choice("majority", "Nothing has been judged yet.", facts)
    if not people:
        return Choice("joint", _JUDGES_ALONE.format(facts), facts)
    if facts.of_judges and (not recurs or people < PEOPLE * facts.comparisons):
        return Choice("joint", _JUDGES.format(facts), facts)
    if not recurs:
        return Choice("joint", _once(facts), facts)
    return _of_items(facts, facts.recurrence or 0.0)


_JUDGES_ALONE: Final = (
    "All {0.raters} raters are judges: they may be wrong together, and no person's vote vouches for them."
)
_JUDGES: Final = (
    "{0.judges} of {0.raters} raters are judges, with {0.of_judges} of {0.votes} votes: what they all tend to say must "
    "not count once for each of them."
)
_SPARSE: Final = "and a comparison has one vote: each of {0.raters} raters is taken for an ordinary one."
_REPEATED: Final = (
    "but {1:.0f} of 100 comparisons have several votes, {0.per_comparison:.1f} on average: they show how each of "
    "{0.raters} raters errs, and which comparisons are hard."
)


def _of_items(facts: Facts, recurrence: float) -> Choice:
    recurs = f"Responses stand in {recurrence:.1f} comparisons each, "
    if one_sided(facts.first):
        share = 100 * (facts.first.value or 0.0)
        habit = f"and {share:.0f} of 100 votes went to the side shown first: scores can be told apart from that habit."
        return Choice("bradley-terry", recurs + habit, facts)
    votes = f"{facts.per_comparison:.1f} votes" if facts.per_comparison >= 1.05 else "one vote"
    speaks = f"so that what is said of one comparison speaks for or against the {votes} on another"
    judges = f"; {facts.judges} judges count as one rater." if facts.judges > 1 else "."
    return Choice("crowd-bt", recurs + speaks + judges, facts)


def _once(facts: Facts) -> str:
    if facts.recurrence is None:
        start = "Which responses recur is not known, "
    else:
        start = f"Responses stand in {facts.recurrence:.1f} comparisons each, too few to speak for each other, "
    if not facts.repeated:
        return start + _SPARSE.format(facts)
    return start + _REPEATED.format(facts, 100 * facts.repeated)


def one_sided(first: Estimate) -> bool:
    """Whether the share of the side shown first is surely outside of ONE_SIDED."""
    if first.low is None or first.high is None:
        return False
    return first.high < ONE_SIDED[0] or first.low > ONE_SIDED[1]


def facts_of(votes: Votes, *, pairs: Pairs | None = None, is_judge: BoolArray | None = None) -> Facts:
    """The figures that the choice rests on."""
    judge = np.zeros(len(votes.raters), dtype=bool) if is_judge is None else np.asarray(is_judge, dtype=bool)
    if judge.shape != (len(votes.raters),):
        raise ValueError("is_judge", f"an array of shape {(len(votes.raters),)}", judge.shape)
    on_each = np.bincount(votes.comparison, minlength=len(votes.comparisons))
    active = np.bincount(votes.rater, minlength=len(judge)) > 0
    judged = on_each > 0
    n = int(judged.sum())
    decided = (votes.value != TIE) & (votes.a_first >= 0)
    first = ((votes.value == A) == (votes.a_first == 1))[decided]
    return Facts(
        comparisons=n,
        votes=votes.n,
        of_judges=int(judge[votes.rater].sum()),
        raters=int(active.sum()),
        judges=int((active & judge).sum()),
        per_comparison=votes.n / n if n else 0.0,
        repeated=float((on_each >= 2).sum() / n) if n else 0.0,
        recurrence=_recurrence(checked_pairs(pairs, votes), judged) if pairs is not None and n else None,
        levels=len(np.unique(np.abs(votes.strength[votes.value != TIE]))),
        first=wilson(int(first.sum()), len(first)),
    )


def _recurrence(pairs: Pairs, judged: BoolArray) -> float:
    a, b = pairs.a[judged], pairs.b[judged]
    stands = np.bincount(a, minlength=pairs.n) + np.bincount(b, minlength=pairs.n)
    return float(np.minimum(stands[a], stands[b]).mean())
