"""Aggregation from the database to the database: what is read, by which method, and what is stored of it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import connection

from annotate.models import Comparison, Judgement, Rater
from curation.models import Aggregation, Consensus, RaterSkill
from curation.services import admitting, aggregating, building, live, loading, verbs
from curation.stats import METHODS, Reading, Votes, combine_readings
from tests.build import make_comparison, make_judge, make_judgement, make_judgements, make_project
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid
from tiebreak.runs import ledger

pytestmark = pytest.mark.django_db


def make_world() -> Project:
    """Prompts of three completions, each against each; three people, a judge in both orders, one rater for a always."""
    project = make_project(overlap=3)
    judge = make_judge(project, "heron", model="heron-2").rater
    always = Rater.objects.create(project=project, kind="annotator", name="always-a")
    for n in range(12):
        for a, b, letters in (("good", "fair", "AAB"), ("good", "poor", "AAA"), ("fair", "poor", "ABA")):
            texts = {"good": "long and **good** " * 3, "fair": "fair enough", "poor": "poor"}
            comparison = make_comparison(project, f"{n}{a[0]}{b[0]}", prompt=f"q{n}", a=texts[a], b=texts[b], overlap=9)
            make_judgements(comparison, letters)
            make_judgement(comparison, always, -1)
            make_judgement(comparison, judge, -2, repeat=0, order="ab")
            make_judgement(comparison, judge, [-2, 1][n % 2], repeat=1, order="ba")
    return project


def aggregate(project: Project, method: str) -> dict[str, Any]:
    result: dict[str, Any] = verbs.run_here("aggregate", project, {"method": method}).result
    return result


def test_readings_become_the_votes_that_they_become_one_by_one() -> None:
    project = make_world()
    Judgement.objects.filter(pk__in=list(Judgement.objects.values_list("pk", flat=True)[:3])).update(
        preference=None, unparsed_because="no verdict"
    )
    rows = Judgement.objects.filter(preference__isnull=False).order_by("comparison_id", "rater_id", "repeat")
    orders = {"ab": 1, "ba": 0}
    expected = Votes.from_rows(
        combine_readings(Reading(j.comparison_id, j.rater_id, j.preference, 1.0, orders[j.order or ""]) for j in rows)
    )
    votes = loading.judgements_of(project).votes()

    def told(v: Votes) -> list[tuple[Any, ...]]:
        named = ((v.comparisons[c], v.raters[r]) for c, r in zip(v.comparison, v.rater, strict=True))
        return sorted(zip(named, v.value.tolist(), v.strength.tolist(), v.a_first.tolist(), strict=True))

    assert told(votes) == told(expected)


@pytest.mark.parametrize("method", [*METHODS])
def test_every_method_stores_a_consensus_of_every_comparison(method: str) -> None:
    project = make_world()
    result = aggregate(project, method)
    assert (result["method"], result["comparisons"]) == (method, 36)
    row = Consensus.objects.get(comparison__external_id="0gp")
    assert row.side == "a"
    assert row.p_a + row.p_tie + row.p_b == pytest.approx(1)
    assert (row.n_annotators, row.n_judges, row.n_readings, row.provisional) == (4, 1, 6, False)
    assert len(Aggregation.objects.get(current=True).prior) == 3
    assert RaterSkill.objects.count() == 5


@pytest.mark.parametrize("method", [name for name, known in METHODS.items() if known.needs_pairs])
def test_a_method_over_completions_is_refused_where_none_recurs(method: str) -> None:
    project = make_project()
    make_judgements(make_comparison(project), "AAB")
    with pytest.raises(Invalid, match="here none does"):
        aggregate(project, method)


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Invalid, match="method"):
        verbs.prepare("aggregate", make_project(), {"method": "oracle"})


@pytest.mark.parametrize("letters", ["A", "TTT", "AAAA"])
def test_one_comparison_is_enough(letters: str) -> None:
    project = make_project(overlap=4)
    make_judgements(make_comparison(project), letters)
    for method in ("majority", "dawid-skene", "joint"):
        aggregate(project, method)
        assert Consensus.objects.get().side == ("tie" if letters[0] == "T" else "a")


def test_the_hash_of_the_inputs_is_of_what_was_said_alone() -> None:
    """The same judgements under other ids, written in another order: what was said, by whom and of what, counts."""
    project = make_world()
    before = loading.judgements_of(project).sha256
    rows = list(Judgement.objects.order_by("-id").values("comparison_id", "rater_id", "preference", "repeat", "order"))
    Judgement.objects.all().delete()
    for row in rows:
        Judgement.objects.create(**row)
    assert loading.judgements_of(project).sha256 == before
    Judgement.objects.filter(pk=Judgement.objects.order_by("id").first().pk).update(preference=3)  # type: ignore[union-attr]
    assert loading.judgements_of(project).sha256 != before


def test_a_comparison_that_is_withdrawn_in_between_gets_no_consensus(monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_world()
    fit_by = aggregating.fit_by

    def and_then(*args: Any) -> Any:
        Comparison.objects.filter(external_id="0gp").update(status="withdrawn")
        return fit_by(*args)

    monkeypatch.setattr(aggregating, "fit_by", and_then)
    aggregate(project, "crowd-bt")
    assert Consensus.objects.count() == 35
    assert not Consensus.objects.filter(comparison__external_id="0gp").exists()


def test_biases_of_raters_are_stored_with_their_intervals() -> None:
    project = make_world()
    aggregate(project, "dawid-skene")
    biases = RaterSkill.objects.get(rater__name="always-a").biases
    # In all 36 comparisons a is the longer one; layout differs in the 24 with the good one.
    assert (biases["length"]["value"], biases["length"]["n"]) == (1.0, 36)
    assert (biases["format"]["value"], biases["format"]["n"]) == (1.0, 24)
    assert biases["length"]["low"] < 1.0
    assert biases["self"] == {"value": None, "low": None, "high": None, "n": 0, "reason": "no observations"}
    judge = RaterSkill.objects.get(rater__kind="judge").biases  # its family made a ("heron-1") in every comparison
    assert (judge["self"]["value"], judge["self"]["n"]) == (1.0, 36)


def test_rows_with_a_null_are_refused_rather_than_misread() -> None:
    with pytest.raises(ValueError, match="none of them null"):
        loading.read("SELECT 1::int8, NULL::int8", {"a": "int8", "b": "int8"})
    assert len(loading.read("SELECT 1::int8 WHERE false", {"a": "int8"})) == 0


def test_many_blocks_are_one_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "BLOCK", 100)
    query = "SELECT g::int8, (g / 2.0)::float8 FROM generate_series(1, 1000) AS g"
    rows = loading.read(query, {"n": "int8", "half": "float8"})
    assert np.array_equal(np.sort(rows["n"]), np.arange(1, 1001))
    assert np.array_equal(rows["half"], rows["n"] / 2)


@pytest.mark.django_db(transaction=True)
def test_two_aggregations_at_once_leave_one_current_and_every_comparison_once() -> None:
    project = make_world()
    runs = [ledger.start("aggregate", project=project, params={"method": m}) for m in ("majority", "dawid-skene")]
    barrier, errors = threading.Barrier(2), list[BaseException]()

    def one(pk: int) -> None:
        try:
            barrier.wait(20)
            ledger.execute(pk)
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=(run.pk,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    current = Aggregation.objects.get(current=True)
    assert Aggregation.objects.count() == 2
    assert set(Consensus.objects.values_list("aggregation", flat=True)) == {current.pk}
    assert Consensus.objects.count() == 36


def refused_judge(project: Project) -> Rater:
    """A judge that names the wrong side of twelve gold comparisons, and has a word on one that people judged too."""
    judge = make_judge(project, "coin")
    rater = Rater.objects.get(judge=judge)
    for number in range(12):
        gold = make_comparison(project, f"gold{number}", gold=-1)
        make_judgement(gold, rater, 1)
    people = make_comparison(project, "people")
    make_judgements(people, "AA")
    make_judgement(people, rater, 3)
    make_judgement(make_comparison(project, "alone"), rater, 3)
    return rater


def test_what_a_judge_says_that_gold_refuses_makes_no_label() -> None:
    project = make_project("chat", overlap=2)
    rater = refused_judge(project)
    told = aggregate(project, "majority")
    assert told["muted_judges"] == 1
    (row,) = Consensus.objects.filter(comparison__project=project)
    assert (row.comparison.external_id, row.side, row.n_judges, row.n_readings) == ("people", "a", 0, 3)
    assert not RaterSkill.objects.filter(rater=rater).exists()
    assert Judgement.objects.filter(rater=rater).count() == 14  # nothing is lost


def test_what_comes_after_the_fit_from_a_refused_judge_makes_no_label_either() -> None:
    project = make_project("chat", overlap=2)
    rater = refused_judge(project)
    aggregate(project, "majority")
    later = make_comparison(project, "later")
    make_judgement(later, rater, 3)
    assert live.touched(project, after=0) == []  # and it is no news that would be looked at for ever
    live.update(project.pk, [later.pk])
    assert not Consensus.objects.filter(comparison=later).exists()


def test_nobodys_trust_makes_a_refused_judge_heard() -> None:
    project = make_project("chat", overlap=2)
    rater = refused_judge(project)
    admitting.trust(project, "a rehearsal", by=None)
    assert admitting.judges(project).admitted == []
    assert admitting.muted(project) == [rater.pk]
    assert aggregate(project, "majority")["muted_judges"] == 1


def test_where_only_refused_judges_have_judged_that_is_said() -> None:
    project = make_project("chat", overlap=2)
    refused_judge(project)
    Judgement.objects.filter(rater__kind="annotator").update(current=False)
    with pytest.raises(Invalid, match="Only judges that gold refuses"):
        aggregate(project, "majority")


def test_no_version_is_labelled_by_a_judge_that_gold_refuses(storage: Path) -> None:
    project = make_project("chat", overlap=2)
    refused_judge(project)
    started = building.start("prefs", project, {"split": {"train": 1.0, "test": 0.0, "validation": 0.0}}, by=None)
    ledger.execute(started.run_id or 0)
    started.refresh_from_db()
    (row,) = started.rows.all()
    assert (row.row["id"], row.row["source"], row.row["chosen_side"]) == ("people", "human", "a")
    assert [vote["kind"] for vote in row.row["votes"]] == ["annotator", "annotator"]
    assert started.statistics["muted_judges"] == ["coin v1"]
    assert sum(started.dropped.values()) == 13  # twelve of gold, and the one that it judged alone
