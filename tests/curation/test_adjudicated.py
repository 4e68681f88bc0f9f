"""What an adjudicator decided is the consensus, whatever is computed afterwards, and a version says who said so."""

from __future__ import annotations

import json

import pytest

from annotate.models import Adjudication, Comparison
from annotate.services import reviewing
from curation.models import Consensus, DatasetVersion, DroppedRow, NoiseScore, RaterSkill
from curation.services import building, exporting, loading, routing, verbs
from tests.build import make_comparison, make_judgements, make_member, make_project
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Role
from tiebreak.core.errors import Invalid
from tiebreak.runs import ledger

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]


@pytest.fixture
def project() -> Project:
    """Twelve comparisons that three people agree on, and one, "split", on which two prefer a and one b."""
    project = make_project("court", overlap=3)
    for number in range(12):
        make_judgements(make_comparison(project, f"c{number:02d}", prompt=f"q{number}"), "AAA" if number % 2 else "BBB")
    make_judgements(make_comparison(project, "split", prompt="which?"), "AAB")
    make_member(project, Role.ADJUDICATOR, name="expert")
    return project


def decide(name: str, preference: int | None, *, both_bad: bool = False) -> Adjudication:
    comparison = Comparison.objects.get(external_id=name)
    expert = User.objects.get(username="expert")
    return reviewing.adjudicate(comparison, preference, both_bad, "Checked the source.", by=expert)


def build(project: Project, **recipe: object) -> DatasetVersion:
    version = building.start("prefs", project, recipe, by=None, wake=False)
    ledger.execute(version.run_id or 0)
    version.refresh_from_db()
    return version


def state(name: str) -> str:
    return Comparison.objects.get(external_id=name).status


@pytest.mark.parametrize("method", ["majority", "dawid-skene"])
def test_a_decision_is_the_consensus_and_survives_every_aggregation(project: Project, method: str) -> None:
    verbs.run_here("aggregate", project, {"method": "majority"})
    assert state("split") == "disputed"
    decide("split", 2)
    for _ in range(2):
        result = verbs.run_here("aggregate", project, {"method": method}).result
        row = Consensus.objects.get(comparison__external_id="split")
        assert (row.side, row.p_b, row.preference, row.entropy, row.n_annotators) == ("b", 1.0, 2.0, 0.0, 3)
        assert (state("split"), result["disputed"]) == ("settled", 0)


def test_a_decision_on_an_open_comparison_is_never_disputed_afterwards(project: Project) -> None:
    decide("split", 1)
    Comparison.objects.filter(external_id="split").update(status="open")  # as if somebody had opened it
    verbs.run_here("aggregate", project, {})
    assert state("split") == "settled"


def test_raters_are_still_measured_by_judgements_alone(project: Project) -> None:
    verbs.run_here("aggregate", project, {"method": "majority"})
    before = list(RaterSkill.objects.filter(aggregation__current=True).order_by("rater").values_list("skill", "n"))
    decide("split", 2)
    verbs.run_here("aggregate", project, {"method": "majority"})
    assert before == list(
        RaterSkill.objects.filter(aggregation__current=True).order_by("rater").values_list("skill", "n")
    )


def test_what_everybody_calls_bad_has_a_consensus_once_it_is_decided(project: Project) -> None:
    make_judgements(make_comparison(project, "bad"), "XXX")
    decide("bad", -1)
    verbs.run_here("aggregate", project, {})
    row = Consensus.objects.get(comparison__external_id="bad")
    assert (row.side, row.n_annotators, row.n_both_bad) == ("a", 0, 3)


def test_both_bad_prefers_neither(project: Project) -> None:
    decision = decide("split", None, both_bad=True)
    assert loading.certain(decision) == (0.0, 1.0, 0.0)
    verbs.run_here("aggregate", project, {})
    assert Consensus.objects.get(comparison__external_id="split").side == "tie"
    version = build(project)
    dropped = DroppedRow.objects.get(version=version, comparison__external_id="split")
    assert (dropped.rule, dropped.cause) == ("both_bad", "an adjudicator calls both bad")


