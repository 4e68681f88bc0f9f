"""The page of routing and its addresses: what a curator does there, and what the page says of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from annotate.models import Comparison
from curation.models import BudgetGrant, RoutingDecision, RoutingPolicy, RoutingSettings
from curation.services import policies
from tests import build
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Role
from tiebreak.runs.models import Run

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def project() -> Project:
    project = build.make_project("chat", overlap=2)
    judge = build.make_judge(project).rater
    for i in range(3):
        comparison = build.make_comparison(project, f"c{i}")
        build.make_judgement(comparison, judge, 1, probability_b=0.6)
        build.make_routing(comparison, gain=0.1 * i, features={"judge_probability": 0.6, "turns": 1.0})
    return project


@pytest.fixture
def curator(project: Project) -> User:
    return build.make_member(project, Role.CURATOR, name="cora")


@pytest.fixture
def client(curator: User) -> Client:
    client = Client()
    client.force_login(curator)
    return client


def at(name: str, *args: Any) -> str:
    return reverse(name, args=["chat", *args])


def html(client: Client) -> str:
    response = client.get(at("routing"))
    assert response.status_code == 200
    return response.content.decode()


def test_a_policy_is_made_simulated_switched_on_and_retired(client: Client, project: Project) -> None:
    made = {"name": "careful", "kind": "uncertainty", "audit": "0.2", "exploration": "0.1"}
    client.post(at("routing-policy-create"), made)
    policy = RoutingPolicy.objects.get()
    assert (str(policy), policy.params["audit"], policy.status) == ("careful@1", 0.2, "draft")
    response = client.post(at("routing-policy-simulate", policy.pk))
    run = Run.objects.get(kind="route")
    assert (response["Location"], run.params["policy"]) == (at("run", run.pk), "careful@1")
    client.post(at("routing-policy-activate", policy.pk), {"share": "60"})
    policy.refresh_from_db()
    assert policy.status == "draft"  # nobody has seen what it would do
    assert "never simulated" in html(client)
    client.post(at("routing-policy-activate", policy.pk), {"share": "60", "unsimulated": "on"})
    policy.refresh_from_db()
    assert (policy.status, policy.share) == ("active", 0.6)
    assert "decides 60% of the comparisons" in html(client)
    assert "decides 40% of the comparisons" in html(client)  # the default has the rest
    client.post(at("routing-policy-retire", policy.pk))
    policy.refresh_from_db()
    assert policy.status == "retired"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audit": "2"}, "less than or equal to 1"),
        ({"audit": "0.7", "exploration": "0.7"}, "more than the whole budget"),
        ({"kind": "astrology"}, "astrology"),
        ({"name": "No Name"}, "lower-case letters"),
        ({"name": "random"}, "is a kind of policy"),
        ({"max_overlap": "3"}, "Extra inputs"),
    ],
)
def test_what_a_form_gets_wrong_stands_beside_its_field(client: Client, changes: dict[str, str], message: str) -> None:
    sent = {"name": "p", "kind": "uncertainty", "audit": "0.05", "exploration": "0.05"} | changes
    response = client.post(at("routing-policy-create"), sent)
    assert response.status_code == 422
    assert message in response.content.decode()
    checked = client.post(at("routing-policy-check"), sent, headers=HTMX)
    assert message in checked.content.decode()
    assert not RoutingPolicy.objects.exists()


def test_the_form_says_what_version_it_would_become(client: Client, project: Project) -> None:
    policies.create(project, "p", "random", {}, by=None)
    sent = {"name": "p", "kind": "uncertainty", "audit": "0.05", "exploration": "0.05"}
    assert "p@2" in client.post(at("routing-policy-check"), sent, headers=HTMX).content.decode()
    assert RoutingPolicy.objects.count() == 1


def test_a_new_version_begins_with_what_the_old_one_says(client: Client, project: Project) -> None:
    policy = policies.create(project, "p", "adaptive-overlap", {"max_overlap": 7, "audit": 0.3}, by=None)
    page = client.get(at("routing"), {"from": policy.pk}).content.decode()
    form = page[page.index('id="create"') :]
    for value in ('value="p"', 'value="7"', 'value="0.3"', 'value="adaptive-overlap" selected'):
        assert value in form
    for odd in ("x", "9" * 30, "\u0663", ""):
        assert client.get(at("routing"), {"from": odd}).status_code == 200


def test_a_share_that_is_no_number_is_refused(client: Client, project: Project) -> None:
    policy = policies.create(project, "p", "random", {}, by=None)
    client.post(at("routing-policy-activate", policy.pk), {"share": "much", "unsimulated": "on"})
    assert "expected a percentage" in html(client)


def test_the_budget_is_granted_set_and_shown(client: Client, project: Project) -> None:
    client.post(at("routing-settings"), {"automatic": "on", "hourly_rate": "36", "currency": "EUR", "seconds": "100"})
    client.post(at("routing-grant"), {"money": "250.5", "note": "for May"})
    row = RoutingSettings.objects.get(project=project)
    assert (row.automatic, row.currency, row.seconds) == (True, "EUR", 100.0)
    assert str(BudgetGrant.objects.get()) == "250.5000 and 0.0 h"
    page = html(client)
    assert "routes by itself" in page
    assert "250.50" in page
    assert "244.50" in page  # 6 seats are open, each 100 s at 36 an hour: 6.00 promised
    assert client.post(at("routing-grant"), {"note": "nothing"}).status_code == 422
    refused = client.post(at("routing-settings"), {"hourly_rate": "-1", "currency": "euro"})
    assert refused.status_code == 422


def test_trust_without_gold_stands_in_red_until_it_is_taken_back(client: Client, project: Project) -> None:
    client.post(at("routing-trust"), {"trust": "on", "because": ""})
    assert not RoutingSettings.objects.filter(trusted_at__isnull=False).exists()
    client.post(at("routing-trust"), {"trust": "on", "because": "only a rehearsal"})
    page = html(client)
    assert "Judges settle comparisons here without gold." in page
    assert "only a rehearsal" in page
    assert "without gold" in client.get(at("judges")).content.decode()
    client.post(at("routing-trust"))
    assert "Judges settle comparisons here without gold." not in html(client)


def test_a_comparison_is_taken_from_the_router_and_given_back(client: Client, project: Project, curator: User) -> None:
    comparison = Comparison.objects.get(external_id="c1")
    where = at("comparison", comparison.pk)
    sent = {"to": "judge", "because": "a test question", "back": where}
    assert client.post(at("routing-override", comparison.pk), sent)["Location"] == where
    decision = RoutingDecision.objects.get(comparison=comparison, current=True)
    assert (decision.route, decision.overridden_by, decision.reason) == ("judge", curator, "a test question")
    assert "cora decided" in html(client)
    assert "Give it back" in client.get(where).content.decode()
    client.post(at("routing-lift", decision.pk))
    assert not RoutingDecision.objects.filter(comparison=comparison, current=True).exists()


def test_where_people_help_most_stands_first_with_its_reason(client: Client) -> None:
    page = html(client)
    part = page[page.index("Where the next hour") : page.index('id="decisions-title"')]
    assert part.index("c2") < part.index("c1")
    assert "c0" not in part  # it gains nothing
    assert "the judge is unsure" in part


def test_judges_say_how_they_stand_on_gold(client: Client, project: Project) -> None:
    for page in (html(client), client.get(at("judges")).content.decode()):
        assert "too little gold" in page
    judge = project.judges.get().rater
    for _ in range(12):
        build.make_judgement(build.make_comparison(project, gold=1), judge, 1)
    assert "admitted" in client.get(at("judges")).content.decode()


def test_a_simulation_is_a_picture_with_a_table_behind_it(client: Client, project: Project) -> None:
    build.make_policy(project)
    page = html(client)
    assert page.count("<polygon") == 2  # by share and by cost
    assert "Simulated on 60 comparisons" in page
    assert "<td>90%" in page  # half for people


def test_a_gain_model_that_must_not_route_says_so(client: Client, project: Project) -> None:
    reason = "it does not predict mixes that it has not seen"
    model = {"reason": reason, "rho": 0.1, "rmse": 0.02, "n": 60, "n_mixes": 200, "rho_bands": [0.1, None, 0.0]}
    build.make_policy(project, kind="expected-gain", learned={"gain_model": model})
    page = html(client)
    assert "It must not route:" in page
    assert reason in page


def test_active_policies_stand_beside_each_other_with_intervals(client: Client, project: Project) -> None:
    aggregation = build.make_aggregation(project)
    rows = [build.make_policy(project, name=name) for name in ("one", "two")]
    before = build.make_comparison(project, gold=-1)
    build.make_consensus(aggregation, before, (0.5, 0.0, 0.5))
    build.make_routing(before, policy="one@1", policy_version=rows[0])  # it fell to nobody by lot
    for row in rows:
        policies.activate(row, 0.5, by=None)
    for i in range(12):
        comparison = build.make_comparison(project, gold=-1)
        build.make_consensus(aggregation, comparison, (0.9, 0.0, 0.1) if i % 2 else (0.6, 0.0, 0.4))
        build.make_routing(comparison, policy=str(rows[i % 2]), policy_version=rows[i % 2])
    page = html(client)
    part = page[page.index("Policies beside each other") :]
    # The first arm's comparisons have an expected error of .4, the second's of .1; all sides are gold's.
    assert "40%" in part
    assert "-30 pts" in part
    assert "agreement with gold" in part


def test_a_viewer_reads_and_changes_nothing(project: Project) -> None:
    viewer = Client()
    viewer.force_login(build.make_member(project, Role.VIEWER))
    page = viewer.get(at("routing")).content.decode()
    assert "<form" not in page[page.index('<div class="sections">') : page.index("</main>")]


# --- REST -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def api(project: Project, curator: User) -> Any:
    token = build.make_token(curator, "curate")

    class Api:
        def get(self, path: str) -> Any:
            return Client().get(f"/api/v1/projects/chat/routing/{path}", headers={"Authorization": f"Bearer {token}"})

        def post(self, path: str, **body: Any) -> Any:
            return Client().post(
                f"/api/v1/projects/chat/routing/{path}", body, content_type="application/json",
                headers={"Authorization": f"Bearer {token}"},
            )  # fmt: skip

    return Api()


def test_policies_over_rest(api: Any) -> None:
    made = api.post("policies/", name="p", kind="adaptive-overlap", params={"max_overlap": 4})
    assert (made.status_code, made.json()["params"]["max_overlap"]) == (201, 4)
    refused = api.post("policies/", name="p", kind="random", params={"max_overlap": 4})
    assert (refused.status_code, refused.json()["field"]) == (422, "max_overlap")
    pk = made.json()["id"]
    assert api.post(f"policies/{pk}/activate/", share=0.4).status_code == 409
    assert api.post(f"policies/{pk}/activate/", share=0.4, unsimulated=True).json()["status"] == "active"
    assert api.post(f"policies/{pk}/retire/").json()["share"] == 0
    assert [row["name"] for row in api.get("policies/").json()["results"]] == ["p"]


def test_decisions_are_paged_and_overruled_over_rest(api: Any) -> None:
    first = api.get("decisions/?page_size=2").json()
    assert [row["comparison"] for row in first["results"]] == ["c2", "c1"]
    assert first["next"]
    made = api.post("decisions/", comparison="c0", to="people", because="it is about us")
    assert (made.status_code, made.json()["overridden_by"]) == (201, "cora")
    assert api.post("decisions/", comparison="c0", to="nobody", because="x").status_code == 422
    assert api.post("decisions/", comparison="none", to="people", because="x").status_code == 404
    assert api.post(f"decisions/{made.json()['id']}/lift/").status_code == 204


def test_the_budget_over_rest(api: Any) -> None:
    assert api.get("budget/").json()["money"] is None
    told = api.post("budget/", money="10", hours=2.5).json()
    assert (told["money"], told["hours"], told["promised"]) == ("10.0000", 2.5, 6)
    assert api.post("budget/", note="nothing").status_code == 422


def test_judges_on_trial_over_rest(api: Any) -> None:
    (judge,) = api.get("judges/").json()
    assert (judge["admission"], judge["gold"]["n"], judge["by"]) == ("too little gold", 0, "")
