"""Who was in the audit with what probability, after several rounds of drawing."""

from __future__ import annotations

import numpy as np
import pytest

from annotate.models import Comparison
from curation.models import RoutingDecision
from curation.routing.features import Features, Item, extract
from curation.routing.policies import slices
from curation.services import lots, verbs
from curation.services.reading import said
from curation.stats.votes import IntArray
from tests.build import make_comparison, make_judge, make_judgement, make_project
from tiebreak.runs.models import Run


def test_weighed_by_all_rounds_the_audited_stand_for_everything_drawn_for() -> None:
    # 60 comparisons in round 1 and 180 more in round 2; whoever is drawn leaves. By the rounds' product the weights of
    # the first 60 sum to 60; by the probability of the round that drew each they sum to 108 (60 by each round, less
    # the 12 that round 1 took).
    rng, sums, alone = np.random.default_rng(5), [], []
    pool = extract([Item(i, "q", "a", "b", judge_probability=0.8) for i in range(240)])
    for _ in range(400):
        one = slices(_part(pool, np.arange(60)), budget=60, rng=rng, exploration=0, audit_share=0.2)
        rest = np.setdiff1d(np.arange(240), one.audited)
        two = slices(_part(pool, rest), budget=len(rest), rng=rng, exploration=0, audit_share=0.15)
        first, second = one.probability[0], two.probability[0]
        later = rest[two.audited]
        n = len(one.audited) + (later < 60).sum()
        sums.append(n / (1 - (1 - first) * (1 - second)))
        alone.append(len(one.audited) / first + (later < 60).sum() / second)
    assert np.mean(sums) == pytest.approx(60, abs=1)
    assert np.mean(alone) == pytest.approx(108, abs=3)


def _part(features: Features, rows: IntArray) -> Features:
    ids = tuple(rows.tolist())
    return features._replace(ids=ids, table=features.table[rows], settled=features.settled[rows])


@pytest.mark.django_db
@pytest.mark.usefixtures("storage")
def test_those_of_an_earlier_round_carry_the_later_one_drawn_or_not_and_begun_or_not() -> None:
    project = make_project(overlap=1)
    judge = make_judge(project).rater

    def more(letter: str, n: int) -> list[int]:
        made = [make_comparison(project, f"{letter}{i}") for i in range(n)]
        for comparison in made:
            make_judgement(comparison, judge, 1, probability_b=0.7)
        return [comparison.pk for comparison in made]

    asked = {"policy": "random", "audit": 0.2, "exploration": 0}
    old = more("o", 20)
    verbs.run_here("route", project, asked)
    begun = said.read(project).comparisons[said.read(project).audit][0]
    Comparison.objects.filter(pk=begun).update(seats_taken=1)
    new = more("n", 40)
    verbs.run_here("route", project, asked | {"seed": 1})

    # 4 of 20 were drawn, one of them is begun: of the other 59 a fifth, 11.8, is wanted; 3 wait, 56 are drawn from.
    second = (11.8 - 3) / 56
    read = said.read(project)
    probability = dict(zip(read.comparisons.tolist(), read.probability.tolist(), strict=True))
    assert {round(probability[pk], 6) for pk in new} == {round(second, 6)}
    assert {round(probability[pk], 6) for pk in old} == {round(1 - 0.8 * (1 - second), 6)}


@pytest.mark.django_db
def test_what_would_have_been_bought_for_its_gain_and_begun_is_in_no_later_round() -> None:
    project = make_project()
    one, two = (Run.objects.create(project=project, kind="route") for _ in range(2))
    known = [("great", 0.4, True, 1), ("small", 0.1, True, 1), ("waits", 0.4, True, 0), ("bought", 0.3, False, 1)]
    made = {}
    for name, gain, audit, seats in known:
        comparison = make_comparison(project, name, seats_taken=seats)
        made[comparison.pk] = name
        RoutingDecision.objects.create(
            comparison=comparison, policy="p", route="human", gain=gain, audit=audit, probability=0.1, run=one
        )
    found = lots.drawn_before(two, "p")
    assert sorted(made[pk] for pk in found.tolist()) == ["small", "waits"]
