"""Agreement, leanings, rates and plans as curators see them: from raw judgements, with the trap that selection is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from annotate.models import Comparison, Judgement, Lane, Rater
from curation.models import RoutingSettings
from curation.services import verbs
from curation.services.reading import agreement as reading
from curation.services.reading import planning, said
from curation.stats import krippendorff_alpha
from curation.stats.bias import FORMAT, formatting
from tests import build
from tests.curation.stats.selection import adaptive, three_closest
from tiebreak.accounts.models import Project

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return build.make_project("p", overlap=5)


@pytest.fixture
def desk(project: Project) -> Client:
    client = Client()
    client.force_login(build.make_member(project, "viewer", name="vera"))
    return client


def people(project: Project, n: int) -> list[Rater]:
    return [build.make_rater(project, f"person{i}") for i in range(n)]


def comparisons(project: Project, n: int, **fields: Any) -> list[Comparison]:
    return [build.make_comparison(project, **fields) for _ in range(n)]


def opened(desk: Client, route: str, **query: Any) -> Any:
    return desk.get(reverse(route, args=["p"]), query)


# The trap


@pytest.mark.statistical
def test_random_labels_collected_adaptively_have_no_reliability_on_the_page(project: Project, desk: Client) -> None:
    """Three opinions, up to five where they differ; of these the three closest agree nearly perfectly by selection."""
    rng = np.random.default_rng(11)
    units, values, orders = adaptive(250, rng)
    raters, rows = people(project, 5), comparisons(project, 250)
    for unit, value, order in zip(units.tolist(), values.tolist(), orders.tolist(), strict=True):
        build.make_judgement(rows[unit], raters[order], value)
    kept_units, kept = three_closest(units, values)
    selected = krippendorff_alpha(kept_units, np.tile(np.arange(3), len(kept) // 3), kept, level="interval")
    assert (selected.value or 0) > 0.8

    for coefficient in ("alpha-interval", "alpha-ordinal", "ac2", "percent"):
        response = opened(desk, "agreement", coefficient=coefficient)
        page = response.context["page"]
        assert page.chance.people.low <= 0 <= page.chance.people.high
        told = response.content.decode()
        assert "no reliability shown: the interval holds 0" in told
        assert "never from those that a recipe, a filter or an aggregation kept" in told
    verbs.run_here("aggregate", project, {"method": "majority"})
    home = desk.get(reverse("project", args=["p"])).context["home"]
    assert home.people.low <= 0 <= home.people.high  # the overview says the same
    assert page.later == int((orders >= 3).sum()) > 0
    assert f"{page.later:,} later judgements do not count here" in told


def test_a_slice_by_strength_holds_the_first_rater_against_the_others(project: Project) -> None:
    # Random sides with random strengths: the slice is made by the first one's word alone, and agrees with nothing.
    rng, raters = np.random.default_rng(12), people(project, 3)
    for comparison in comparisons(project, 120):
        for rater in raters:
            build.make_judgement(comparison, rater, int(rng.choice([-3, -1, 1, 3])))
    rows = {row.label: row.people for row in reading.page(project, by="strength").rows}
    assert set(rows) == {"strength 1", "strength 3"}
    assert all((estimate.low or 0) < 0 < (estimate.high or 0) for estimate in rows.values())
    assert sum(estimate.n for estimate in rows.values()) == 120


# What is counted


def test_people_and_judges_are_held_apart_and_against_each_other(project: Project) -> None:
    # People agree on ten of ten, the judges say the opposite of them: 1, below 0, 1.
    pair, one, two = people(project, 2), build.make_judge(project, "one"), build.make_judge(project, "two")
    for number, comparison in enumerate(comparisons(project, 10)):
        side = 1 if number % 2 else -1
        for rater in pair:
            build.make_judgement(comparison, rater, side)
        for judge in (one, two):
            build.make_judgement(comparison, judge.rater, -side, repeat=0)
            build.make_judgement(comparison, judge.rater, -side, repeat=1, order="ba")
    whole = reading.page(project).whole
    assert (whole.people.value, whole.judges.value) == (pytest.approx(1.0), pytest.approx(1.0))
    assert (whole.across.value or 0) == pytest.approx(-1.0)
    assert whole.across.n == 10


def test_a_judges_two_orders_are_one_vote_and_a_hidden_repeat_is_none(project: Project) -> None:
    rater, judge = people(project, 1)[0], build.make_judge(project)
    comparison = build.make_comparison(project)
    build.make_judgement(comparison, rater, 1)
    Judgement.objects.create(comparison=comparison, rater=rater, preference=-1, repeat=1, order="ba")
    build.make_judgement(comparison, judge.rater, 2)
    build.make_judgement(comparison, judge.rater, -1, repeat=1, order="ba")
    found = said.read(project)
    assert sorted(zip(found.votes.judge.tolist(), found.votes.side.tolist(), strict=True)) == [(False, 2), (True, 2)]
    assert len(found.readings.side) == 3


def test_what_is_withdrawn_revised_or_unparsed_is_not_counted(project: Project) -> None:
    pair = people(project, 2)
    gone, old, kept = comparisons(project, 3)
    for comparison in (gone, old, kept):
        build.make_judgement(comparison, pair[0], 1)
    Comparison.objects.filter(pk=gone.pk).update(status="withdrawn")
    old.judgements.update(current=False)
    build.make_judgement(kept, pair[1], None, unparsed_because="mumbled")
    found = said.read(project)
    assert (found.comparisons.tolist(), len(found.votes.side)) == ([kept.pk], 1)


def test_agreement_is_sliced_by_aspect_metadata_generator_and_length(project: Project) -> None:
    pair = people(project, 2)
    for number in range(50):
        comparison = build.make_comparison(
            project, a="a" * (10 + number), b="b", metadata={"source": "forum" if number % 2 else "mail", "id": number}
        )
        for i, rater in enumerate(pair):
            tone = 1 if number % 2 else -1
            build.make_judgement(comparison, rater, 1 if number % 3 else -1, aspects={"tone": tone, "truth": -i or 1})
    page = reading.page(project, by="aspect")
    tone, truth = page.rows
    assert (tone.label, tone.people.value, truth.label) == ("tone", pytest.approx(1.0), "truth")
    assert (truth.people.high or 0) < -0.9  # one says +1, the other -1, of each
    assert "metadata:source" in page.choices
    assert "metadata:id" not in page.choices  # which never recurs
    sources = reading.page(project, by="metadata:source").rows
    assert {(row.label, row.people.n) for row in sources} == {("forum", 25), ("mail", 25)}
    assert sum(row.people.n for row in reading.page(project, by="length").rows) == 50
    assert {row.label for row in reading.page(project, by="generator").rows} == {"heron-1", "quill-l"}


def test_agreement_is_sliced_by_the_language_that_raters_must_read(project: Project) -> None:
    Lane.objects.create(project=project, number=1, language="de")
    pair = people(project, 2)
    for number, comparison in enumerate([*comparisons(project, 4), *comparisons(project, 4, lane=1)]):
        for rater in pair:
            build.make_judgement(comparison, rater, 1 if number % 2 else -1)
    assert [(row.label, row.people.n) for row in reading.page(project, by="language").rows] == [("de", 4)]


def test_the_database_counts_layout_as_the_code_does(project: Project) -> None:
    texts = [
        "plain - text",
        "# T\n\n- one\n* **two**\n12. three `x`",
        "```\ncode\n```\n__b__ ** not **",
        "a\n   1) b\n    - c",
    ]
    with connection.cursor() as cursor:
        for text in texts:
            cursor.execute("SELECT regexp_count(%s, %s, 1, 'n')", [text, FORMAT])
            assert cursor.fetchone()[0] == formatting(text), text


def test_a_judge_that_favours_its_own_family_is_found_beside_the_people(project: Project) -> None:
    # heron-1 is a and quill-l is b: the judge of the herons always chooses a, people a in one half.
    judge, rater = build.make_judge(project, "j", model="org/heron-7b"), people(project, 1)[0]
    for number, comparison in enumerate(comparisons(project, 40)):
        build.make_judgement(comparison, judge.rater, -1)
        build.make_judgement(comparison, rater, 1 if number % 2 else -1)
    found = {row.rater.name: row for row in reading.page(project).leans}
    own = found["j v1"].own
    assert own is not None
    assert (own.share.value, own.excess.value, found["j v1"].family) == (1.0, pytest.approx(0.5), "heron")
    assert (own.excess.low or 0) > 0.3
    assert found["person0"].own is None


# Rates


def test_a_rate_over_judges_labels_is_corrected_by_the_audit_and_by_nothing_else(project: Project) -> None:
    """The judge always says a; people say b. 200 were routed, 40 drawn by lot, and 30 more judged for other reasons."""
    judge, rater = build.make_judge(project), people(project, 1)[0]
    for number, comparison in enumerate(comparisons(project, 200)):
        build.make_judgement(comparison, judge.rater, -1)
        build.make_routing(comparison, audit=number < 40, probability=0.2)
        if number < 40:
            build.make_judgement(comparison, rater, 1)
        elif number < 70:
            build.make_judgement(comparison, rater, -1)
    page = reading.page(project)
    rates = {rate.label: rate for rate in page.rates}
    quill = rates["quill-l wins"]
    assert (quill.judged, quill.corrected.corrected.value) == (0.0, pytest.approx(1.0))
    assert (quill.corrected.corrected.n, quill.corrected.audit.n) == (200, 40)
    assert rates["Judges name a person’s side"].corrected.corrected.value == pytest.approx(0.0)
    assert rates["Judges name a person’s side"].judged is None


def test_without_an_audit_there_is_no_corrected_rate_and_the_page_says_why(project: Project, desk: Client) -> None:
    judge, rater = build.make_judge(project), people(project, 1)[0]
    for comparison in comparisons(project, 10):
        build.make_judgement(comparison, judge.rater, -1)
        build.make_judgement(comparison, rater, 1)
        build.make_routing(comparison, audit=False, probability=0.1)
    response = opened(desk, "agreement")
    assert all(rate.corrected.corrected.value is None for rate in response.context["page"].rates)
    assert "no comparison was drawn at random and answered by people" in response.content.decode()


# Pages


def test_an_unknown_coefficient_or_slice_is_named(project: Project, desk: Client) -> None:
    build.make_judgements(build.make_comparison(project), "AB")
    response = opened(desk, "agreement", coefficient="kappa", slice="mood")
    assert response.status_code == 422
    told = response.content.decode()
    assert "kappa is not one of the available choices" in told
    assert "slice: nothing is called “mood” here" in told


def test_undefined_agreement_explains_itself(project: Project, desk: Client) -> None:
    for comparison in comparisons(project, 3):
        build.make_judgements(comparison, "AA")
    told = opened(desk, "agreement").content.decode()
    assert "every judgement is the same: chance cannot disagree" in told
    assert "no comparison was judged by both groups" in told


@pytest.mark.parametrize("letters", ["T", "TT", "X", "AB", "TX"])
def test_one_comparison_is_enough_for_a_page_with_every_choice(project: Project, desk: Client, letters: str) -> None:
    build.make_judgements(build.make_comparison(project), letters)
    for coefficient in reading.COEFFICIENTS:
        for by in reading.SLICES:
            assert opened(desk, "agreement", coefficient=coefficient, slice=by).status_code == 200
    assert opened(desk, "planner").status_code == 200


def test_a_large_project_is_read_by_a_random_part_and_says_so(
    project: Project, desk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(said, "MOST", 30)
    for comparison in comparisons(project, 120):
        build.make_judgements(comparison, "AB")
    page = opened(desk, "agreement").context["page"]
    assert page.total == 120
    assert 10 <= page.comparisons <= 60  # drawn by a hash of the id
    assert "drawn at random from the 120" in opened(desk, "agreement").content.decode()


def test_what_is_judged_after_the_count_is_read_by_a_random_part_too(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(said, "MOST", 30)
    made = comparisons(project, 60)
    build.make_judgements(made[0], "AB")
    assert said.read(project).total == 1  # counted, and kept for an hour
    for comparison in made[1:]:
        build.make_judgements(comparison, "AB")
    found = said.read(project)
    assert (len(found.comparisons), found.total, found.sampled) == (30, 60, True)


def test_the_rest_answer_is_that_of_the_page_and_refuses_by_field(project: Project) -> None:
    for comparison in comparisons(project, 4):
        build.make_judgements(comparison, "AAB")
    user = build.make_member(project, "curator")
    headers = {"Authorization": f"Bearer {build.make_token(user, 'curate')}"}
    address = "/api/v1/projects/p/agreement/"
    found = Client().get(address, {"coefficient": "percent"}, headers=headers)
    assert found.status_code == 200
    body = found.json()
    assert body["whole"]["people"]["value"] == pytest.approx(1 / 3)
    assert body["whole"]["judges"] == {
        "value": None, "low": None, "high": None, "n": 0, "reason": "no comparison was judged by two raters"
    }  # fmt: skip
    assert {row["rater"] for row in body["raters"]} == {"r1", "r2", "r3"}
    for query, field in (({"coefficient": "kappa"}, "coefficient"), ({"slice": "mood"}, "slice"), ({"by": "x"}, "by")):
        refused = Client().get(address, query, headers=headers)
        assert refused.status_code == 422, query
        assert field in refused.content.decode()


# Plans


def test_the_planner_begins_with_what_was_measured_and_says_what_was_not(project: Project, desk: Client) -> None:
    # Four judged alike by two, one of five differs: pairs that agree .8; ties none; 30 seconds each.
    pair, judge = people(project, 2), build.make_judge(project)
    for number, comparison in enumerate(comparisons(project, 25)):
        build.make_judgement(comparison, pair[0], 1, seconds=30.0)
        build.make_judgement(comparison, pair[1], -1 if number % 5 == 0 else 1, seconds=30.0)
        build.make_call(judge, comparison, 1)
    RoutingSettings.objects.create(project=project, hourly_rate=24, currency="EUR")
    found = planning.measured(project)
    figures = {name: (round(default.value, 4), default.n) for name, default in found.figures.items()}
    assert figures["agreement"] == (80.0, 25)
    assert figures["ties"] == (0.0, 50)
    assert figures["seconds"] == (30.0, 50)
    assert figures["judge_agreement"] == (90.0, 25)
    assert figures["judge_price"] == (0.0012, 25)
    assert figures["hourly"] == (24.0, 0)
    response = opened(desk, "planner", difference="20", raters="1")
    told = response.content.decode()
    # 7.849 · (1 - .04) / .04 = 188.4 comparisons of one person; 30 s at 24 an hour are .20 each.
    assert "<strong>189 comparisons × 1 people</strong>" in told
    assert "37.80 EUR" in told
    assert "The project has 25 comparisons" in told


def test_an_empty_project_is_planned_for_with_what_is_assumed(project: Project, desk: Client) -> None:
    told = opened(desk, "planner").content.decode()
    assert "assumed: nothing was measured yet" in told
    assert "To see a difference of 10 points" in told


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("difference", "0"),
        ("difference", "nan"),
        ("power", "20"),
        ("agreement", "101"),
        ("seconds", "-1"),
        ("raters", "x"),
    ],
)
def test_a_figure_that_makes_no_plan_is_named_beside_its_field(
    project: Project, desk: Client, field: str, value: str
) -> None:
    response = opened(desk, "planner", **{field: value})
    assert response.status_code == 422
    assert list(response.context["form"].errors) == [field]


def test_a_difference_that_cannot_be_for_all_the_ties_is_said(project: Project, desk: Client) -> None:
    response = opened(desk, "planner", difference="20", ties="90")  # one in ten decides
    assert response.status_code == 422
    assert "difference" in response.context["form"].errors
    assert opened(desk, "planner", difference="99", agreement="100", ties="0").status_code == 200