def test_an_undone_decision_leaves_the_votes_to_speak(project: Project) -> None:
    verbs.run_here("aggregate", project, {"method": "majority"})
    decide("split", 2)
    reviewing.reopen(Comparison.objects.get(external_id="split"), by=User.objects.get(username="expert"))
    verbs.run_here("aggregate", project, {"method": "majority"})
    assert (Consensus.objects.get(comparison__external_id="split").side, state("split")) == ("a", "disputed")


def test_noise_does_not_doubt_a_decision(project: Project) -> None:
    verbs.run_here("aggregate", project, {"method": "majority"})
    verbs.run_here("noise", project, {})
    assert NoiseScore.objects.filter(comparison__external_id="split").exists()
    decide("split", 2)
    verbs.run_here("noise", project, {})
    assert not NoiseScore.objects.filter(comparison__external_id="split").exists()
    assert NoiseScore.objects.filter(comparison__external_id="c00").exists()


def test_a_model_does_not_send_a_decision_back_to_people(project: Project) -> None:
    decide("split", 2)
    rows = dict(Comparison.objects.values_list("external_id", "pk"))
    reasons = {rows["split"]: ("m prefers a", 0.3), rows["c00"]: ("m prefers a", 0.3)}
    assert routing.send_back(project, reasons, policy="model", run=None, by=None) == [rows["c00"]]
    assert state("split") == "settled"


def test_a_version_follows_the_decision_and_names_who_took_it(project: Project) -> None:
    decide("split", 2)  # before any aggregation: a build reads the decision itself
    version = build(project, min_probability=0.9)
    rows = {row["id"]: row for row in map(json.loads, exporting.lines(version, format="native"))}
    row = rows["split"]
    assert (row["chosen_side"], row["probability"], row["margin"], row["source"]) == ("b", 1.0, 2.0, "human")
    assert row["adjudicated_by"].startswith("adjudicator-")
    assert "expert" not in json.dumps(rows)
    assert [vote["preference"] for vote in row["votes"]] == [-1, -1, 1]
    assert "adjudicated_by" not in rows["c00"]
    assert "| rows decided by an adjudicator |" in version.card


def test_the_same_decisions_give_the_same_bytes(project: Project) -> None:
    decide("split", 2)
    assert build(project).rows_sha256 == build(project).rows_sha256


def test_a_version_without_decisions_says_nothing_of_them(project: Project) -> None:
    assert "adjudicator" not in build(project).card


def test_decisions_alone_make_a_version() -> None:
    project = make_project("bench", overlap=3)
    make_member(project, Role.ADJUDICATOR, name="expert")
    for number in range(3):
        make_comparison(project, f"c{number}", prompt=f"q{number}")
        decide(f"c{number}", -2 if number else 2)
    version = build(project, split={"train": 1.0, "validation": 0.0, "test": 0.0})
    sides = {row.row["id"]: (row.side, row.probability) for row in version.rows.all()}
    assert sides == {"c0": ("b", 1.0), "c1": ("a", 1.0), "c2": ("a", 1.0)}


@pytest.mark.parametrize("method", ["dawid-skene", "majority", "auto"])
def test_both_bad_alone_makes_a_version_of_rows_without_a_side(method: str) -> None:
    project = make_project("bench", overlap=3)
    for number in range(3):
        make_judgements(make_comparison(project, f"c{number}", prompt=f"q{number}"), "XX")
    version = build(project, method=method, both_bad="keep", split={"train": 1.0, "validation": 0.0, "test": 0.0})
    assert [(row.verdict, row.probability) for row in version.rows.all()] == [("both_bad", 0.5)] * 3
    with pytest.raises(Invalid, match="leaves no row"):
        build(project, method=method)
