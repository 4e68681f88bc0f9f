"""Admitted judges weighed by gold: with enough of it, what each says is worth is learned instead of assumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from annotate.models import Comparison, Judgement
from curation.stats import K
from curation.stats.anchoring import anchored
from tiebreak.accounts.models import Project

from . import loading

ENOUGH: Final = 25  # gold comparisons that judges have read: from here on weights beat the plain mean
MOST: Final = 2_000  # of gold, the latest: more would only take longer


class Panel(NamedTuple):
    """Judges with the gold that weighs them."""

    raters: Sequence[int]
    gold: Mapping[int, int]
    """The known preference, by comparison."""


def panel(project: Project, raters: Sequence[int]) -> Panel | None:
    """None where these judges have read too little gold to be weighed by."""
    read = Judgement.objects.current().filter(rater__in=raters, preference__isnull=False).values("comparison")
    known = Comparison.objects.filter(project=project, gold__isnull=False, pk__in=read).order_by("-pk")
    gold = dict(known.exclude(status="withdrawn").values_list("pk", "gold")[:MOST])
    decided = sum(bool(value) for value in gold.values())
    return Panel(raters, {pk: value or 0 for pk, value in gold.items()}) if decided >= ENOUGH else None


def believed(project: Project, panel: Panel, ids: Sequence[int]) -> dict[int, float]:
    """Probability of b where these judges have read a comparison; nothing where gold refuses the panel as a whole.

    A tie counts half.
    """
    votes = loading.judgements_of(project, sorted({*ids, *panel.gold})).votes(np.array(panel.raters, dtype=np.int64))
    gold = np.array([panel.gold.get(int(str(pk)), np.nan) for pk in votes.comparisons], dtype=np.float64)
    posterior = anchored(votes, gold, rng=np.random.default_rng(0)).posterior
    if posterior is None:
        return {}
    chance = posterior[:, K - 1] + posterior[:, 1] / 2
    return {int(str(pk)): float(p) for pk, p in zip(votes.comparisons, np.clip(chance, 0, 1), strict=True)}
