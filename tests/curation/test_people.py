"""People's quality, live: the counts of the table and of a page are the same, and say what is true of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest
from django.utils import timezone

from annotate.models import Assignment, Judgement, Rater
from annotate.services import measuring
from curation.services import people
from tests import build
from tiebreak.accounts.models import Project

pytestmark = pytest.mark.django_db
NOW = timezone.now()
WORDS = ["this", "answer", "is", "right", "about", "the", "year", "while", "that", "one", "is", "not", "at", "all"]


def populate(
    project: Project, *, comparisons: int = 60, raters: int = 4, seed: int = 5, more: Sequence[Rater] = ()
) -> list[Rater]:
    """A project judged at random: ties, both bad, unknown orders, repeats, gold, and a judge."""
    rng = np.random.default_rng(seed)
    made = [*more, *(build.make_rater(project, f"person{i}") for i in range(raters))]
    judge = build.make_judge(project)
    for number in range(comparisons):
        gold = int(rng.integers(-2, 3)) if number % 5 == 0 else None
        comparison = build.make_comparison(
            project,
            gold=gold,
            a="a" * int(rng.integers(5, 2000)),
            b="b" * int(rng.integers(5, 2000)),
            overlap=len(made),
        )
        for rater in made:
            if rng.random() < 0.8:
                preference = None if rng.random() < 0.1 else int(rng.integers(-3, 4))
                row = build.make_judgement(
                    comparison,
                    rater,
                    preference,
                    both_bad=preference is None,
                    order=str(rng.choice(["ab", "ba"])),
                    seconds=float(rng.gamma(2.0, 4.0)) if rng.random() < 0.9 else None,
                    submitted_at=NOW + timedelta(seconds=int(rng.integers(0, 500))),
                    justification=" ".join(rng.choice(WORDS, 6)) if rng.random() < 0.5 else "too long",
                )
                if rng.random() < 0.3:
                    repeat(row, int(rng.integers(-1, 2)))
                if rng.random() < 0.1:
                    Judgement.objects.filter(pk=row.pk).update(order=None)
        build.make_call(judge, comparison, int(rng.integers(-1, 2)), repeat=0)
        build.make_call(judge, comparison, int(rng.integers(-1, 2)), repeat=1)
    return [*made, judge.rater]


def repeat(first: Judgement, preference: int) -> None:
    order = "ba" if first.order == "ab" else "ab"
    given = Assignment.objects.create(
        comparison=first.comparison, rater=first.rater, status="submitted", purpose="repeat", repeat=1, order=order
    )
    Judgement.objects.create(
        comparison=first.comparison, rater=first.rater, assignment=given, repeat=1, preference=preference, order=order,
        submitted_at=first.submitted_at + timedelta(hours=1), justification="",
    )  # fmt: skip


@pytest.mark.parametrize("seed", [5, 6])
def test_the_table_counts_what_the_page_of_each_rater_counts(seed: int) -> None:
    project = build.make_project()
    everybody = populate(project, seed=seed)
    table = people.table(project)

    assert set(table) == {rater.pk for rater in everybody}
    for rater in everybody:
        row = table[rater.pk]
        found = people.count(measuring.readings(rater), fifth=row.fifth)
        told = {name: getattr(found, name) for name in found._fields if name != "pasted"}
        assert {name: getattr(row, name) for name in told} == pytest.approx(told), rater
        assert row.pasted <= found.pasted


def test_counts_by_hand() -> None:
    project = build.make_project()
    me, other = build.make_rater(project, "me"), build.make_rater(project, "other")
    # The prompt's second response is the longer one.
    for number, (mine, theirs, order) in enumerate([(-1, -1, "ab"), (1, -1, "ab"), (1, 1, "ba"), (0, 1, "ab")]):
        comparison = build.make_comparison(project, a="short", b="by far longer", gold=1 if number == 1 else None)
        build.make_judgement(comparison, me, mine, order=order, submitted_at=NOW + timedelta(minutes=number), seconds=9)
        build.make_judgement(comparison, other, theirs, seconds=0.01)

    row = people.table(project)[me.pk]

    assert (row.n, row.seconds) == (4, 9.0)
    assert (row.left, row.decided) == (2, 3)  # a left, b right, b left
    assert (row.gold, row.gold_n) == (1, 1)
    assert (row.others, row.others_n) == (2, 4)  # a = a, b ≠ a, b = b, tie ≠ b
    # Chose the longer: no while no, yes while no, yes while yes: 0, 1, 0.
    assert (row.longer, row.longer_n) == (pytest.approx(1 / 3), 3)
    # Right, by gold where there is any: yes, yes (gold), yes, no.
    assert (row.early, row.early_n, row.late, row.late_n) == (2, 2, 1, 2)
    assert row.run == 1  # left, right, left
    assert (row.fast, row.timed, row.fifth) == (0, 4, 0.01)


def test_only_the_last_judgements_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "LAST", 3)
    project = build.make_project()
    rater = build.make_rater(project)
    for day in range(5):
        build.make_judgement(
            build.make_comparison(project), rater, -1 if day < 2 else 1, submitted_at=NOW + timedelta(days=day)
        )
    assert people.table(project)[rater.pk][:5:3] == (3, 0)


def test_another_project_is_not_counted() -> None:
    project, foreign = build.make_project(), build.make_project()
    populate(foreign, comparisons=3)
    assert people.table(project) == {}


def seen(rater: Rater, counts: people.Counts, everybody: dict[int, people.Counts] | None = None) -> set[str]:
    table = (everybody or {}) | {rater.pk: counts}
    found = people.figures(rater, table, dict.fromkeys(table, "annotator"), rater.project.forms.get())
    return {sign.code for sign in found.signs}


NO: set[str] = set()
COUNTS = people.Counts()


@pytest.mark.parametrize(
    ("counts", "codes"),
    [
        (COUNTS, NO),
        (COUNTS._replace(gold=4, gold_n=10), {"gold"}),  # .17 to .69, and 70 % is the mark
        (COUNTS._replace(gold=5, gold_n=10), NO),  # .24 to .76
        (COUNTS._replace(gold=0, gold_n=9), NO),  # few
        (COUNTS._replace(left=9, decided=10), {"left"}),  # .60 to .98
        (COUNTS._replace(left=7, decided=10), NO),
        (COUNTS._replace(left=30, decided=100), {"left"}),
        (COUNTS._replace(same=2, same_n=12), {"same"}),
        (COUNTS._replace(same=5, same_n=12), NO),
        (COUNTS._replace(longer=0.3, longer_sd=0.6, longer_n=100), {"length"}),
        (COUNTS._replace(longer=0.3, longer_sd=0.6, longer_n=29), NO),
        (COUNTS._replace(run=15, decided=30, left=15), {"run"}),  # 17/32768
        (COUNTS._replace(run=12, decided=30, left=15), NO),  # 20/4096
        (COUNTS._replace(early=20, early_n=20, late=5, late_n=20), {"drift"}),
        (COUNTS._replace(early=20, early_n=20, late=15, late_n=20), NO),
        (COUNTS._replace(fast=20, timed=40), {"fast"}),
        (COUNTS._replace(fast=4, timed=9), NO),
        (COUNTS._replace(pasted=12, texts=20), {"pasted"}),
        (COUNTS._replace(pasted=2, texts=4), NO),
    ],
)
def test_a_sign_needs_the_whole_interval(counts: people.Counts, codes: set[str]) -> None:
    assert seen(build.make_rater(build.make_project()), counts) == codes


def test_a_judge_is_neither_hasty_nor_monotonous() -> None:
    judge = build.make_judge(build.make_project()).rater
    counts = COUNTS._replace(fast=50, timed=50, pasted=50, texts=50, run=50, decided=50, left=25, early_n=50, late_n=50)
    assert seen(judge, counts) == NO


def test_agreement_is_held_against_that_of_the_others_among_themselves() -> None:
    rater = build.make_rater(build.make_project())
    counts = COUNTS._replace(others=50, others_n=100)
    assert seen(rater, counts, {rater.pk: counts, -1: COUNTS._replace(others=80, others_n=100)}) == {"gap"}
    assert seen(rater, counts, {rater.pk: counts, -1: COUNTS._replace(others=55, others_n=100)}) == NO
    assert seen(rater, counts, {rater.pk: counts}) == NO
